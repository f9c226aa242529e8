"""Traces that the sink has put into Elasticsearch or OpenSearch, as a place where they are looked up.

Only `_search`, `_msearch` and `_field_caps` of the configured indices are asked; what comes from a request is in their
bodies, never in an address.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.http import Http, Unreached
from sidecar.deliver.common.tls import missing_file
from sidecar.deliver.elasticsearch.answers import reason_of
from sidecar.deliver.elasticsearch.trace_options import TraceElasticsearchOptions
from sidecar.deliver.elasticsearch.trace_queries import (
    SERVICE,
    SORT,
    companions_query,
    field_names,
    number_fields,
    operations_aggregation,
    spans_query,
    traces_query,
    values_aggregation,
)
from sidecar.deliver.sink import Finding
from sidecar.errors import Permanent
from sidecar.lookup.document_traces import CONFLICTS, TraceBuilder, is_event_id, span_of
from sidecar.lookup.model import Span, Trace
from sidecar.lookup.store import MAX_SPANS, Deadline, LookupTimeout, Needs, Operation, StoreFailure, Term, Window

_TOGETHER = 32
"""Traces of one `_search`, ..."""
_DOCUMENTS = 2_000
"""... where they have no more documents than these; ..."""
_TRACES_AT_ONCE = 8
"""... else so many of one `_msearch`, so that a reply stays small."""
_UNSORTED = ["_doc"]
_NO_STORED_FIELDS = {"_source": False, "stored_fields": "_none_"}
_FIRST_PAGE, _PAGE = 500, 2_000
_MAX_SERVICES = 1_000
_MAX_OPERATIONS = 10_000
_OPERATIONS_PAGE = 1_000
_LENIENT = "ignore_unavailable=true&allow_no_indices=true"
_OK, _BAD, _UNAUTHORIZED = 200, 400, (401, 403)
_MAX_REASON = 300
_NUMBERS = {"byte", "double", "float", "half_float", "integer", "long", "scaled_float", "short", "unsigned_long"}
_FIELDS = "attributes.*,resource.attributes.*"


class _ReplyTooLarge(StoreFailure):
    """There is more in a reply than is read of one."""


class ElasticsearchTraces:
    """See `lookup.store.TraceStore`."""

    def __init__(self, options: TraceElasticsearchOptions, http: Http) -> None:
        self._options, self._http = options, http
        self._authorization = Authorization(options.auth)

    def traces(self, trace_ids: Sequence[str], deadline: Deadline, limit: int = MAX_SPANS) -> list[Trace]:
        builders: list[TraceBuilder] = []
        for begin in range(0, len(trace_ids), _TOGETHER):
            builders += self._built(trace_ids[begin : begin + _TOGETHER], deadline, limit)
        return [trace for builder in builders if (trace := builder.trace()) is not None]

    def candidates(
        self, needs: Sequence[Needs], window: Window, deadline: Deadline, companions: Sequence[Needs] = ()
    ) -> Iterator[Sequence[str]]:
        seen: set[str] = set()
        # From columns of the index: what is stored of a document is unpacked together with others.
        fetched = {"docvalue_fields": ["trace_id"], **_NO_STORED_FIELDS}
        for hits in self._newest_first(needs, window, fetched, deadline):
            ids = (hit["fields"]["trace_id"][0] for hit in hits if "fields" in hit)
            fresh = list(dict.fromkeys(trace_id for trace_id in ids if trace_id not in seen))
            seen.update(fresh)
            if fresh and companions:
                answer = self._search(companions_query(fresh, companions), deadline)
                accompanied = {bucket["key"] for bucket in _buckets(answer, "values")}
                fresh = [trace_id for trace_id in fresh if trace_id in accompanied]
            if fresh:
                yield fresh

    def spans(self, needs: Sequence[Needs], window: Window, deadline: Deadline) -> Iterator[Sequence[Span]]:
        for hits in self._pages(needs, window, self._numbers(needs, deadline), {}, deadline):
            yield [span_of(hit["_source"]) for hit in hits]

    def services(self, deadline: Deadline) -> list[str]:
        body = values_aggregation({"match_all": {}}, SERVICE, _MAX_SERVICES)
        return sorted(str(bucket["key"]) for bucket in _buckets(self._search(body, deadline), "values"))

    def operations(self, service: str, deadline: Deadline) -> list[Operation]:
        found: list[Operation] = []
        after: dict[str, Any] | None = None
        while len(found) < _MAX_OPERATIONS:
            answer = self._search(operations_aggregation(service, after, _OPERATIONS_PAGE), deadline)
            buckets = _buckets(answer, "operations")
            keys = [bucket["key"] for bucket in buckets]
            found += [Operation(service, k["name"] or "", (k["kind"] or "unspecified").lower()) for k in keys]
            after = answer.get("aggregations", {}).get("operations", {}).get("after_key")
            if after is None or len(buckets) < _OPERATIONS_PAGE:
                break
        return sorted(found, key=lambda operation: (operation.name, operation.kind))

    def tag_names(self, window: Window, deadline: Deadline) -> dict[str, list[str]]:
        target = f"/{quote(self._options.traces, safe='*,')}/_field_caps?{_LENIENT}&fields={_FIELDS}"
        # Elasticsearch from 8.13 on can leave out what is in the mapping only; others refuse to.
        known = self._ask("GET", target + "&include_empty_fields=false", None, deadline, bad_is_empty=True).get(
            "fields"
        )
        if known is None:
            known = self._ask("GET", target, None, deadline).get("fields", {})
        leaves = [name for name, kinds in known.items() if any(kind["searchable"] for kind in kinds.values())]
        scopes = {"span": "attributes.", "resource": "resource.attributes."}
        return {
            scope: sorted(n.removeprefix(p) for n in leaves if n.startswith(p) and n != p + CONFLICTS)
            for scope, p in scopes.items()
        }

    def tag_values(
        self, term: Term, needs: Sequence[Needs], window: Window, limit: int, deadline: Deadline
    ) -> list[Any]:
        found: dict[str, Any] = {}
        for field in field_names(term):
            body = values_aggregation(spans_query(needs, window), field, limit)
            for bucket in _buckets(self._search(body, deadline, bad_is_empty=True), "values"):
                value = bucket["key_as_string"] == "true" if _is_bool(bucket) else bucket["key"]
                found.setdefault(f"{type(value).__name__} {value}", value)
        return sorted(found.values(), key=lambda value: (type(value).__name__, value))[:limit]

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    # -- documents

    def _built(self, trace_ids: Sequence[str], deadline: Deadline, limit: int) -> list[TraceBuilder]:
        """From one search; where its reply does not have all documents or would be too large, from searches for each
        trace."""
        hits = self._together(trace_ids, deadline)
        if hits is None:
            return list(self._apart(trace_ids, _TRACES_AT_ONCE, deadline, limit))
        builders = {trace_id: TraceBuilder(trace_id, limit) for trace_id in trace_ids}
        for hit in hits:
            _gather(builders[hit["_source"]["trace_id"]], hit)
        return list(builders.values())

    def _together(self, trace_ids: Sequence[str], deadline: Deadline) -> list[dict[str, Any]] | None:
        """All documents of these traces; None where one reply does not have them, or one does not show its trace."""
        body = {
            "query": traces_query(trace_ids),
            "size": _DOCUMENTS,
            "sort": _UNSORTED,
            "track_total_hits": _DOCUMENTS + 1,
        }
        try:
            hits = self._search(body, deadline, indices=f"{self._options.traces},{self._options.logs}")["hits"]
        except _ReplyTooLarge:
            return None
        found: list[dict[str, Any]] = hits["hits"]
        whole = len(found) == hits["total"]["value"]
        return found if whole and all(hit["_source"].get("trace_id") in trace_ids for hit in found) else None

    def _apart(self, trace_ids: Sequence[str], at_once: int, deadline: Deadline, limit: int) -> Iterator[TraceBuilder]:
        """So many traces of one request, or fewer where its reply would be too large. Raises `StoreFailure` where that
        of one trace is."""
        for begin in range(0, len(trace_ids), at_once):
            part = trace_ids[begin : begin + at_once]
            try:
                yield from list(self._each_built(part, deadline, limit))
            except _ReplyTooLarge:
                if len(part) == 1:
                    raise
                yield from self._apart(part, max(1, len(part) // 2), deadline, limit)

    def _each_built(self, trace_ids: Sequence[str], deadline: Deadline, limit: int) -> Iterator[TraceBuilder]:
        lines: list[dict[str, Any]] = []
        for trace_id in trace_ids:
            for index in (self._options.traces, self._options.logs):
                lines.append({"index": index, "ignore_unavailable": True, "allow_no_indices": True})
                # One more than is shown, to know whether there are more.
                lines.append(
                    {
                        "query": traces_query([trace_id]),
                        "size": min(limit + 1, MAX_SPANS),
                        "track_total_hits": limit + 1,
                    }
                )
        body = "".join(json.dumps(line) + "\n" for line in lines)
        answers = self._ask("POST", "/_msearch", body, deadline, "application/x-ndjson")["responses"]
        for number, trace_id in enumerate(trace_ids):
            builder = TraceBuilder(trace_id, limit)
            for answer in answers[2 * number : 2 * number + 2]:
                if "error" in answer:
                    raise StoreFailure(f"the search engine refused a search: {_reason(answer)}")
                for hit in answer["hits"]["hits"]:
                    _gather(builder, hit)
                if answer["hits"]["total"]["value"] > limit:
                    builder.truncate()
            yield builder

    def _newest_first(
        self, needs: Sequence[Needs], window: Window, fetched: dict[str, Any], deadline: Deadline
    ) -> Iterator[list[dict[str, Any]]]:
        """As `_pages`, but those of one time in any order, and some of them twice: what else orders them takes several
        times as long as the time does."""
        numbers = self._numbers(needs, deadline)
        query = spans_query(needs, window, numbers)
        body = {"query": query, "size": _FIRST_PAGE, "sort": SORT[:1], "track_total_hits": False, **fetched}
        hits = self._search(body, deadline)["hits"]["hits"]
        if hits:
            yield hits
        if len(hits) == _FIRST_PAGE:
            rest = Window(window.start_ns, min(window.end_ns, int(hits[-1]["sort"][0])))
            yield from self._pages(needs, rest, numbers, fetched, deadline)

    def _pages(
        self,
        needs: Sequence[Needs],
        window: Window,
        numbers: Sequence[str],
        fetched: dict[str, Any],
        deadline: Deadline,
    ) -> Iterator[list[dict[str, Any]]]:
        """`numbers`: see `_numbers`."""
        size, after = _FIRST_PAGE, None
        query = spans_query(needs, window, numbers)
        while True:
            body = {
                "query": query,
                "size": size,
                "sort": SORT,
                "track_total_hits": False,
                **fetched,
                **({"search_after": after} if after else {}),
            }
            hits = self._search(body, deadline)["hits"]["hits"]
            if hits:
                yield hits
            if len(hits) < size:
                return
            after, size = hits[-1]["sort"], _PAGE

    def _numbers(self, needs: Sequence[Needs], deadline: Deadline) -> list[str]:
        """Of the fields that the needs compare with numbers, those that are numbers in every index: as text 9 is more
        than 10."""
        fields = number_fields(needs)
        if not fields:
            return []
        names = quote(",".join(fields), safe=",")
        target = f"/{quote(self._options.traces, safe='*,')}/_field_caps?{_LENIENT}&fields={names}"
        known = self._ask("GET", target, None, deadline, bad_is_empty=True).get("fields", {})
        return [field for field in fields if field in known and known[field].keys() <= _NUMBERS]

    # -- requests

    def _search(
        self, body: dict[str, Any], deadline: Deadline, bad_is_empty: bool = False, indices: str = ""
    ) -> dict[str, Any]:
        """A search, of the spans where no indices are given. `bad_is_empty`: a field that cannot be asked has no
        values."""
        target = f"/{quote(indices or self._options.traces, safe='*,')}/_search?{_LENIENT}"
        timed = {**body, "timeout": f"{max(1, round(deadline.left * 1000))}ms"}
        answer = self._ask("POST", target, json.dumps(timed), deadline, bad_is_empty=bad_is_empty)
        if answer.get("timed_out"):
            raise LookupTimeout("the search engine did not look at everything in time")
        return answer

    def _ask(
        self,
        method: str,
        target: str,
        body: str | None,
        deadline: Deadline,
        kind: str = "application/json",
        bad_is_empty: bool = False,
    ) -> dict[str, Any]:
        deadline.check()
        try:
            headers = {"content-type": kind, "accept": "application/json", **self._authorization.headers()}
            reply = self._http.request(method, target, None if body is None else body.encode(), headers)
        except Unreached as error:
            if str(error) == "timeout":
                raise LookupTimeout(f"the search engine did not answer in time: {error.detail}") from error
            failure = _ReplyTooLarge if str(error) == "too_large" else StoreFailure
            raise failure(f"the search engine cannot be reached: {error.detail}") from error
        except Permanent as error:
            raise StoreFailure(error.reason) from error
        if reply.status in _UNAUTHORIZED:
            self._authorization.forget()
        if reply.status == _BAD and bad_is_empty:
            return {}
        answer = _read(reply.body)
        if reply.status != _OK:
            raise StoreFailure(f"the search engine answered {reply.status}: {_reason(answer)}")
        return answer


def _gather(builder: TraceBuilder, hit: dict[str, Any]) -> None:
    if "duration" in hit["_source"]:
        builder.add_span(hit["_id"], hit["_source"])
    elif is_event_id(hit["_id"]):
        builder.add_event(hit["_id"], hit["_source"])
    else:
        builder.add_log(hit["_id"], hit["_source"])


def _read(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise StoreFailure("the search engine's answer is no JSON object: is the address right?")
    return answer


def _reason(answer: dict[str, Any]) -> str:
    return (reason_of(answer) or "no reason given")[:_MAX_REASON]


def health_check(options: TraceElasticsearchOptions, timeout: float) -> Finding:
    """Whether a node answers a search of the spans. Raises `Permanent` where a secret cannot be read."""
    from sidecar.deliver.common.http_client import HttpClient

    missing = missing_file(options.tls)
    if missing is not None:
        return Finding("failed", f"{missing}: there is no such file")
    http = HttpClient(options.hosts, options.tls, timeout, 1)
    target = f"/{quote(options.traces, safe='*,')}/_search?{_LENIENT}&size=0"
    try:
        headers = {"accept": "application/json", **Authorization(options.auth).headers()}
        finding = classify_health(http.request("GET", target, None, headers).status, options.traces)
    except Unreached as error:
        finding = Finding("failed", f"{error.reason}: {error.detail}")
    finally:
        http.close()
    return Finding(finding.state, f"{', '.join(options.hosts)}: {finding.detail}")


def classify_health(status: int, indices: str) -> Finding:
    """What the HTTP status of an answer to a search says of look-ups to come."""
    if status == _OK:
        return Finding("ok", f"{indices} can be searched")
    if status == _UNAUTHORIZED[0]:
        return Finding("failed", "the credentials are refused (HTTP 401)")
    if status == _UNAUTHORIZED[1]:
        return Finding("failed", f"the credentials may not read {indices} (HTTP 403); expected the role sidecar-reader")
    return Finding("warning", f"answers with HTTP {status}: is it Elasticsearch or OpenSearch, and is it well?")


def _buckets(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.get("aggregations", {}).get(name, {}).get("buckets", [])
    return found


def _is_bool(bucket: dict[str, Any]) -> bool:
    """A boolean's key is 0 or 1; its text differs from a number's."""
    return bucket.get("key_as_string") in ("true", "false")
