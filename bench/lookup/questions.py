"""What is asked, each with the time that it may take, and how an answer is known to be whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from rounds import USERS, trace_id, user_id

HOUR = 3600
NS = 1_000_000_000
LIMIT = 20
"""Of a search, as Grafana's data sources have it by default."""
_DATABASE = 'span.db.system = "postgresql" && duration > 20ms'
_SLOW = "duration > 200ms"
Ask = Callable[[Random], str]


@dataclass(frozen=True, slots=True)
class Question:
    """A kind of look-up. `ask` makes the path and query of one."""

    name: str
    ask: Ask
    by_id: bool = False
    finds: bool = True
    """It has to find something each time; else nothing."""
    reads_all: bool = False
    """No index knows: every payload in the range is read, and no target is set."""

    @property
    def of_jaeger(self) -> bool:
        """Jaeger can be asked it, and answers as we do: it wants a service, and the time of a trace."""
        return "TraceQL" not in self.name and "Tempo" not in self.name and self.name != "newest traces"


def questions(traces: int, begin: int, end: int) -> Sequence[Question]:
    """About traces 0 to `traces` (exclusive); searches are from `begin` to `end` (Unix seconds)."""
    micro = f"start={begin * 10**6}&end={end * 10**6}&limit={LIMIT}"

    def tempo(query: str) -> Ask:
        return lambda random: f"/tempo/api/search?q={quote(query)}&start={begin}&end={end}&limit={LIMIT}"

    def jaeger(parameters: str) -> Ask:
        return lambda random: f"/api/traces?{parameters}&{micro}"

    def tagged(**wanted: str) -> Ask:
        tags = {key.replace("__", "."): value for key, value in wanted.items()}
        return jaeger(f"service=gateway&tags={quote(json.dumps(tags))}")

    def known(random: Random) -> str:
        return user_id(random.randrange(traces))

    def unknown(random: Random) -> str:
        return f"u{USERS + random.randrange(USERS):07d}"

    return [
        Question("by id, Jaeger", lambda r: f"/api/traces/{trace_id(r.randrange(traces))}", by_id=True),
        Question("by id, Tempo", lambda r: f"/tempo/api/traces/{trace_id(r.randrange(traces))}", by_id=True),
        Question("by id, not there", lambda r: f"/api/traces/{trace_id((1 << 40) + r.randrange(10**9))}", True, False),
        Question("newest traces", tempo("{}")),
        Question("service", jaeger("service=wine-classifier")),
        Question("service and operation", jaeger("service=gateway&operation=POST%20/explain")),
        Question("operation, 1 trace in 6,400", jaeger("service=gateway&operation=POST%20/reindex")),
        Question("tag, in most requests", tagged(http__route="/models")),
        Question("two tags", tagged(http__route="/explain", http__response__status_code="500")),
        Question("tag, one user", lambda r: tagged(user__id=known(r))(r)),
        Question("tag, a user who is not there", lambda r: tagged(user__id=unknown(r))(r), finds=False),
        Question("errors", tagged(error="true")),
        Question("longer than 500 ms", jaeger("service=gateway&minDuration=500ms")),
        Question("longer than 2 s, 1 trace in 6,400", jaeger("service=gateway&minDuration=2s")),
        Question("TraceQL: one user", lambda r: tempo(f'{{ span.user.id = "{known(r)}" }}')(r)),
        Question("TraceQL: status and duration", tempo("{ status = error && duration > 200ms }")),
        Question("TraceQL: number", tempo('{ .service.name = "gateway" && span.http.response.status_code >= 500 }')),
        Question("TraceQL: pattern of names", tempo('{ name =~ "POST /ex.*" && kind = server }')),
        Question("TraceQL: pattern of a tag", tempo('{ span.user.id =~ "u00012.." }')),
        Question("TraceQL: pattern, nowhere", tempo('{ span.user.id =~ "v.*" }'), finds=False),
        Question("TraceQL: open pattern, nowhere", tempo('{ span.user.id =~ ".*v" }'), finds=False, reads_all=True),
        Question("TraceQL: a span below a span", tempo(f'{{ name = "POST /explain" }} >> {{ {_DATABASE} }}')),
        Question("TraceQL: two spans of a trace", tempo(f'{{ name = "inference" && {_SLOW} }} && {{ {_DATABASE} }}')),
    ]
