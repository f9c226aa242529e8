"""Metric families as text: Prometheus text format 0.0.4 and OpenMetrics 1.0.0; `protobuf` has the third format.

Rules: a family is written once and without a series twice; OpenMetrics ends in `# EOF`, has `_created`, and
exemplars on buckets only; a `# UNIT` line only where the name ends in the unit; bucket bounds are written as floats
(`1.0`) in both formats, so that a series does not change its name with what the scraper accepts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from sidecar.derive.families import (
    Exemplar,
    FamilySnapshot,
    Histograms,
    Kind,
    Number,
    Points,
    Summaries,
    escape,
    label_text,
)
from sidecar.telemetry import MetricFamily

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PROTOBUF_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

log = structlog.get_logger("sidecar.serve")

_MAX_REPORTED = 1000
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "summary": ("", "_sum", "_count", "_created"),
    "info": ("_info",),
    "gauge": ("",),
    "unknown": ("",),
}
SAMPLE_SUFFIX: dict[Kind, str] = {"counter": "_total", "info": "_info"}
"""What the name of a sample has behind that of its family, where a series is one sample."""
_TEXT_KIND: dict[Kind, str] = {"info": "gauge", "unknown": "untyped"}


@dataclass(frozen=True, slots=True)
class ClientFamily:
    """A family as it was collected: samples as they are."""

    name: str
    kind: Kind
    help: str
    unit: str
    samples: tuple[tuple[str, str, Number], ...]
    """(suffix of the name, label text, value)."""


Family = FamilySnapshot | ClientFamily


@dataclass(frozen=True, slots=True)
class Merged:
    """Families of which no two write the same name, and what had to be left out for that."""

    families: list[tuple[Family, ...]]
    """Parts of one family (same name and kind) stand together."""
    dropped: list[str]
    """Names of families that clash with one of another kind."""


class Exposition:
    """Answers scrapes, and logs once of each family that clashes with another that it is left out. Thread-safe."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def answer(self, families: Iterable[Family], accept: str) -> tuple[bytes, str]:
        """(body, Content-Type) for an Accept header."""
        content_type = negotiate(accept)
        merged = merge(families)
        fresh = set(merged.dropped) - self._reported
        if fresh and len(self._reported) < _MAX_REPORTED:
            self._reported |= fresh
            log.warning("metric_names_clash", metrics=sorted(fresh))
        if content_type == PROTOBUF_TYPE:
            from sidecar.serve.protobuf import render as render_protobuf

            return render_protobuf(merged), content_type
        return render(merged, content_type == OPENMETRICS_TYPE), content_type


def negotiate(accept: str) -> str:
    """Accept header -> Content-Type. Another one than plain text only for who asks for it and does not prefer another;
    a missing or invalid header gets the text format."""
    best = dict.fromkeys((PROTOBUF_TYPE, OPENMETRICS_TYPE, TEXT_TYPE), 0.0)
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        content_type = _media_type(media, parameters)
        if content_type:
            best[content_type] = max(best[content_type], _quality(parameters))
    found = max(best, key=lambda content_type: best[content_type])
    return found if best[found] > 0 else TEXT_TYPE


def _media_type(media: str, parameters: Sequence[str]) -> str:
    """The format that a part of an Accept header asks for; empty where it is none of ours."""
    if media in ("text/plain", "text/*", "*/*"):
        return TEXT_TYPE
    if media == "application/openmetrics-text":
        return OPENMETRICS_TYPE
    given = {name.strip(): value.strip() for name, _, value in (p.partition("=") for p in parameters)}
    delimited = given.get("encoding") == "delimited" and given.get("proto") == "io.prometheus.client.MetricFamily"
    return PROTOBUF_TYPE if media == "application/vnd.google.protobuf" and delimited else ""


def from_client(metrics: Iterable[MetricFamily]) -> list[ClientFamily]:
    """What telemetry or prometheus_client collects. Kinds that only the latter knows are written as unknown."""
    out = []
    for metric in metrics:
        kind: Kind = metric.type if metric.type in _SUFFIXES else "unknown"
        samples = tuple(
            (s.name.removeprefix(metric.name), label_text(list(s.labels), list(s.labels.values())), s.value)
            for s in metric.samples
        )
        out.append(ClientFamily(metric.name, kind, metric.documentation, metric.unit, samples))
    return out


def merge(families: Iterable[Family]) -> Merged:
    """Families of the same name and kind become one, the first one's help and unit standing. One whose name another
    kind has, or whose series names would clash, is left out and named."""
    parts: dict[str, list[Family]] = {}
    names_used: dict[str, str] = {}
    dropped = []
    for family in families:
        first = parts.get(family.name)
        if first is not None and first[0].kind == family.kind:
            first.append(family)
            continue
        names = {family.name, *(family.name + suffix for suffix in _SUFFIXES[family.kind])}
        if _NAME.fullmatch(family.name) is None or any(name in names_used for name in names):
            dropped.append(family.name)
            continue
        names_used.update(dict.fromkeys(names, family.name))
        parts[family.name] = [family]
    return Merged([tuple(same) for same in parts.values()], dropped)


def render(families: Iterable[Family] | Merged, openmetrics: bool) -> bytes:
    """The exposition. Families that clash are left out; `merge` first to learn which."""
    merged = families if isinstance(families, Merged) else merge(families)
    lines: list[str] = []
    for parts in merged.families:
        body = _body(parts, openmetrics)
        if body:
            lines.extend(_head(parts[0], openmetrics))
            lines.extend(body)
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace") if lines else b""


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def _head(family: Family, openmetrics: bool) -> Iterator[str]:
    if openmetrics:
        yield f"# TYPE {family.name} {family.kind}"
        if family.unit and family.name.endswith("_" + family.unit) and family.kind != "info":
            yield f"# UNIT {family.name} {family.unit}"
        yield f"# HELP {family.name} {escape(family.help)}"
    else:
        name = family.name + SAMPLE_SUFFIX.get(family.kind, "")
        text = family.help.replace("\\", r"\\").replace("\n", r"\n")
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {_TEXT_KIND.get(family.kind, family.kind)}"


def _body(parts: Sequence[Family], openmetrics: bool) -> list[str]:
    """The lines of a family. All lines of a series stand together, and no series is written twice."""
    out: list[str] = []
    seen: set[str] = set()
    for part in parts:
        if isinstance(part, ClientFamily):
            _client_lines(out, part, seen, openmetrics)
            continue
        for block in part.blocks:
            fresh = [i for i, labels in enumerate(block.labels) if labels not in seen]
            seen.update(block.labels)
            if len(fresh) != len(set(map(block.labels.__getitem__, fresh))):
                fresh = list({block.labels[i]: i for i in reversed(fresh)}.values())[::-1]
            if isinstance(block, Points):
                _point_lines(out, part, block, fresh, openmetrics)
            elif isinstance(block, Histograms):
                _histogram_lines(out, part.name, block, fresh, openmetrics)
            else:
                _summary_lines(out, part.name, block, fresh, openmetrics)
    return out


def _client_lines(out: list[str], family: ClientFamily, seen: set[str], openmetrics: bool) -> None:
    before = set(seen)
    for suffix, labels, value in family.samples:
        if suffix == "_created" and not openmetrics:
            continue
        key = f"{suffix}\0{labels}"
        if key in seen or labels in before:
            continue
        seen.add(key)
        out.append(f"{family.name}{suffix}{_braces(labels)} {number_text(value)}")


def _point_lines(out: list[str], family: FamilySnapshot, block: Points, picked: list[int], openmetrics: bool) -> None:
    start = family.name + (_SUFFIXES[family.kind][0])
    created = block.created if openmetrics and family.kind == "counter" else ()
    for i in picked:
        braces = _braces(block.labels[i])
        out.append(f"{start}{braces} {number_text(block.values[i])}")
        if created and created[i]:
            out.append(f"{family.name}_created{braces} {number_text(created[i])}")


def _histogram_lines(out: list[str], name: str, block: Histograms, picked: list[int], openmetrics: bool) -> None:
    # OpenMetrics has no sum where values may be below zero, and no count without a sum; the last bucket has it.
    below_zero = bool(block.bounds) and block.bounds[0] < 0
    ends = [f'le="{number_text(float(bound))}"}} ' for bound in (*block.bounds, math.inf)]
    exemplars = block.exemplars if openmetrics else {}
    number = number_text
    for i in picked:
        labels = block.labels[i]
        start = f"{name}_bucket{{{labels}," if labels else f"{name}_bucket{{"
        counts = block.counts[i]
        if type(counts[-1]) is int:
            lines = [f"{start}{end}{count}" for end, count in zip(ends, counts, strict=True)]
        else:
            lines = [f"{start}{end}{number(count)}" for end, count in zip(ends, counts, strict=True)]
        if exemplars:
            for bucket in range(len(ends)):
                exemplar = exemplars.get((i, bucket))
                if exemplar is not None:
                    lines[bucket] += _exemplar(exemplar)
        out.extend(lines)
        braces = _braces(labels)
        total = block.sums[i]
        if total is not None and not (openmetrics and (below_zero or not total >= 0)):
            out.append(f"{name}_sum{braces} {number(total)}")
            out.append(f"{name}_count{braces} {number(counts[-1])}")
        elif not openmetrics:
            out.append(f"{name}_count{braces} {number(counts[-1])}")
        if openmetrics and block.created and block.created[i]:
            out.append(f"{name}_created{braces} {number(block.created[i])}")


def _summary_lines(out: list[str], name: str, block: Summaries, picked: list[int], openmetrics: bool) -> None:
    for i in picked:
        labels = block.labels[i]
        braces = _braces(labels)
        for quantile, value in block.quantiles[i]:
            if not 0 <= quantile <= 1 or (openmetrics and value < 0):
                continue
            end = f'quantile="{number_text(float(quantile))}"'
            out.append(f"{name}{_braces(f'{labels},{end}' if labels else end)} {number_text(value)}")
        if not openmetrics or block.sums[i] >= 0:
            out.append(f"{name}_sum{braces} {number_text(block.sums[i])}")
        out.append(f"{name}_count{braces} {number_text(block.counts[i])}")
        if openmetrics and block.created and block.created[i]:
            out.append(f"{name}_created{braces} {number_text(block.created[i])}")


def _exemplar(exemplar: Exemplar) -> str:
    return (
        f' # {{trace_id="{exemplar.trace_id}",span_id="{exemplar.span_id}"}}'
        f" {number_text(exemplar.value)} {exemplar.time:.3f}"
    )


def _braces(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def number_text(value: Number) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return repr(value)
