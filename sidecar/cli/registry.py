"""The commands of the program, and the only list of them: a command is a file, a line here and a test.

The file of a command has it as `command`. It is imported when the command or a list of commands is asked for, so it
imports what it works with in the function that works; a contract test holds all of them to that.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class CommandType:
    """A command, or a group of commands that share a file."""

    name: str
    """As it is typed behind `sidecar`. One more word than a group's name adds it to that group: `setup grafana`."""
    module: str

    def load(self) -> click.Command:
        command = importlib.import_module(self.module).command
        assert isinstance(command, click.Command)
        return command


COMMANDS: tuple[CommandType, ...] = (
    CommandType("run", "sidecar.cli.run"),
    CommandType("lookup", "sidecar.cli.lookup"),
    CommandType("check", "sidecar.cli.check"),
    CommandType("config", "sidecar.cli.config"),
    CommandType("instrument", "sidecar.cli.instrument"),
    CommandType("inject", "sidecar.cli.inject"),
    CommandType("logs", "sidecar.cli.logs"),
    CommandType("labels", "sidecar.cli.labels"),
    CommandType("outcomes", "sidecar.cli.outcomes"),
    CommandType("profile", "sidecar.cli.profile"),
    CommandType("expectations", "sidecar.cli.expectations"),
    CommandType("journal", "sidecar.cli.journal"),
    CommandType("setup", "sidecar.cli.setup"),
    CommandType("setup grafana", "sidecar.cli.setup_grafana"),
    CommandType("health", "sidecar.cli.health"),
    CommandType("report", "sidecar.cli.report"),
    CommandType("drill", "sidecar.cli.drill"),
    CommandType("demo", "sidecar.cli.demo"),
)
"""In the order of help and reference."""
