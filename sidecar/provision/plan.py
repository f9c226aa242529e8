"""What `sidecar setup elasticsearch` does: compare, plan, put. Nothing that is not ours is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from sidecar.deliver.common.http import Request
from sidecar.deliver.elasticsearch.answers import answer, rejection
from sidecar.deliver.elasticsearch.templates import refused_for_dots, variants
from sidecar.provision import cluster_objects
from sidecar.provision.cluster_objects import Found, Wanted
from sidecar.provision.search_engine import Engine

Action = Literal["create", "update", "keep", "foreign", "skip"]
CHANGES: frozenset[Action] = frozenset(("create", "update"))
_STREAMS = ("traces-generic.otel-default", "logs-generic.otel-default")
_PRIORITY = 110
"""Of our index templates."""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one object."""

    action: Action
    wanted: Wanted
    reason: str = ""
    condition: str = ""

    def __str__(self) -> str:
        text = f"{self.action:<8} {self.wanted.kind.label} {self.wanted.name}"
        return f"{text}: {self.reason}" if self.reason else text


def compare(request: Request, wanted: Sequence[Wanted], overwrite: bool) -> list[Step]:
    """The plan. Raises as `answers.answer`."""
    steps = []
    for want in wanted:
        if want.skip:
            steps.append(Step("skip", want, want.skip))
            continue
        there = answer(request("GET", want.target, None), f"reading the {want.kind.label} {want.name}")
        steps.append(decide(want, cluster_objects.found(want, there), overwrite))
    return steps


def decide(want: Wanted, there: Found | None, overwrite: bool) -> Step:
    """One object's step. `overwrite` gives up changes to what is ours; what is foreign stays in any case."""
    if there is None:
        return Step("create", want)
    if not there.ours:
        reason = "not made by model-sidecar: left as it is"
        if want.name in ("logs-otel@custom", "traces-otel@custom"):
            policy = want.body["template"]["settings"]["index.lifecycle.name"]
            reason += f"; to use our lifecycle policy, set index.lifecycle.name to {policy} there"
        return Step("foreign", want, reason)
    if there.digest == want.digest and not (overwrite and want.once):
        return Step("keep", want, "as it should be")
    if want.once and not overwrite:
        return Step("keep", want, "yours since it was made; --overwrite puts ours back")
    return Step("update", want, "ours, of another version", there.condition)


def apply(request: Request, steps: Sequence[Step]) -> Iterator[Step]:
    """Carry out the changes, in order, each given when it is done. Raises at the first that the engine refuses."""
    for step in steps:
        if step.action not in CHANGES:
            continue
        for body in variants(step.wanted.body):
            reply = request("PUT", step.wanted.target + step.condition, json.dumps(body).encode())
            if not refused_for_dots(reply):
                break
        if not 200 <= reply.status < 300:
            raise rejection(reply, f"{step.action} {step.wanted.kind.label} {step.wanted.name}")
        yield step


def overriding(request: Request, engine: Engine) -> list[str]:
    """Index templates of others with a higher priority that match our data streams, as lines for people."""
    reply = request("GET", "/_index_template", None)
    if reply.status != 200:
        return []
    own = {want.name for want in cluster_objects.wanted(engine) if want.kind is cluster_objects.INDEX}
    lines = []
    for entry in (answer(reply, "reading index templates") or {}).get("index_templates", ()):
        name, body = str(entry.get("name")), entry.get("index_template", {})
        priority = int(body.get("priority") or 0)
        if name in own or name.endswith("-otel@template") or priority < _PRIORITY:
            continue
        matched = [s for s in _STREAMS if any(fnmatchcase(s, p) for p in body.get("index_patterns", ()))]
        if matched:
            lines.append(f"index template {name} (priority {priority}) takes {' and '.join(matched)}: left as it is")
    return lines
