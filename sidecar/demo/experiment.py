"""The demo's fourth part: an A/B test. A baseline and an enhanced model get half of the traffic each; labels say which
is right more often, conversions which one sells more."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from sidecar.demo.ask import answer, request, samples, status_of
from sidecar.demo.model_health import HEADER
from sidecar.demo.processes import DemoError, port, process, wait
from sidecar.demo.traffic import Wines

EXPERIMENT = "wine-enhanced"
APPS = {"baseline": "baseline:app", "enhanced": "server:app"}
"""Variant -> what is served as it. The one called baseline is what others are compared with."""
ENVIRONMENT = {"SIDECAR_DERIVE__EXPERIMENTS__ENABLED": "true"}
"""What the sidecar is given for it."""
REQUESTS = 600
BUYS = {True: 0.8, False: 0.1}
"""How likely a wine is bought that was named rightly, and one that was not."""
ALPHA = 0.05
SEED = 11
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Variant:
    """What was sent to a variant, and what the sidecar shows of it; NaN where it shows nothing."""

    sent: int
    exposures: int
    share: float
    accuracy: float
    conversion_rate: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Variants, and the enhanced one beside the baseline."""

    variants: dict[str, Variant]
    lift: tuple[float, float, float]
    """Of conversions, with the ends of its interval."""
    p_value: float
    ratio_p_value: float
    """Of the traffic's being shared as it should be."""


def run(ingest: int, serve: int, folder: Path, example: Path, wines: Wines) -> Comparison:
    """Start a server for each variant, share requests out among them, and look at the sidecar (ports `ingest`, `serve`)
    until it shows them or time is up."""
    with contextlib.ExitStack() as stack:
        ports = {variant: port(0) for variant in APPS}
        servers = {v: stack.enter_context(_server(ingest, v, ports[v], folder, example)) for v in APPS}
        for variant, server in servers.items():
            log = folder / f"{variant}.log"
            wait(partial(_is_up, ports[variant]), 90, server, f"the {variant} model to start", log)
        sent = _send(ports, ingest, wines)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    found = _look(serve, sent)
    while missing(found) and time.monotonic() < deadline:
        time.sleep(0.5)
        found = _look(serve, sent)
    return found


def _is_up(model: int) -> bool:
    return status_of(model, "/health") == 200


@contextlib.contextmanager
def _server(ingest: int, variant: str, at: int, folder: Path, example: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(Path(sys.executable).with_name("sidecar")), "instrument", "--model", f"wine-{variant}"]
    command += ["--endpoint", f"http://127.0.0.1:{ingest}", "--service", EXPERIMENT, "--"]
    command += [sys.executable, "-m", "uvicorn", APPS[variant], "--host", "127.0.0.1", "--port", str(at)]
    named = {
        "OTEL_RESOURCE_ATTRIBUTES": f"ml.experiment={EXPERIMENT},ml.variant={variant}",
        "SIDECAR_RESPONSE_HEADER": HEADER,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with process(command, named, folder / f"{variant}.log", cwd=example) as server:
        yield server


def _send(ports: dict[str, int], ingest: int, wines: Wines) -> dict[str, int]:
    """Requests of one wine, each to a variant by chance; then what the wines were, and which were bought. How many each
    variant got."""
    chance, sent = random.Random(SEED), dict.fromkeys(ports, 0)
    labels: list[Mapping[str, object]] = []
    bought: list[Mapping[str, object]] = []
    with click.progressbar(range(REQUESTS), label="6/7 an A/B test of two models", file=sys.stderr) as numbers:
        for _ in numbers:
            variant, n = chance.choice(list(ports)), chance.randrange(len(wines.rows))
            body = json.dumps({"rows": [wines.rows[n]]}).encode()
            headers = {"Content-Type": "application/json"}
            status, content, replied = answer("POST", ports[variant], "/predict", body, headers)
            named, truth = replied.get(HEADER), wines.truth[n]
            if status != 200 or named is None:
                raise DemoError(f"{variant} answered {status}, {HEADER}: {named}; expected 200 and an id")
            sent[variant] += 1
            labels.append({"prediction_id": named, "label": str(truth)})
            if chance.random() < BUYS[json.loads(content)["predictions"] == [f"class_{truth}"]]:
                bought.append({"event": "conversion", "prediction_id": named, "revenue": 12.5})
    _post(ingest, "/v1/labels", labels)
    _post(ingest, "/v1/json", bought)
    return sent


def _post(ingest: int, path: str, records: list[Mapping[str, object]]) -> None:
    lines = "\n".join(map(json.dumps, records)).encode()
    status, body = request("POST", ingest, path, lines, {"Content-Type": "application/x-ndjson"})
    if status != 200:
        raise DemoError(f"{path} answered {status}: {body[:200]!r}")


def _look(serve: int, sent: dict[str, int]) -> Comparison:
    shown: dict[tuple[str, str], float] = {}
    for name, found, value in samples(request("GET", serve, "/metrics")[1].decode()):
        if found.get("experiment") == EXPERIMENT and found.get("outcome", "conversion") == "conversion":
            shown[name, found.get("variant", "")] = value

    def of(name: str, variant: str = "") -> float:
        return shown.get((f"ab_test_{name}", variant), float("nan"))

    variants = {
        variant: Variant(
            count,
            int(shown.get(("ab_test_exposures_total", variant), 0)),
            *(of(name, variant) for name in ("share", "accuracy", "conversion_rate")),
        )
        for variant, count in sent.items()
    }
    lift = of("lift", "enhanced"), of("lift_lower", "enhanced"), of("lift_upper", "enhanced")
    return Comparison(variants, lift, of("p_value", "enhanced"), of("sample_ratio_p_value"))


def missing(found: Comparison) -> list[str]:
    """What should be there and is not; empty when all is well."""
    gone = [
        f"exposures of {name}: {variant.exposures}, {variant.sent} were sent"
        for name, variant in found.variants.items()
        if variant.exposures != variant.sent
    ]
    if not found.variants["enhanced"].accuracy > found.variants["baseline"].accuracy:
        gone.append("an enhanced model that is right more often than the baseline")
    if not found.p_value <= ALPHA:
        gone.append(f"a difference of conversions with a p-value of at most {ALPHA:g}: {found.p_value:g}")
    return gone


def show(found: Comparison) -> None:
    """What it means, for people."""
    click.echo(f"\nAn A/B test ({EXPERIMENT}): the baseline asks one question, the enhanced model is a forest")
    for name, one in found.variants.items():
        click.echo(
            f"  {name:<28} {one.exposures:>12}   {one.share:.0%} of the traffic, right {one.accuracy:.0%}, "
            f"converts {one.conversion_rate:.0%}"
        )
    value, lower, upper = found.lift
    click.echo(f"  {'lift of conversions':<28} {value:>+12.0%}   at all looks within {lower:+.0%} to {upper:+.0%}")
    click.echo(f"  {'p-value of no difference':<28} {found.p_value:>12.2g}   valid at whatever time you look")
    click.echo(f"  {'p-value of the shares':<28} {found.ratio_p_value:>12.2g}   near 0 nothing above could be believed")
