"""A line in a registry is all that a new component takes: toys that are known by their line alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import Field, ValidationError
from support import drift_data
from support.derive_fakes import lines
from support.receive_fakes import ingest_of

from sidecar import generated_reference
from sidecar.cli.main import program
from sidecar.cli.registry import COMMANDS, CommandType
from sidecar.config.option_fields import fields
from sidecar.derive.deriver import DeriverContext
from sidecar.derive.drift.column_samples import Sample
from sidecar.derive.drift.drift_families import families
from sidecar.derive.drift.library import CompiledReference
from sidecar.derive.drift.methods.method import Comparison, DriftMethod
from sidecar.derive.drift.methods.registry import METHODS
from sidecar.derive.drift.model_drift import ModelDrift
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.registry import (
    DERIVERS,
    DeriverType,
    derive_options,
    memory_bound_bytes,
    shared_families,
)
from sidecar.derive.rule_metrics import Rule
from sidecar.options import Section
from sidecar.receive.receiver import Listener, ReceiverOptions, ReceiverType
from sidecar.receive.registry import RECEIVERS, build_receivers, listeners, receive_options


class ToyOptions(Section):
    enabled: bool = Field(False, description="Derive toys.")


def toy_derivers(options: ToyOptions, context: DeriverContext) -> list[Any]:
    return []


TOY_DERIVER = DeriverType(
    "toys",
    ToyOptions,
    toy_derivers,
    "Toys from spans.",
    lambda options, budget: 1000 + budget.series,
    prefixes=("toys_",),
    shared_families=("toys_seen",),
)


class ToyReceiverOptions(ReceiverOptions):
    enabled: bool | None = Field(None, description="Take toys in.")
    port: int | None = Field(None, description="Port to listen on.")

    @property
    def switched_on(self) -> bool:
        return self.port is not None

    def listeners(self) -> tuple[Listener, ...]:
        return (Listener("127.0.0.1", self.port or 0),)


class ToyReceiver:
    name = "toy_in"

    def __init__(self, options: ToyReceiverOptions, *_: object) -> None:
        self.port = options.port or 0

    async def start(self) -> None:
        """Listen to nobody."""

    async def stop(self, grace: float) -> None:
        """Do nothing."""


TOY_RECEIVER = ReceiverType("toy_in", ToyReceiverOptions, ToyReceiver, "Toys that come in.")


def test_a_receiver_is_one_line() -> None:
    types = (*RECEIVERS, TOY_RECEIVER)
    model = receive_options(types)
    options = model.model_validate({"toy_in": {"port": 7}})
    assert model.model_json_schema()["properties"]["toy_in"]["description"] == "Toys that come in."
    found = {f.variable for f in fields(model, ("receive",))} - {f.variable for f in fields(prefix=())}
    assert found == {"SIDECAR_RECEIVE__TOY_IN__ENABLED", "SIDECAR_RECEIVE__TOY_IN__PORT"}
    assert listeners(options, types)[-1] == ("toy_in", Listener("127.0.0.1", 7))
    assert "toy_in" not in dict(listeners(model(), types))
    nothing: Any = None
    with ingest_of() as (ingest, counted):
        built = build_receivers(options, ingest, nothing, counted.telemetry, (TOY_RECEIVER,))
    assert [(receiver.name, receiver.port) for receiver in built] == [("toy_in", 7)]


def test_a_deriver_is_one_line() -> None:
    types = (*DERIVERS, TOY_DERIVER)
    model = derive_options(types)
    options = model.model_validate({"series_budget": 7, "toys": {"enabled": True}})
    assert options.section("toys") == ToyOptions(enabled=True)
    assert model.model_json_schema()["properties"]["toys"]["description"] == "Toys from spans."
    (field,) = [field for field in fields(model, ("derive",)) if field.path[1] == "toys"]
    assert (field.variable, field.default, field.description) == (
        "SIDECAR_DERIVE__TOYS__ENABLED",
        False,
        "Derive toys.",
    )
    assert memory_bound_bytes(options, types) - memory_bound_bytes(options, DERIVERS) == 1007
    assert shared_families(types) == shared_families(DERIVERS) | {"toys_seen"}


@pytest.mark.parametrize("name", ["toys_x", *(prefix + "x" for kind in DERIVERS for prefix in kind.prefixes)])
def test_names_of_derivers_are_reserved(name: str) -> None:
    model = derive_options((*DERIVERS, TOY_DERIVER))
    with pytest.raises(ValidationError, match=f"{name}: names that begin so are the program's own"):
        model.model_validate({"rules": [{"name": name}]})
    assert model.model_validate({"rules": [{"name": f"my_{name}"}]}).section("rules") == (Rule(name=f"my_{name}"),)


TOY_COMMAND = """
import click
from sidecar.errors import SidecarError

@click.command()
@click.option("--colour", default="red", help="Colour of the toy.")
def command(colour: str) -> None:
    \"\"\"Take a toy out of its box.\"\"\"
    if colour == "grey":
        raise SidecarError("invalid colour: grey; expected one that children like")
    click.echo(f"a {colour} toy")
"""


@pytest.mark.parametrize("name", ["toy", "setup toy"])
def test_a_command_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_command.py").write_text(TOY_COMMAND, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    cli = program((*COMMANDS, CommandType(name, "toy_command")))
    *group, _ = words = name.split()
    assert "Take a toy out of its box." in CliRunner().invoke(cli, [*group, "--help"]).output
    page = generated_reference.markdown(cli)
    assert f"### `sidecar {name}`\n\nTake a toy out of its box.\n\n- `--colour`: Colour of the toy.\n" in page
    done = CliRunner().invoke(cli, [*words, "--colour", "blue"])
    assert (done.exit_code, done.output) == (0, "a blue toy\n")
    failed = CliRunner().invoke(cli, [*words, "--colour", "grey"])
    assert (failed.exit_code, failed.output) == (
        1,
        "sidecar: invalid colour: grey; expected one that children like\n",
    )


class ToyMethod:
    name = "toy_distance"
    threshold = 0.25
    categories = True

    def score(self, found: Comparison) -> float:
        return float(found.n)

    def critical(self, found: Comparison, alpha: float) -> float:
        return 1 / found.m


def test_a_drift_method_is_one_line() -> None:
    methods = (*METHODS, ToyMethod())
    reference = CompiledReference(drift_data.reference({"age": [1.0, 2.0, 3.0], "plan": ["a", "b", "b"]}))
    options = DriftOptions.model_construct(
        **{**DriftOptions().model_dump(), "methods": ("toy_distance",), "method": "toy_distance", "warm_up": 0}
    )
    state = ModelDrift(("m", ""), reference, options, 10, drift_data.START, methods)
    kind, number = drift_data.numbers([1.0] * 40)
    state.add(Sample("age", "feature", kind, number, []))
    state.add(Sample("plan", "feature", kind[:0], number[:0], [], {"a": 40}))
    state.advance(drift_data.START + 25 * drift_data.HOUR)
    found = lines(list(families([state], None, 86_400)))
    for feature in ("age", "plan"):
        labels = f'{{model="m",feature="{feature}",method="toy_distance"}}'
        assert found[f"data_drift_score{labels}"] == "40.0"
        assert found[f"data_drift_threshold{labels}"] == "0.25"
        assert found[f"data_drift_detected{labels}"] == "1"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_drift_method_is_in_the_options(method: DriftMethod) -> None:
    assert method.name in DriftOptions().methods
    described = DriftOptions.model_json_schema()["properties"]
    assert method.name in described["methods"]["description"]
    assert f"{method.name} {method.threshold:g}" in described["thresholds"]["description"]
