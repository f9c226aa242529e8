"""Redacted payloads, by either decoder."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import xxhash
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.payloads import (
    any_value,
    event,
    link,
    log,
    logs_payload,
    resource,
    resource_logs,
    resource_spans,
    scope,
    span,
    trace_payload,
)

from sidecar.decode.api import Decoder
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES
from sidecar.decode.otlp.wire import put_bytes, put_uint
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import (
    SAMPLING_SEED,
    VALUE_PATTERNS,
    Filter,
    KeyRule,
    Redacted,
    Rules,
    ValueRule,
    named_rule,
)
from sidecar.decode.select import native_decoder
from sidecar.errors import DecodeError

MASKS = Rules(values=tuple(named_rule(name, "mask") for name in VALUE_PATTERNS))
# Numbers that card issuers publish for tests, and what the standards' own examples use.
SECRETS = (
    b"ann.b@example.com",
    "größe@exämple.de".encode(),
    b"ann%40example.org",
    b"4111 1111 1111 1111",
    b"4111-1111-1111-1111",
    b"5500005555555559",
    b"378282246310005",
    b"Bearer mF_9.B5f-4.1JqM",
    b"authorization: bearer%20abcdefgh12",
    b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    b"postgres://app:hunter2@db:5432/x",
    b"AKIAIOSFODNN7EXAMPLE",
    b"-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
    b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF==\n-----END PGP PRIVATE KEY BLOCK-----",
    b'{"user": "ann", "password": "hunter2"}',
    b"Authorization: Basic YW5uOmh1bnRlcjI=",
)


@pytest.fixture(params=["native", "reference"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    found = native_decoder()
    if found is None:
        pytest.skip("the native core is not installed")
    return found


def logs_of(redacted: Redacted) -> ExportLogsServiceRequest:
    return ExportLogsServiceRequest.FromString(redacted.payload)


def spans_of(redacted: Redacted) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(redacted.payload)


def body_of(decoder: Decoder, rules: Rules, body: object) -> object:
    (of_resource,) = logs_of(decoder.redactor(rules).logs(logs_payload(log(body)))).resource_logs
    record = of_resource.scope_logs[0].log_records[0]
    return getattr(record.body, record.body.WhichOneof("value")) if record.HasField("body") else None


def test_what_no_rule_concerns_is_the_same_object(decoder: Decoder) -> None:
    payload = trace_payload(span(events=[event()], attributes={"k": "v", "n": 4, "m": {"a": [1, "x"]}}))
    unknown = put_bytes(99, b"kept") + payload
    for rules in (Rules(), MASKS, Rules(keys=(KeyRule(("secret",), "drop"),)), Rules(max_field_bytes=64)):
        redacted = decoder.redactor(rules).spans(payload)
        assert redacted.payload is payload
        assert (redacted.items, redacted.events, redacted.ordinals, redacted.changed) == (1, 1, None, 0)
    assert decoder.redactor(Rules()).spans(unknown).payload is unknown


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
def test_secrets_leave_nowhere(decoder: Decoder, secret: bytes) -> None:
    """In every text of a request, in bytes, in what no table knows and in what a later field overrides."""
    text = secret.decode()
    words = f"see {text} there"
    nest = {"a": [{"b": words, text: 1}, words.encode()]}
    of = resource(words, {"k": words, **nest})
    by = scope(words, words, nest)
    spans = resource_spans(
        span(
            words,
            trace_state=words,
            message=words,
            attributes={text: "v", "nest": nest, "bytes": words.encode()},
            events=[event(words, attributes=nest)],
            links=[link(trace_state=words, attributes=nest)],
        ),
        of=of,
        by=by,
    )
    spans.schema_url = spans.scope_spans[0].schema_url = words
    logs = resource_logs(log(nest, text=words, attributes=nest, event_name=words), log(words), of=of, by=by)
    hidden = put_bytes(99, secret) + put_bytes(5, secret) + put_bytes(3, secret) + put_bytes(2, b"\x0a" + secret[:4])
    earlier = put_bytes(1, put_bytes(1, put_bytes(1, b"k") + put_bytes(2, put_bytes(1, secret)))) + put_bytes(1, hidden)
    shadowed_id = put_bytes(9, b"id " + secret) + log("x", trace_id=b"t" * 16).SerializeToString()
    for signal, message, extra in (("spans", spans, b""), ("logs", logs, put_bytes(2, put_bytes(2, shadowed_id)))):
        payload = put_bytes(77, secret) + put_bytes(1, earlier + message.SerializeToString() + extra)
        if getattr(decoder, f"check_{signal}")(payload).rejected:
            pytest.fail("the payload is meant to be accepted")
        redacted = getattr(decoder.redactor(MASKS), signal)(payload)
        assert payload.count(secret) > 10
        assert secret not in redacted.payload
        assert redacted.changed > 10
        assert redacted.items == getattr(decoder, f"check_{signal}")(payload).items


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("card 4111 1111 1111 1111 123, thanks", "card [card] 123, thanks"),
        ("1234 4111111111111111", "1234 [card]"),
        ("2234 4111111111111111", "2234 [card]"),
        ("card_4111111111111111x", "card_[card]x"),
        ("4111111111111112", "4111111111111112"),
        ("0.4111111111111111", "0.4111111111111111"),
        ("no.4111111111111111", "no.[card]"),
        ("1795256301122834607", "1795256301122834607"),
        ("41111111111111114111", "41111111111111114111"),
    ],
)
def test_card_numbers(decoder: Decoder, text: str, expected: str) -> None:
    assert body_of(decoder, MASKS, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"user": "ann", "password": "hun\\"ter2", "n": 1}', '{"user": "ann", "[credential]", "n": 1}'),
        ("{'db_password': 'hunter2', 'n': 1}", "{'db_[credential]', 'n': 1}"),
        (r"{\"apiKey\": \"hunter2\", \"n\": 1}", r"{\"[credential]\", \"n\": 1}"),
        ("password=b'hunter2'", "[credential]'"),
        ("POST /login?user=ann&password=hunter2&x=1", "POST /login?user=ann&[credential]&x=1"),
        ("PWD=hunter2;Server=db", "[credential];Server=db"),
        ("export AWS_SECRET_ACCESS_KEY = hunter2", "export AWS_[credential]"),
        ("[(b'authorization', b'Basic hunter2'), (b'a', b'b')]", "[(b'[credential]'), (b'a', b'b')]"),
        ('"Authorization": ["Basic hunter2"]', '"[credential]"]'),
        ("tokens=512, max_tokens: 64", "tokens=512, max_tokens: 64"),
        ("the password, then 'ok'; token is new", "the password, then 'ok'; token is new"),
        ('password="" passwords: none', 'password="" passwords: none'),
    ],
)
def test_credentials_in_texts(decoder: Decoder, text: str, expected: str) -> None:
    assert body_of(decoder, MASKS, text) == expected


def test_encrypted_private_keys(decoder: Decoder) -> None:
    """Their headers have hyphens."""
    header = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,C0FFEE"
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{header}\n\nMIIEow==\n-----END RSA PRIVATE KEY-----"
    assert body_of(decoder, MASKS, f"loaded {key} - well") == "loaded [private_key] - well"


def test_card_numbers_as_integers(decoder: Decoder) -> None:
    assert body_of(decoder, MASKS, 4111111111111111) == "[card]"
    assert body_of(decoder, MASKS, 4111111111111112) == 4111111111111112
    assert body_of(decoder, Rules(values=(named_rule("card", "drop"),)), 4111111111111111) is None


def test_versions_and_hosts_are_no_addresses(decoder: Decoder) -> None:
    for text in ("lodash@4.17.21", "user @ example.com", "@decorator.name", "root@localhost"):
        assert body_of(decoder, MASKS, text) == text


def test_actions_on_values(decoder: Decoder) -> None:
    def redacted(action: str, body: object) -> object:
        rules = Rules(values=(ValueRule("r", "s[0-9]+", action),), hash_key=b"key")  # type: ignore[arg-type]
        return body_of(decoder, rules, body)

    assert redacted("mask", "a s1 b s22") == "a [r] b [r]"
    # `printf s1 | openssl dgst -sha256 -hmac key`, the first 16 digits.
    assert redacted("hash", "a s1 b") == "a [r:3c2bdadb32f73c69] b"
    assert redacted("hash", "s1") == redacted("hash", "s1") != redacted("hash", "s2")
    assert redacted("drop", "a s1 b") is None
    array = redacted("drop", ["s1", "keep", {"x": "s2", "y": "keep"}])
    assert array == any_value(["keep", {"y": "keep"}]).array_value


def test_a_match_inside_a_character_takes_it_whole(decoder: Decoder) -> None:
    assert body_of(decoder, Rules(values=(ValueRule("r", "x\\W", "mask"),)), "axéb") == "a[r]b"
    assert body_of(decoder, Rules(values=(ValueRule("r", "\\Wx", "mask"),)), "a😀xb") == "a[r]b"


def test_a_rule_sees_what_the_one_before_left(decoder: Decoder) -> None:
    rules = Rules(values=(ValueRule("one", "secret", "mask"), ValueRule("two", "a\\[one\\]b", "mask")))
    assert body_of(decoder, rules, "asecretb") == "[two]"


def test_too_many_matches_take_the_rest(decoder: Decoder) -> None:
    rules = Rules(values=(ValueRule("r", "x", "mask"),))
    assert body_of(decoder, rules, "x-" * 1024 + "tail") == "[r]-" * 1023 + "[r][r]"
    assert body_of(decoder, rules, "x-" * 1023 + "tail") == "[r]-" * 1023 + "tail"


def test_keys(decoder: Decoder) -> None:
    rules = Rules(
        keys=(
            KeyRule(("*password*", "db.user"), "drop"),
            KeyRule(("USER.id",), "hash"),
            KeyRule(("cookie", "tags"), "mask"),
        ),
        hash_key=b"key",
    )
    record = log(
        {"db": {"user": "x", "name": "n"}, "Password": 1, "user": {"id": 5}},
        attributes={"my_password_2": "x", "user.id": 5, "cookie": "c", "tags": ["a"], "passwor": "kept"},
    )
    redacted = decoder.redactor(rules).logs(logs_payload(record))
    (found,) = logs_of(redacted).resource_logs[0].scope_logs[0].log_records
    attributes = {pair.key: pair.value.string_value for pair in found.attributes}
    digest = attributes.pop("user.id")
    assert len(digest) == 16
    assert attributes == {"cookie": "[masked]", "tags": "[masked]", "passwor": "kept"}
    assert found.body == any_value({"db": {"name": "n"}, "user": {"id": digest}})
    assert redacted.changed == 7


def test_long_keys_above_an_entry(decoder: Decoder) -> None:
    rules = Rules(keys=(KeyRule(("*.secret.a", "root.secret.*"), "mask"),))
    for above in ("k" * 10, "k" * 249, "k" * 300, "k" * 100_000):
        inner = {above: {"secret": {"a": "1", "b": "2"}}, "a": "3"}
        redacted = body_of(decoder, rules, {"root": inner, "secret": {"a": "4"}})
        inner = {above: {"secret": {"a": "[masked]", "b": "2"}}, "a": "3"}
        assert redacted == any_value({"root": inner, "secret": {"a": "4"}}).kvlist_value


def test_key_rules_for_events(decoder: Decoder) -> None:
    rules = Rules(keys=(KeyRule(("features*",), "drop", events=("ml.prediction",)),))
    payload = logs_payload(
        log(attributes={"features.a": "1", "k": "2"}, event_name="ml.prediction"),
        log(attributes={"features.a": "1"}, event_name="other"),
        log({"features": {"a": 1}}, attributes={"event.name": "ml.prediction"}),
        of=resource("svc", {"features.x": "1"}),
    )
    redacted = decoder.redactor(rules).logs(payload)
    (of_resource,) = logs_of(redacted).resource_logs
    first, second, third = of_resource.scope_logs[0].log_records
    assert [pair.key for pair in first.attributes] == ["k"]
    assert [pair.key for pair in second.attributes] == ["features.a"]
    assert third.body == any_value({})
    assert [pair.key for pair in of_resource.resource.attributes] == ["service.name", "features.x"]
    assert redacted.changed == 2


def test_long_fields_are_cut(decoder: Decoder) -> None:
    rules = Rules(max_field_bytes=64)
    assert body_of(decoder, rules, "x" * 64) == "x" * 64
    assert body_of(decoder, rules, "x" * 65) == "x" * 56 + "…[cut]"
    assert body_of(decoder, rules, "x" + "é" * 40) == "x" + "é" * 27 + "…[cut]"
    assert body_of(decoder, rules, "😀" * 20) == "😀" * 14 + "…[cut]"
    assert body_of(decoder, rules, b"\x80" * 65) == b"\x80" * 53 + "…[cut]".encode()


def test_attributes_to_add(decoder: Decoder) -> None:
    rules = Rules(add=(("pod", "p-1"), ("service.name", "other"), ("node", "n")), values=MASKS.values)
    payload = trace_payload(span(), resource_spans(span(), of=resource("svc", {"pod": "own"})))
    bare = put_bytes(1, put_bytes(2, put_bytes(2, log().SerializeToString())))
    own, lacking = spans_of(decoder.redactor(rules).spans(payload)).resource_spans
    assert own.resource == resource("svc", {"pod": "own", "node": "n"})
    assert lacking.resource == resource("svc", {"pod": "p-1", "node": "n"})
    redacted = decoder.redactor(rules).logs(bare)
    assert logs_of(redacted).resource_logs[0].resource == resource(None, dict(rules.add))
    assert redacted.changed == 0
    full = resource("svc", {f"k{i}": i for i in range(MAX_ATTRIBUTES - 2)})
    redacted = decoder.redactor(rules).spans(trace_payload(span(), of=full))
    assert [pair.key for pair in spans_of(redacted).resource_spans[0].resource.attributes][-1] == "pod"
    assert decoder.check_spans(redacted.payload).items == 1


def test_refused_records_are_left_out(decoder: Decoder) -> None:
    payload = trace_payload(
        resource_spans(span(trace_id=b"short"), of=resource("gone")),
        resource_spans(span("one"), span(span_id=b""), span("two", events=[event()])),
        resource_spans(of=resource("empty")),
    )
    redacted = decoder.redactor(Rules()).spans(payload)
    assert (redacted.items, redacted.events, redacted.ordinals) == (2, 1, None)
    found = spans_of(redacted).resource_spans
    assert [one.resource.attributes[0].value.string_value for one in found] == ["svc", "empty"]
    assert [one.name for one in found[0].scope_spans[0].spans] == ["one", "two"]


def test_filter_of_logs(decoder: Decoder) -> None:
    payload = ExportLogsServiceRequest(
        resource_logs=[
            resource_logs(
                log("debug", severity=5), log("none", severity=0, text=""), log("warn", severity=0, text="W")
            ),
            resource_logs(log("other", severity=17), of=resource("other")),
            resource_logs(log("nobody"), of=resource(None)),
        ]
    ).SerializeToString()

    def left(**parts: object) -> tuple[list[str], list[int] | None]:
        redacted = decoder.redactor(Rules(filter=Filter(**parts))).logs(payload)  # type: ignore[arg-type]
        records = [r for a in logs_of(redacted).resource_logs for b in a.scope_logs for r in b.log_records]
        assert len(records) == redacted.items
        return [r.body.string_value for r in records], None if redacted.ordinals is None else redacted.ordinals.tolist()

    assert left(min_severity=9) == (["none", "warn", "other", "nobody"], [1, 2, 3, 4])
    assert left(services=("SVC", "unk*")) == (["debug", "none", "warn", "nobody"], [0, 1, 2, 4])
    assert left(exclude_services=("*",)) == ([], [])
    assert left(event_names=("*",)) == (["debug", "none", "warn", "other", "nobody"], None)
    assert left(event_names=("ml.*",)) == ([], [])


def test_filter_of_traces(decoder: Decoder) -> None:
    def ids(count: int, **fields: object) -> list[bytes]:
        made = [i.to_bytes(16, "big") for i in range(1, count + 1)]
        spans = [s for one in made for s in (span("a", trace_id=one), span("b", trace_id=one, span_id=b"z" * 8))]
        marked = [span("kept", trace_id=made[0], **fields)] if fields else []  # type: ignore[arg-type]
        rules = Rules(
            filter=Filter(sampling_ratio=1 / 10, keep_errors=True, min_duration_ns=10**9, keep_attributes=("drift",))
        )
        redacted = decoder.redactor(rules).spans(trace_payload(*spans, *marked))
        return [s.trace_id for a in spans_of(redacted).resource_spans for b in a.scope_spans for s in b.spans]

    sample = ids(1000)
    assert 120 < len(sample) < 280
    assert all(sample.count(one) == 2 for one in set(sample))
    (first,) = {i.to_bytes(16, "big") for i in (1,)}
    assert first not in sample
    for fields in (
        {"status": 2},
        {"duration": 10**9},
        {"attributes": {"drift": True}},
        {"attributes": {"drift": "true"}},
    ):
        assert ids(1000, **fields).count(first) == 3
    assert first not in ids(1000, attributes={"drift": "yes"})
    nested = {one: set(_sample(decoder, one)) for one in (2, 5, 50)}
    assert nested[50] < nested[5] < nested[2]


@pytest.mark.parametrize("one_in", [1, 2, 3, 7, 10, 49, 98, 103, 1000, 1_000_000])
def test_a_ratio_of_one_in_n_keeps_what_the_older_option_kept(decoder: Decoder, one_in: int) -> None:
    """Which was a hash of at most (2^64 - 1) / N."""
    traces = [i.to_bytes(16, "big") for i in range(1, 500)]
    old = [t for t in traces if xxhash.xxh3_64_intdigest(t, SAMPLING_SEED) <= ((1 << 64) - 1) // one_in]
    assert _sample(decoder, one_in) == old


def test_a_ratio_keeps_that_share_and_0_keeps_none(decoder: Decoder) -> None:
    kept = {ratio: len(_sample(decoder, 1 / ratio)) for ratio in (0.25, 0.3, 0.9, 1.0)}
    assert kept[1.0] == 499
    assert all(abs(count - 499 * ratio) < 50 for ratio, count in kept.items())
    payload = trace_payload(span(trace_id=b"\1" * 16))
    assert decoder.redactor(Rules(filter=Filter(sampling_ratio=0.0))).spans(payload).items == 0
    for invalid in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="invalid sampling_ratio"):
            Filter(sampling_ratio=invalid)


def _sample(decoder: Decoder, one_in: float) -> list[bytes]:
    payload = trace_payload(*(span(trace_id=i.to_bytes(16, "big")) for i in range(1, 500)))
    redacted = decoder.redactor(Rules(filter=Filter(sampling_ratio=1 / one_in))).spans(payload)
    return [s.trace_id for a in spans_of(redacted).resource_spans for b in a.scope_spans for s in b.spans]


def test_what_cannot_be_looked_into_goes_where_rules_scrub(decoder: Decoder) -> None:
    unknown = put_bytes(99, b"x") + put_uint(98, 1)
    record = log("x").SerializeToString() + unknown
    payload = put_bytes(1, put_bytes(2, put_bytes(2, record) + unknown) + unknown) + unknown
    clean = put_bytes(1, put_bytes(2, put_bytes(2, log("x").SerializeToString())))
    assert decoder.redactor(MASKS).logs(payload).payload == clean
    assert decoder.redactor(Rules(max_field_bytes=100)).logs(payload).payload is payload


@pytest.mark.parametrize("redact", [lambda d: d.redactor(MASKS).spans, lambda d: d.redactor(Rules()).logs])
def test_malformed_payloads(decoder: Decoder, redact: Callable[[Decoder], Callable[[bytes], Redacted]]) -> None:
    with pytest.raises(DecodeError):
        redact(decoder)(b"\x0a\x05ab")
