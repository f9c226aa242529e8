"""The command line, put together from the registry. Exit codes: 0 done, 1 something failed (a line on stderr), 2 wrong
usage or configuration."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import click

from sidecar import __version__
from sidecar.cli.error_lines import reported
from sidecar.cli.registry import COMMANDS, CommandType
from sidecar.cli.renamed_commands import current_words
from sidecar.cli.shared import set_environment_aside


class Program(click.Group):
    """Commands that are imported only when they are asked for: `--version` and the start of an instrumented program
    wait for nothing else."""

    def __init__(self, types: Sequence[CommandType], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._types = types

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [kind.name for kind in self._types if " " not in kind.name]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands and cmd_name in self.list_commands(ctx):
            self.add_command(self._load(cmd_name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def _load(self, name: str) -> click.Command:
        command = next(kind for kind in self._types if kind.name == name).load()
        added = {last: kind for kind in self._types for group, _, last in [kind.name.rpartition(" ")] if group == name}
        if not added:
            return command
        assert isinstance(command, click.Group), f"{name} is a command, not a group"
        group = copy.copy(command)  # The file's own stays as it is.
        group.commands = {**command.commands, **{last: kind.load() for last, kind in added.items()}}
        return group

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, current_words(ctx, args))

    def invoke(self, ctx: click.Context) -> Any:
        set_environment_aside(ctx)
        with reported():
            return super().invoke(ctx)


def program(types: Sequence[CommandType] = COMMANDS) -> click.Group:
    """The whole command line."""

    @click.group(cls=Program, types=types, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="sidecar")
    def sidecar() -> None:
        """Telemetry sidecar for model containers: OTLP and JSON logs in, metrics out, spans and logs delivered."""

    return sidecar


main = program()

if __name__ == "__main__":
    main()
