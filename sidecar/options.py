"""What the options of several components share: durations, sizes, TLS, credentials.

A duration is a number of seconds or text such as `250ms`, `5s`, `1h30m`; a size is a number of bytes or text such as
`16MiB`, `20MB`, `64Mi`. Inside the program they are seconds (float) and bytes (int).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    model_validator,
)
from pydantic_core import core_schema

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_BYTES = {"": 1, "B": 1} | {
    prefix + suffix: factor
    for prefix, binary, decimal in (("k", 2**10, 10**3), ("M", 2**20, 10**6), ("G", 2**30, 10**9), ("T", 2**40, 10**12))
    for suffix, factor in (("", decimal), ("B", decimal), ("i", binary), ("iB", binary))
}
"""By SI and IEC prefixes, and as Kubernetes writes quantities (`64Mi` is 64 MiB, `64M` is 64 MB)."""
_BYTES |= {unit.replace("k", "K"): factor for unit, factor in _BYTES.items() if "k" in unit}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-zµ]*)\s*")


@dataclass(frozen=True, slots=True)
class Quantity:
    """Metadata of an option that is a number with a unit; see `Duration` and `Size`."""

    what: str
    units: tuple[tuple[str, float], ...]
    bare: str
    """What a number without a unit is."""
    examples: str
    whole: bool
    """The value is an integer."""

    def parse(self, text: str) -> float:
        """The value of a text. Raises ValueError with what was expected."""
        try:
            total = self._sum(text.strip())
            if not math.isfinite(total) or (self.whole and total != int(total)):
                raise ValueError(text)
        except (ValueError, KeyError):
            raise ValueError(
                f"invalid {self.what}: {text!r}; expected a number with a unit, such as {self.examples} (a bare number "
                f"is {self.bare})"
            ) from None
        return int(total) if self.whole else total

    def _sum(self, text: str) -> float:
        parts = _PART.findall(text)
        if not parts or any(not unit for _, unit in parts) or _PART.sub("", text):
            return float(text)
        units = dict(self.units)
        return sum(float(number) * units[unit] for number, unit in parts)

    def write(self, value: float) -> str:
        """The shortest text that `parse` reads as `value`: the largest unit that leaves a whole number."""
        if value == 0:
            return "0"
        for unit, factor in sorted(self.units, key=lambda pair: -pair[1]):
            count = value / factor
            if count >= 1 and abs(count - round(count)) < 1e-9 * count:
                return f"{round(count)}{unit}"
        return f"{value:g}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def read(value: Any) -> Any:
            return self.parse(value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        units = "|".join(re.escape(unit) for unit, _ in self.units if unit)
        text = {"type": "string", "pattern": rf"^\s*([0-9.]+\s*({units})?\s*)+$"}
        return {"anyOf": [handler(schema), text]}


_DURATION = Quantity("duration", tuple(_SECONDS.items()), "seconds", "250ms, 5s or 1h", whole=False)
_SHOWN_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = Quantity("size", tuple(_BYTES.items()), "bytes", "512KiB, 16MiB or 1GiB", whole=True)
Duration = Annotated[float, _DURATION]
"""An option in seconds, which may be written with a unit."""
Size = Annotated[int, _SIZE]
"""An option in bytes, which may be written with a unit."""


def read_duration(text: str) -> float:
    """`90s` as `90.0`. Raises ValueError with what was expected."""
    return _DURATION.parse(text)


def write_duration(seconds: float) -> str:
    """`90.0` as `90s`, `3600` as `1h`, `0.25` as `250ms`."""
    return _DURATION.write(seconds)


def write_size(count: int) -> str:
    """`16777216` as `16MiB`, `1000` as `1000B`."""
    return Quantity("size", tuple(_SHOWN_SIZES.items()), "bytes", "", whole=True).write(count)


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerTls(Section):
    """TLS of a port that the program listens on."""

    cert_file: Path | None = Field(None, description="PEM file with the server's certificate chain; switches TLS on.")
    key_file: Path | None = Field(None, description="PEM file with the private key of `cert_file`.")
    ca_file: Path | None = Field(
        None,
        description="PEM file with the authorities whose client certificates are accepted. With it, a client without "
        "such a certificate is refused (mutual TLS).",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("incomplete TLS: cert_file and key_file belong together; give both or none")
        if self.ca_file is not None and self.cert_file is None:
            raise ValueError(
                "incomplete TLS: ca_file needs cert_file and key_file, client certificates are part of TLS"
            )
        return self


class ClientTls(Section):
    """TLS of connections that the program makes."""

    ca_file: Path | None = Field(
        None, description="PEM file with the authorities that may sign the server's certificate. Default: the system's."
    )
    cert_file: Path | None = Field(None, description="PEM file with the client certificate for mutual TLS.")
    key_file: Path | None = Field(None, description="PEM file with the private key of `cert_file`.")
    server_name: str | None = Field(
        None, description="Name that the server's certificate must be for. Default: the address's host."
    )
    insecure_skip_verify: bool = Field(False, description="Accept any certificate. For trials only.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("incomplete TLS: cert_file and key_file belong together; give both or none")
        return self


class ServerAuth(Section):
    """What a client must send to be let in."""

    token: SecretStr | None = Field(
        None, description="Bearer token that a request must carry (`Authorization: Bearer ...`). Better: `token_file`."
    )
    token_file: Path | None = Field(
        None,
        description="File with bearer tokens, one a line; any of them is accepted, so that old and new overlap while "
        "they are rotated.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("token is given twice: set token or token_file, not both")
        if self.token is not None and not self.token.get_secret_value().strip():
            raise ValueError("invalid token: it is empty; expected at least one character")
        return self


class ClientAuth(Section):
    """Credentials that the program sends: an API key, a bearer token, or a user with a password."""

    api_key: SecretStr | None = Field(None, description="API key of Elasticsearch or OpenSearch in its encoded form.")
    api_key_file: Path | None = Field(None, description="File with the API key; read again when it is refused.")
    token: SecretStr | None = Field(None, description="Bearer token. Better: `token_file`.")
    token_file: Path | None = Field(None, description="File with a bearer token; read again when it is refused.")
    username: str | None = Field(None, description="User of basic authentication.")
    password: SecretStr | None = Field(None, description="Password of basic authentication. Better: `password_file`.")
    password_file: Path | None = Field(None, description="File with the password; read again when it is refused.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        for name in ("api_key", "token", "password"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} is given twice: set {name} or {name}_file, not both")
        ways = [
            bool(self.api_key or self.api_key_file),
            bool(self.token or self.token_file),
            self.username is not None,
        ]
        if sum(ways) > 1:
            raise ValueError("ambiguous credentials: set an API key, a token or a user, only one of them")
        has_password = bool(self.password or self.password_file)
        if (self.username is not None) != has_password:
            raise ValueError("incomplete credentials: username needs password or password_file, and the reverse")
        return self
