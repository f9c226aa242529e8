"""A metric that is derived from an app's spans and that the app sends itself as well is shown once.

The derived one is shown: its names are the same whatever instruments the app, and it goes on across restarts. What
the app sends stays in the tables, and is shown of every app whose spans say nothing of that metric.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from sidecar.derive.families import Block, FamilySnapshot, Histograms, Points

_SERVICE = re.compile(r'service_name="((?:[^"\\]|\\.)*)"')
_JOB = re.compile(r'job="((?:[^"\\]|\\.)*)"')


def dedupe_families(families: Sequence[FamilySnapshot], names: Collection[str]) -> list[FamilySnapshot]:
    """Of families of one of these names and one kind the first is that of the spans; the others are given without the
    series of its services.

    A service is known by `service_name` there, and by `job` (`namespace/name` or `name`) here."""
    times = Counter((family.name, family.kind) for family in families if family.name in names)
    services: dict[tuple[str, str], frozenset[str]] = {}
    shown: list[FamilySnapshot] = []
    for family in families:
        key = family.name, family.kind
        if key in services:
            shown.append(replace(family, blocks=tuple(_without(block, services[key]) for block in family.blocks)))
            continue
        if times[key] > 1:
            services[key] = _services(family)
        shown.append(family)
    return shown


def _services(family: FamilySnapshot) -> frozenset[str]:
    found = (_SERVICE.match(labels) for block in family.blocks for labels in block.labels)
    return frozenset(match[1] for match in found if match)


def _without(block: Block, services: frozenset[str]) -> Block:
    kept = [i for i, labels in enumerate(block.labels) if not _is_of(labels, services)]
    if len(kept) == len(block.labels):
        return block
    labels = [block.labels[i] for i in kept]
    created = [block.created[i] for i in kept] if block.created else ()
    if isinstance(block, Points):
        return Points(labels, [block.values[i] for i in kept], created)
    if isinstance(block, Histograms):  # Those of apps come without exemplars.
        counts, sums = [block.counts[i] for i in kept], [block.sums[i] for i in kept]
        natives = [block.natives[i] for i in kept] if block.natives else ()
        return Histograms(labels, block.bounds, counts, sums, created, natives=natives)
    return block


def _is_of(labels: str, services: frozenset[str]) -> bool:
    match = _JOB.match(labels)
    return match is not None and (match[1] in services or match[1].partition("/")[2] in services)
