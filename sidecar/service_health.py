"""`sidecar health`: whether the services of a monitoring stack answer, and answer that they are well.

Sources of what each service says of itself: Elasticsearch's cluster health API (`status`), Logstash's node API
(`status`), Kibana's status API (`status.overall.level`), Prometheus' and Alertmanager's management APIs (`/-/ready`),
Grafana's health API (`database`), MLflow's `/health`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, field_validator

from sidecar.deliver.common.addresses import check_url
from sidecar.deliver.common.http import Reply, Unreached
from sidecar.errors import ConfigError, Permanent
from sidecar.options import ClientAuth, ClientTls, Section

Kind = Literal[
    "http", "model", "sidecar", "elasticsearch", "logstash", "kibana", "prometheus", "alertmanager", "grafana", "mlflow"
]
MAX_TARGETS = 1000
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Check:
    """How a kind of service is asked."""

    path: str
    problem: Callable[[Any], str | None] = lambda body: None
    """JSON of the reply -> what is wrong, None where nothing is."""
    reads: bool = False
    """Whether the reply has to be JSON."""


def _cluster(body: Any) -> str | None:
    status = body.get("status")
    return None if status in ("green", "yellow") else f"the cluster is {status}"


def _logstash(body: Any) -> str | None:
    status = body.get("status")
    return None if status in (None, "green", "yellow") else f"the node is {status}"


def _kibana(body: Any) -> str | None:
    overall = body["status"]["overall"]
    level = overall.get("level") or overall.get("state")
    return None if level in ("available", "green", "degraded", "yellow") else f"the status is {level}"


def _grafana(body: Any) -> str | None:
    return None if body.get("database") == "ok" else f"the database is {body.get('database')}"


CHECKS: Mapping[Kind, _Check] = {
    "http": _Check(""),
    "model": _Check("/health"),
    "sidecar": _Check("/readyz"),
    "elasticsearch": _Check("/_cluster/health", _cluster, reads=True),
    "logstash": _Check("/", _logstash, reads=True),
    "kibana": _Check("/api/status", _kibana, reads=True),
    "prometheus": _Check("/-/ready"),
    "alertmanager": _Check("/-/ready"),
    "grafana": _Check("/api/health", _grafana, reads=True),
    "mlflow": _Check("/health"),
}


class Target(Section):
    """One service."""

    name: str = Field(min_length=1, description="As the table calls it.")
    url: str = Field(description="Base address; with `kind: http` the whole address that is asked.")
    kind: Kind = Field("http", description="What it is: says which path is asked and what a good answer is.")
    path: str | None = Field(None, pattern="^/", description="Asked instead of the kind's own path.")
    tls: ClientTls = Field(default_factory=lambda: ClientTls.model_validate({}))
    auth: ClientAuth = Field(default_factory=lambda: ClientAuth.model_validate({}))

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        check_url(url)
        return url


@dataclass(frozen=True, slots=True)
class Health:
    """What was found of one target."""

    name: str
    kind: str
    url: str
    up: bool
    latency_seconds: float
    detail: str


LOCAL = tuple(
    Target.model_validate({"name": kind, "kind": kind, "url": f"http://localhost:{port}"})
    for kind, port in (
        ("model", 8000),
        ("sidecar", 9464),
        ("elasticsearch", 9200),
        ("logstash", 9600),
        ("kibana", 5601),
        ("prometheus", 9090),
        ("alertmanager", 9093),
        ("grafana", 3000),
        ("mlflow", 5000),
    )
)
"""Where the services listen by convention."""


def targets(file: Path) -> list[Target]:
    """The targets of a file. Raises `ConfigError` with everything that is wrong in it."""
    try:
        body = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"{file}: cannot be read: {error}"]) from error
    entries = body.get("targets") if isinstance(body, dict) else None
    if not isinstance(entries, list) or not entries or len(entries) > MAX_TARGETS:
        raise ConfigError([f"{file}: invalid targets; expected a list `targets` of 1 to {MAX_TARGETS} entries"])
    found, problems = [], []
    for number, entry in enumerate(entries):
        try:
            found.append(Target.model_validate(entry))
        except ValidationError as error:
            problems += [f"{file}: targets[{number}]: {_explained(e)}" for e in error.errors()]
    names = [target.name for target in found]
    problems += [f"{file}: two targets are named {n}; expected names that differ" for n in _twice(names)]
    if problems:
        raise ConfigError(problems)
    return found


def _explained(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg'].removeprefix('Value error, ')}" if where else str(error["msg"])


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


class Ask(Protocol):
    """The way to a target: path -> reply. Raises `Unreached`, `Permanent`."""

    def __call__(self, target: Target, path: str, timeout: float) -> Reply: ...


def over_http(target: Target, path: str, timeout: float) -> Reply:
    """GET, with the target's credentials and certificates."""
    from sidecar.deliver.common.auth import Authorization
    from sidecar.deliver.common.http_client import HttpClient

    address = urlsplit(target.url + path)
    http = HttpClient([f"{address.scheme}://{address.netloc}"], target.tls, timeout, 1)
    asked = (address.path or "/") + (f"?{address.query}" if address.query else "")
    try:
        return http.request("GET", asked, None, {"accept": "*/*", **Authorization(target.auth).headers()})
    finally:
        http.close()


def check(
    found: Sequence[Target], timeout: float, ask: Ask = over_http, clock: Callable[[], float] = time.monotonic
) -> list[Health]:
    """Ask all targets, several at once, each with that timeout in seconds; in their order."""

    def one(target: Target) -> Health:
        began = clock()
        problem = _problem(target, timeout, ask)
        return Health(target.name, target.kind, target.url, problem is None, clock() - began, problem or "")

    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(found)), thread_name_prefix="health") as pool:
        return list(pool.map(one, found))


def _problem(target: Target, timeout: float, ask: Ask) -> str | None:
    how = CHECKS[target.kind]
    try:
        reply = ask(target, _path(target, how), timeout)
    except Unreached as error:
        return f"{error.reason}: {error.detail}"
    except Permanent as error:
        return str(error)
    if not 200 <= reply.status < 300:
        return f"HTTP {reply.status}"
    if not how.reads:
        return None
    try:
        return how.problem(json.loads(reply.body))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the answer is not that of {target.kind}; expected its own address"


def _path(target: Target, how: _Check) -> str:
    """What is asked below the target's address. A slash at the address's end does not double that of the path."""
    path = how.path if target.path is None else target.path
    return path.removeprefix("/") if target.url.endswith("/") else path


def as_table(found: Sequence[Health]) -> list[str]:
    """Lines for people: state, name, latency, detail."""
    width = max(len(health.name) for health in found)
    lines = [
        f"{'up' if h.up else 'DOWN':<5} {h.name:<{width}} {h.latency_seconds * 1000:>7.0f} ms  {h.detail or h.url}"
        for h in found
    ]
    down = sum(not health.up for health in found)
    return [*lines, f"{len(found) - down} up, {down} down"]


def as_json(found: Sequence[Health]) -> str:
    """The same for programs."""
    return json.dumps({"up": all(h.up for h in found), "services": [asdict(h) for h in found]}, indent=2)
