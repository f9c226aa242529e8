"""What commands share: options that several have, the configuration, the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sidecar.errors import ConfigError, Permanent

if TYPE_CHECKING:
    from pydantic import ValidationError

    from sidecar.config.settings import Settings
    from sidecar.deliver.common.connection import Server
    from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
    from sidecar.deliver.elasticsearch.outcome_options import OutcomeElasticsearchOptions

T = TypeVar("T")
Hosted = TypeVar("Hosted", "ElasticsearchOptions", "OutcomeElasticsearchOptions")

_ENVIRON = "sidecar.environ"
"""Where the context of a command keeps the environment as it was given."""

config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="YAML file; the environment overrides it."
)


def ingest_options(function: Callable[..., T]) -> Callable[..., T]:
    """Where a running sidecar's HTTP ingest is, and the credentials for it. The function gets them as `poster`."""

    @click.option("--url", default="http://127.0.0.1:4318", show_default=True, help="The sidecar's HTTP ingest.")
    @click.option("--token-file", type=click.Path(path_type=Path, exists=True), help="File with the bearer token.")
    @click.option("--token", help="The bearer token itself; others can see it in the list of processes.")
    @click.option(
        "--ca-file", type=click.Path(exists=True), help="PEM file with the authority of the ingest's certificate."
    )
    @wraps(function)
    def wrapper(url: str, token_file: Path | None, token: str | None, ca_file: str | None, **given: Any) -> T:
        from sidecar.send.http_sender import Poster

        if token is None and token_file is not None:
            token = _first_word(token_file)
        return function(poster=Poster(url, token, ca_file), **given)

    return wrapper


def _first_word(file: Path) -> str:
    words = file.read_text().split()
    if not words:
        raise ConfigError([f"invalid --token-file: {file} is empty; expected a token"])
    return words[0]


@contextmanager
def reached() -> Iterator[None]:
    """Raises `Permanent` where a server gives no answer."""
    from sidecar.deliver.common.http import Unreached

    try:
        yield
    except Unreached as error:
        raise Permanent(f"{error.reason}: {error.detail}") from error


def problems_of(error: ValidationError, prefix: str = "") -> ConfigError:
    """What is wrong with options, without what was given: that may be a secret."""
    return ConfigError([prefix + problem["msg"].removeprefix("Value error, ") for problem in error.errors()])


def with_hosts(options: Hosted, url: str | None, flag: str, section: str) -> Hosted:
    """A section of options with the address that was given by `flag`, if one was. Raises `ConfigError`."""
    from pydantic import ValidationError

    if url is None and not options.hosts:
        raise ConfigError([f"no address: give {flag} or set {section}.hosts"])
    if url is None:
        return options
    try:
        return type(options).model_validate({**options.model_dump(exclude_unset=True), "hosts": url})
    except ValidationError as error:
        raise problems_of(error, f"{flag}: ") from error


def base_address(flag: str, url: str) -> str:
    """The address of a server that was given by `flag`. Raises `ConfigError`."""
    from sidecar.deliver.common.addresses import check_base

    try:
        check_base(url)
    except ValueError as error:
        raise ConfigError([f"{flag}: {error}"]) from error
    return url.rstrip("/")


def client_access(
    url: str,
    *,
    token: Path | None = None,
    username: str | None = None,
    password: Path | None = None,
    ca: Path | None = None,
    timeout: float = 30.0,
    prefix: str = "",
) -> Server:
    """A server by the flags for it, which begin with `prefix`; `token` and `password` are files. Raises
    `ConfigError`."""
    from pydantic import ValidationError

    from sidecar.deliver.common.connection import Server
    from sidecar.options import ClientAuth, ClientTls

    try:
        auth = ClientAuth.model_validate({"token_file": token, "username": username, "password_file": password})
        return Server((url,), auth, ClientTls.model_validate({"ca_file": ca}), timeout)
    except ValidationError as error:
        raise problems_of(error, prefix) from error


class DurationType(click.ParamType[float]):
    """Seconds, as `Duration` of the configuration: `250ms`, `5s`, `90d`; a bare number is seconds.

    `unit`: a bare number is refused, where taking it for seconds would destroy what somebody meant to keep."""

    name = "duration"

    def __init__(self, unit: bool = False) -> None:
        self._unit = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)  # The usual case needs no import.
        except ValueError:
            from sidecar.options import read_duration

            try:
                seconds = read_duration(value)
            except ValueError as error:
                self.fail(self._unit_needed(value) if self._unit else str(error), param, ctx)
        else:
            if self._unit and isinstance(value, str):
                self.fail(self._unit_needed(value), param, ctx)
        if not 0 <= seconds < float("inf"):
            self.fail(f"invalid duration: {value!r}; expected at least 0 s", param, ctx)
        return seconds

    @staticmethod
    def _unit_needed(value: Any) -> str:
        return f"invalid duration: {value!r}; expected a number with its unit, such as 7d"


DURATION = DurationType()
AGE = DurationType(unit=True)


def set_environment_aside(context: click.Context) -> None:
    """`OTEL_*` variables are the pod's, and meant for the model. OpenTelemetry's SDK, which keeps the program's own
    metrics, would read them too: it ends at an invalid one, and keeps nothing with OTEL_SDK_DISABLED."""
    context.meta[_ENVIRON] = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]


def environment() -> Mapping[str, str]:
    """The variables that the program was given, `OTEL_*` too."""
    given: Mapping[str, str] = click.get_current_context().meta[_ENVIRON]
    return given


def settings(config_file: Path | None) -> Settings:
    """The configuration in force; from here on the program's own lines are JSON on stderr. Raises `ConfigError`."""
    import structlog

    from sidecar.config import loader
    from sidecar.telemetry import configure_logging

    loaded = loader.load(environment(), config_file)
    configure_logging(loaded.log.level)
    log = structlog.get_logger("sidecar.config.loader")
    for what in loaded.ignored:
        log.warning("standard_variable_ignored", variable=what)
    for option in loaded.renamed:
        log.warning("option_renamed", old=option.old, new=option.new, origin=option.origin)
    return loaded
