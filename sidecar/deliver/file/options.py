"""Options of delivery to a file or standard output."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sidecar.deliver.options import SinkOptions
from sidecar.options import Duration, Size
from sidecar.pipeline import Signal

_STDOUT = frozenset({"-", "stdout", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
"""Names of standard output. A device by its path is none that could be rotated or looked into."""


class FileOptions(SinkOptions):
    """Lines in a file or on standard output."""

    address_options: ClassVar[tuple[str, ...]] = ("path",)
    supported_signals: ClassVar[frozenset[Signal]] = frozenset(("spans", "logs", "metrics"))

    kind: Literal["file"] = Field("file", description="Kind of the sink.")
    path: str | None = Field(
        None,
        description="File to append to; `-` or `stdout` for standard output.",
        examples=["-"],
    )
    format: Literal["ndjson", "bulk", "otlp_json"] = Field(
        "ndjson",
        description="`ndjson`: one document a line, as Elasticsearch gets it. `bulk`: the same with an action line "
        "before each, ready for `_bulk`. `otlp_json`: one OTLP/JSON export request a line, with metrics too.",
    )
    id_field: str = Field(
        "_id",
        pattern=r"^[A-Za-z0-9_.@-]*$",
        description="Name under which an `ndjson` line carries the document's id; empty for none.",
    )
    max_bytes: Size = Field(
        100 << 20, ge=0, description="A file that would grow larger is moved away and a new one begun. 0: never."
    )
    max_age: Duration = Field(0.0, ge=0, description="Age at which the same is done, when something comes. 0: never.")
    max_files: int = Field(
        5, ge=0, le=10_000, description="Files that were moved away and are kept; older ones are removed."
    )
    compress: bool = Field(
        False, description="Compress files that were moved away with gzip, but for the newest, which is still read."
    )
    fsync: bool = Field(
        True, description="Have the disk keep what was written before it counts as delivered. Off is faster."
    )
    max_concurrency: int = Field(1, ge=1, le=1, description="Lines are written in order, by one thread.")

    @property
    def selected_signals(self) -> frozenset[Signal]:
        """The signals that the sink is to have; documents are made of spans and logs only."""
        found = super().selected_signals
        return found if self.format == "otlp_json" else found - {"metrics"}

    @property
    def written_file(self) -> str | None:
        return self.path if self.path and not self.stdout else None

    @property
    def stdout(self) -> bool:
        """True where lines go to standard output."""
        return self.path in _STDOUT

    @field_validator("path")
    @classmethod
    def _has_name(cls, value: str | None) -> str | None:
        if value and value not in _STDOUT and (value.endswith("/") or not Path(value).name):
            raise ValueError(f"{value!r} names no file")
        return value

    @model_validator(mode="after")
    def _fits(self) -> FileOptions:
        if "metrics" in self.signals and self.format != "otlp_json":
            raise ValueError("metrics are only written in the format otlp_json")
        return self
