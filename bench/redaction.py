"""What redaction costs beside the documents it goes before: CPU time per item, the best of several rounds.

`python bench/redaction.py`; the payloads are those of the other benches (512 items each).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.engines import EngineUnavailable, payload_dir  # noqa: E402
from timing import cpu_seconds  # noqa: E402

from sidecar.decode.api import Decoder  # noqa: E402
from sidecar.decode.python import ReferenceDecoder  # noqa: E402
from sidecar.decode.redaction.rules import Filter, KeyRule, Rules, ValueRule, named_rule  # noqa: E402
from sidecar.decode.select import native_decoder  # noqa: E402

ITEMS = 512
ROUNDS = 7

_NAMED = tuple(named_rule(name, "mask") for name in ("email", "card", "bearer", "jwt", "url_password", "aws_key"))
_KEYS = (
    KeyRule(("*password*", "*secret*", "*token*", "authorization", "cookie"), "drop"),
    KeyRule(("user.id", "enduser.id", "client.address"), "hash"),
)
_OWN = (ValueRule("ssn", r"\b\d{3}-\d{2}-\d{4}\b", "mask"), ValueRule("session", r"sess_[a-z0-9]{16,}", "hash"))

RULES: Mapping[str, Rules] = {
    "no rules": Rules(),
    "field limit": Rules(max_field_bytes=8192),
    "2 key rules": Rules(keys=_KEYS, hash_key=b"key"),
    "card numbers": Rules(values=(named_rule("card", "mask"),)),
    "8 value rules": Rules(values=_NAMED + _OWN, hash_key=b"key"),
    "10 rules": Rules(keys=_KEYS, values=_NAMED + _OWN, hash_key=b"key"),
    "10 rules, a key masked in each": Rules(
        keys=(*_KEYS[:1], KeyRule(("http.route", "event.id"), "mask")), values=_NAMED + _OWN, hash_key=b"key"
    ),
    "1 trace in 10, errors kept": Rules(filter=Filter(sampling_ratio=0.1, keep_errors=True)),
}


def main() -> int:
    decoder = native_decoder() or ReferenceDecoder()
    directory = payload_dir(ITEMS)
    cases = {s: [path.read_bytes() for path in sorted(directory.glob(f"{s}-*"))[:8]] for s in ("traces", "logs")}
    cases["access log"] = [_access_log(decoder, seed) for seed in range(8)]
    for name, payloads in cases.items():
        _measure(decoder, name, payloads)
    return 0


def _measure(decoder: Decoder, case: str, payloads: list[bytes]) -> None:
    items = ITEMS * len(payloads)
    prefixes = ["0123456789abcdef-1"] * len(payloads)
    lines: Callable[[], object] = (
        (lambda: decoder.span_lines(payloads)) if case == "traces" else (lambda: decoder.log_lines(payloads, prefixes))
    )
    _show(decoder.name, case, "documents, for comparison", cpu_seconds(lines, ROUNDS) / items)
    for name, rules in RULES.items():
        redactor = decoder.redactor(rules)
        redact = redactor.spans if case == "traces" else redactor.logs
        changed = sum(redact(payload).changed for payload in payloads)
        spent = cpu_seconds(lambda redact=redact: [redact(payload) for payload in payloads], ROUNDS)
        _show(decoder.name, case, f"{name} ({changed} changed)", spent / items)


def _access_log(decoder: Decoder, seed: int) -> bytes:
    """Lines in the combined format: addresses, times, sizes and versions, and no card number."""
    rng = random.Random(seed)
    lines = [
        f"{'.'.join(str(rng.randrange(1, 255)) for _ in range(4))} - - [21/Nov/2026:15:{n % 60:02}:{n % 60:02} +0000] "
        f'"GET /v1/items/{rng.randrange(10**6)} HTTP/1.1" 200 {rng.randrange(10**5)} "-" '
        f'"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.6099.130 Safari/537.36" {rng.random():.3f}'
        for n in range(ITEMS)
    ]
    return decoder.json_lines("\n".join(lines).encode(), 1_795_256_301_122_834_607).payload


def _show(decoder: str, case: str, name: str, seconds: float) -> None:
    print(f"{decoder} {case:10} {name:45} {seconds * 1e6:8.3f} µs/item", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EngineUnavailable as error:
        print(f"the payloads cannot be made: {error}", file=sys.stderr)
        sys.exit(2)
