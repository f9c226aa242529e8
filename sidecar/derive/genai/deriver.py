"""Metrics of generative models from spans: tokens, durations, first token, in the names of OpenTelemetry's conventions.

Spans of both generations of those conventions are read, of vLLM, SGLang, Text Generation Inference, OpenInference,
Traceloop and MLflow (`genai_names`); what counts as a call is written in `calls`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.genai_names import MARKS
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.genai.calls import Calls, calls
from sidecar.derive.genai.genai_tables import METRICS, GenaiTables
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget
from sidecar.options import Section
from sidecar.pipeline import Signal


class GenaiOptions(Section):
    """Metrics of generative models."""

    enabled: bool = Field(
        default=True,
        description="Derive gen_ai_* metrics (tokens, durations, first token) from spans; see "
        "docs/how-to/generative-models.md. False: those that the apps send themselves are all that is shown.",
    )


class GenaiDeriver:
    """Spans in, families of generative models out. The caller guards it with a lock."""

    signal: Signal = "spans"

    def __init__(self, budget: Budget) -> None:
        self._tables = GenaiTables(budget)
        self.kept = self._tables.kept

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> Calls:
        """The calls that the payloads tell of. Raises DecodeError."""
        return calls(decoder, [(i, p) for i, p in enumerate(payloads) if decoder.contains_any(p, MARKS)])

    def apply(self, batch: Calls, arrival: Arrival) -> None:
        """Add calls."""
        if len(batch):
            self._tables.add(batch, arrival)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        self._tables.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        return self._tables.collect(view)


def build(options: GenaiOptions, context: DeriverContext) -> Sequence[Deriver[Calls]]:
    """The deriver, unless it is off."""
    return [GenaiDeriver(context.budget)] if options.enabled else []


def memory(options: GenaiOptions, budget: Budget) -> int:
    """Bytes of its tables, at most, about."""
    return table_bytes(budget, len(METRICS))
