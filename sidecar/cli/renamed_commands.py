"""Commands and their options that had another name: the old name works for one minor version more, with a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RenamedCommand:
    """A command that is called otherwise now."""

    old: str
    new: str


RENAMED_COMMANDS: tuple[RenamedCommand, ...] = (
    RenamedCommand("agent bundle", "instrument bundle"),
    RenamedCommand("journal stat", "journal status"),
)


def current_words(context: click.Context, words: list[str]) -> list[str]:
    """What was typed behind `sidecar`, with the command's name of today."""
    for renamed in RENAMED_COMMANDS:
        old = renamed.old.split()
        if words[: len(old)] == old:
            _warn(context, f"sidecar {renamed.old}", f"sidecar {renamed.new}")
            return [*renamed.new.split(), *words[len(old) :]]
    return words


class RenamedOption(click.Option):
    """The old name of an option: hidden, and with a warning. Where both names are given, the new one counts."""

    def __init__(self, names: Sequence[str], new: str, convert: Callable[[Any], Any], **attributes: Any) -> None:
        super().__init__(names, hidden=True, expose_value=False, is_eager=True, callback=self._use, **attributes)
        self.new, self._convert = new, convert

    def _use(self, context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is None or value is False:
            return
        _warn(context, parameter.opts[0], self.new)
        name = self.new.removeprefix("--").replace("-", "_")
        context.default_map = {**(context.default_map or {}), name: self._convert(value)}


def renamed_option(
    old: str, new: str, convert: Callable[[Any], Any] = lambda value: value, **attributes: Any
) -> Callable[[F], F]:
    """Lets the option `new` be given by its old name. `attributes`: the type of the old option's value; `convert`
    makes of it what `new` takes."""
    return click.option(old, cls=RenamedOption, new=new, convert=convert, **attributes)


def renamed_names(commands: Iterable[tuple[str, click.Command]]) -> Iterator[tuple[str, str]]:
    """(old, new) of commands, and of the options of those that are given with their full names."""
    for renamed in RENAMED_COMMANDS:
        yield f"sidecar {renamed.old}", f"sidecar {renamed.new}"
    for name, command in commands:
        for parameter in command.params:
            if isinstance(parameter, RenamedOption):
                yield f"{name} {parameter.opts[0]}", f"{name} {parameter.new}"


def _warn(context: click.Context, old: str, new: str) -> None:
    """Say on stderr what to write instead of an old name; nothing while a shell completes a line."""
    if not context.resilient_parsing:
        click.echo(
            f"sidecar: `{old}` is renamed; write `{new}`: the old name works for one minor version more", err=True
        )
