"""Least privilege: roles as the engines take them, and an API key with the writer's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from sidecar.deliver.common.http import Request
from sidecar.deliver.elasticsearch.answers import answer
from sidecar.deliver.elasticsearch.templates import load
from sidecar.errors import Permanent
from sidecar.provision.cluster_objects import OWNER
from sidecar.provision.search_engine import Engine

WRITER = "sidecar-writer"
PURPOSES = {
    WRITER: "what the sidecar needs to deliver, once the cluster is set up",
    "sidecar-setup": "what `sidecar setup` and `sidecar setup check` need",
    "sidecar-reader": "what people who look at the documents need, and `sidecar report`",
    "sidecar-outcomes": "what `sidecar outcomes` needs, with outcomes.elasticsearch.index as it is by default",
}
_PATHS = {"elasticsearch": "/_security/role/", "opensearch": "/_plugins/_security/api/roles/"}


def roles(engine: Engine) -> Iterator[str]:
    """Lines that can be pasted into the console of Kibana or OpenSearch Dashboards."""
    bodies = load(engine.kind, "roles")
    for name, purpose in PURPOSES.items():
        yield f"# {purpose}"
        yield f"PUT {_PATHS[engine.kind]}{name}"
        yield json.dumps(bodies[name], indent=2)
        yield ""


def create_api_key(request: Request, engine: Engine, name: str, expires: float | None) -> str:
    """A new API key that may do what the writer may, in its encoded form; `expires`: seconds from now. Raises
    `Permanent` where the engine has none."""
    if engine.kind != "elasticsearch":
        raise Permanent("OpenSearch has no such API keys: make a user with the role that --roles prints")
    if engine.lacks.get("security"):
        raise Permanent(f"no API key: {engine.lacks['security']}")
    body: dict[str, Any] = {
        "name": name,
        "role_descriptors": {WRITER: load(engine.kind, "roles")[WRITER]},
        "metadata": {"managed_by": OWNER},
    }
    if expires is not None:
        body["expiration"] = f"{math.ceil(expires)}s"
    made = answer(request("POST", "/_security/api_key", json.dumps(body).encode()), "creating an API key")
    if not made or not made.get("encoded"):
        raise Permanent("creating an API key: the answer holds no key")
    return str(made["encoded"])
