"""The section `deliver`, made from the list of sinks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field, create_model, field_validator, model_validator

from sidecar.deliver.redaction.options import RedactionOptions
from sidecar.deliver.registry import RESERVED_NAMES, SINKS, SinkType
from sidecar.options import Section

MAX_ADDITIONAL_SINKS = 16
_NAME = re.compile(r"[a-z][a-z0-9-]*(_[a-z0-9-]+)*")
_NAME_CHARS = 32


class _Deliver(Section):
    """Where spans and logs go."""

    export_features: bool = Field(
        False,
        description="Let the values of features leave: attributes `ml.features.*`, and the features in "
        "`ml.prediction` events. Metrics are derived from them either way.",
    )
    redaction: RedactionOptions = Field(
        default=RedactionOptions(), description="What is taken out and put on before any sink gets it."
    )
    additional: dict[str, Any] = Field(default={})

    @field_validator("additional", mode="before", check_fields=False)
    @classmethod
    def _names(cls, value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if name in RESERVED_NAMES:
                raise ValueError(f"a sink cannot be named {name!r}: the program has one of that name itself")
            if len(str(name)) > _NAME_CHARS or not _NAME.fullmatch(str(name)):
                raise ValueError(
                    f"{name!r} is not a name: it is at most {_NAME_CHARS} characters, a lower-case letter first, then "
                    "lower-case a to z, digits, hyphens and single underscores"
                )
        return value

    @model_validator(mode="after")
    def _own_files(self) -> _Deliver:
        """Each file has one writer: the second would wait for as long as the first lives."""
        writers: dict[str, str] = {}
        for name, _, options in self.enabled():
            if options.written_file is not None:
                other = writers.setdefault(os.path.abspath(options.written_file), name)
                if other != name:
                    raise ValueError(f"{other} and {name} write to the same file: {options.written_file}")
        return self

    def section(self, name: str) -> Any:
        """The options of the first sink of a type."""
        return getattr(self, name)

    def enabled(self) -> Iterator[tuple[str, SinkType, Any]]:
        """(name, type, options) of every sink that is on."""
        types = {sink.name: sink for sink in SINKS}
        for name, options in [*((t, self.section(t)) for t in types), *sorted(self.additional.items())]:
            if options.is_enabled:
                yield name, types[options.kind], options


def deliver_options(sinks: Sequence[SinkType]) -> type[_Deliver]:
    """The section's options: a section for each type of sink, and additional sinks by name."""
    sections: dict[str, Any] = {
        sink.name: (sink.options, Field(default=sink.options(), description=sink.description)) for sink in sinks
    }
    several = [sink.options for sink in sinks if sink.allow_multiple]
    any_kind: Any = Annotated[Union[tuple(several)], Field(discriminator="kind")]  # noqa: UP007
    sections["additional"] = (
        dict[str, any_kind],
        Field(
            default={},
            max_length=MAX_ADDITIONAL_SINKS,
            description="Additional sinks by name, each a section of `kind` and the options of that kind.",
        ),
    )
    return create_model("DeliverOptions", __base__=_Deliver, __doc__=_Deliver.__doc__, **sections)


if TYPE_CHECKING:
    DeliverOptions = _Deliver
else:
    DeliverOptions = deliver_options(SINKS)
