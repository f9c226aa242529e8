"""What is to be in the cluster: the files of `elk/`, with a mark of whose they are.

The mark is a digest of the object as it ships, so that a later program knows whether what it finds is what it would
put. It is in `_meta` where the API has one, else at the end of the description.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.deliver.elasticsearch.templates import load
from sidecar.provision.search_engine import Engine

OWNER = "model-sidecar"
_MARK = re.compile(r" \(model-sidecar ([0-9a-f]{12})\)$")


@dataclass(frozen=True, slots=True)
class Kind:
    """An API for objects of one kind."""

    label: str
    path: str
    """Where one is read and put, with `{name}`."""
    find: Callable[[Any, str], Mapping[str, Any] | None]
    """(answer, name) -> the object in the engine's answer."""
    home: tuple[str, ...]
    """Keys that lead to the part with `_meta` or `description`."""
    meta: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object as it should be."""

    kind: Kind
    name: str
    body: Mapping[str, Any]
    digest: str
    once: bool = False
    """Made where it is missing; afterwards the operator's."""
    skip: str = ""
    """Why it cannot be put here."""

    @property
    def target(self) -> str:
        return self.kind.path.format(name=self.name)


@dataclass(frozen=True, slots=True)
class Found:
    """What is there under a name."""

    ours: bool
    digest: str = ""
    condition: str = ""
    """What an update has to name, as a query string."""


def _named(collection: str, member: str) -> Callable[[Any, str], Mapping[str, Any] | None]:
    def find(answer: Any, name: str) -> Mapping[str, Any] | None:
        return next((t[member] for t in answer.get(collection, ()) if t.get("name") == name), None)

    return find


COMPONENT = Kind(
    "component template",
    "/_component_template/{name}",
    _named("component_templates", "component_template"),
    (),
    True,
)
INDEX = Kind("index template", "/_index_template/{name}", _named("index_templates", "index_template"), (), True)
ILM = Kind("lifecycle policy", "/_ilm/policy/{name}", lambda answer, name: answer.get(name), ("policy",), True)
ISM = Kind(
    "lifecycle policy",
    "/_plugins/_ism/policies/{name}",
    lambda answer, name: answer if "policy" in answer else None,
    ("policy",),
    False,
)
PIPELINE = Kind("ingest pipeline", "/_ingest/pipeline/{name}", lambda answer, name: answer.get(name), (), False)


def wanted(engine: Engine, keep_days: Mapping[str, int] | None = None) -> list[Wanted]:
    """Everything for this engine, in the order in which one needs the other. `keep_days`: retention by
    `logs`, `traces`."""
    return [*_policies(engine, keep_days or {}), *_pipelines(engine), *_templates(engine)]


def _policies(engine: Engine, keep_days: Mapping[str, int]) -> Iterator[Wanted]:
    kind, folder = (ILM, "ilm_policies") if engine.kind == "elasticsearch" else (ISM, "ism_policies")
    for name, body in load(engine.kind, folder).items():
        days = keep_days.get(name.removeprefix("sidecar-"))
        if days is not None:
            body = _retention(body, days)
        yield _marked(kind, name, body, once=True, skip=engine.lacks.get("lifecycle", ""))


def _retention(body: dict[str, Any], days: int) -> dict[str, Any]:
    """The policy with another age of deletion."""
    text = json.dumps(body)
    age = re.search(r'"min_(?:rollover_)?age": "(\d+d)"', text)
    described = re.search(r"delete (\d+) days", text)
    if not age or not described:
        raise ValueError("a policy of ours deletes after days")
    text = text.replace(f'age": "{age[1]}"', f'age": "{days}d"').replace(described[0], f"delete {days} days")
    return dict(json.loads(text))


def _pipelines(engine: Engine) -> Iterator[Wanted]:
    for name, body in load(engine.kind, "ingest_pipelines").items():
        yield _marked(PIPELINE, name, body, skip=engine.lacks.get("pipelines", ""))


def _templates(engine: Engine) -> Iterator[Wanted]:
    no_lifecycle = engine.lacks.get("lifecycle", "")
    if engine.built_in:
        for name, body in load(engine.kind, "built_in").items():
            yield _marked(COMPONENT, name, body, skip=no_lifecycle)
        return
    for name, body in load(engine.kind, "component_templates").items():
        if name.endswith("@lifecycle") and no_lifecycle:
            body = {**body, "template": {"settings": {}}}
        yield _marked(COMPONENT, name, body, once=name.endswith("@custom"))
    for name, body in load(engine.kind, "index_templates").items():
        yield _marked(INDEX, name, body)


def _marked(kind: Kind, name: str, body: Mapping[str, Any], once: bool = False, skip: str = "") -> Wanted:
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
    marked = copy.deepcopy(dict(body))
    home = _home(kind, marked)
    if kind.meta:
        home["_meta"] = {**home.get("_meta", {}), "managed_by": OWNER, "objects": digest}
    else:
        home["description"] = f"{home.get('description', '')} ({OWNER} {digest})"
    return Wanted(kind, name, marked, digest, once, skip)


def found(want: Wanted, answer: Any) -> Found | None:
    """Whose object the engine's answer holds; None where there is none of the name."""
    body = want.kind.find(answer, want.name) if isinstance(answer, Mapping) else None
    if body is None:
        return None
    condition = ""
    if want.kind is ISM:  # The plugin refuses a change that does not name the version it changes.
        condition = f"?if_seq_no={answer['_seq_no']}&if_primary_term={answer['_primary_term']}"
    home = _home(want.kind, body)
    if want.kind.meta:
        meta = home.get("_meta") or {}
        return Found(meta.get("managed_by") == OWNER, str(meta.get("objects", "")), condition)
    mark = _MARK.search(str(home.get("description", "")))
    return Found(mark is not None, mark[1] if mark else "", condition)


def _home(kind: Kind, body: Any) -> Any:
    for key in kind.home:
        body = body[key]
    return body
