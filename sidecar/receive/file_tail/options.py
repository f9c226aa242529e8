"""What can be set about tailing files."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sidecar.lists import expand_braces
from sidecar.options import Duration
from sidecar.receive.receiver import ReceiverOptions

NAME = "file_tail"


class Options(ReceiverOptions):
    """Log files that are read as they grow."""

    enabled: bool | None = Field(None, description="Whether to read log files. Default: where `include` is set.")
    include: tuple[str, ...] = Field(
        (),
        description="Absolute paths of the files to read, with `*`, `?`, `[...]`, `{a,b}` and `**`.",
    )
    exclude: tuple[str, ...] = Field((), description="Paths, with the same wildcards, that are left out.")
    rotated: bool = Field(
        True,
        description="Also read files beside an included one whose names are its name followed by `.` or `-` and more "
        "(`app.log.1`, `app.log-20260101.gz`), or have a number or date before its extension (`app.1.log`, "
        "`app-20260101.log`), gzip or not: what was rotated away while the sidecar was not running is in them.",
    )
    start_at: Literal["beginning", "end"] = Field(
        "beginning",
        description="Where to begin in files that are there when a path of `include` is used for the first time. "
        "Files that appear later are read from their beginning.",
    )
    format: Literal["auto", "json", "plain", "cri", "docker"] = Field(
        "auto",
        description="`json`: JSON lines, others are stored as text. `plain`: every line is text. `cri`: as container "
        "runtimes write under Kubernetes. `docker`: as Docker's json-file driver writes. `auto`: cri or docker where "
        "a file's first lines are such, else json.",
    )
    multiline: bool = Field(
        True, description="Put the lines of a stack trace (Python, Java, Node.js, .NET, Ruby, Go) into one record."
    )
    multiline_timeout: Duration = Field(
        1.0, ge=0.1, description="Time after which a stack trace, or a part of a line, is taken to be complete."
    )
    resource: dict[str, str] = Field(
        default_factory=dict,
        description="Resource attributes for records that lack them, such as `service.name`.",
    )
    watch: Literal["auto", "poll"] = Field(
        "auto",
        description="`auto`: inotify where there is one, for changes to be seen at once. Files are looked at every "
        "`poll_interval` in any case, so that network file systems work too.",
    )
    poll_interval: Duration = Field(1.0, ge=0.05, description="Time between checks of the sizes of all files.")
    scan_interval: Duration = Field(5.0, ge=0.1, description="Time between searches for new files.")
    batch_delay: Duration = Field(
        0.1, ge=0, description="Minimum time between two reads where files grow slowly; each is a commit."
    )
    max_open_files: int = Field(
        512, ge=1, description="Files that are held open at once. Others are opened when they grow."
    )

    @property
    def switched_on(self) -> bool:
        return bool(self.include) if self.enabled is None else self.enabled

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        for pattern in (*self.include, *self.exclude):
            if not all(path.startswith("/") for path in expand_braces(pattern)):
                raise ValueError(f"{pattern}: must be an absolute path")
        if self.enabled and not self.include:
            raise ValueError("include is missing: enabled needs at least one path")
        return self
