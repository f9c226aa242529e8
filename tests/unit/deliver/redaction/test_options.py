from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.config import loader
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import VALUE_PATTERNS, Filter, KeyRule, Rules, ValueRule
from sidecar.deliver.redaction.options import FEATURES, FilterOptions, RedactionOptions, SamplingOptions, rule
from sidecar.errors import ConfigError

KEY = "0123456789abcdef"


def loaded(**variables: str) -> RedactionOptions:
    """Options as the environment gives them."""
    return loader.load(
        {f"SIDECAR_DELIVER__REDACTION__{name}": text for name, text in variables.items()}
    ).deliver.redaction


def rules(options: RedactionOptions, export_features: bool = True) -> Rules:
    return options.rules(Filter(), export_features=export_features)


def test_without_options_only_feature_values_are_taken_out() -> None:
    assert rules(RedactionOptions()) == Rules()
    assert rules(RedactionOptions(), export_features=False) == Rules(keys=FEATURES)


def test_keys_in_a_variable_a_list_and_a_mapping() -> None:
    expected = (KeyRule(("password",), "drop"), KeyRule(("user.*",), "mask"), KeyRule(("a=b",), "hash"))
    assert rules(loaded(KEYS="password, user.*=mask, a=b=hash", HASH_KEY=KEY)).keys == expected
    given: Any = ["password", "user.*=mask", "a=b=hash"]
    assert rules(RedactionOptions.model_validate({"keys": given, "hash_key": KEY})).keys == expected
    given = {"password": "drop", "user.*": "mask", "a=b": "hash"}
    assert rules(RedactionOptions.model_validate({"keys": given, "hash_key": KEY})).keys == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("error", [("error", "exception.type", "exception.message", "exception.stacktrace")]),
        ("Exc_Info", [("Exc_Info", "exception.message", "exception.stacktrace")]),
        (
            "exception",
            [("exception", "exception.type", "exception.message", "exception.stacktrace", "exception.stacks")],
        ),
        ("a,err.message,stack", [("a",), ("err.message", "exception.message"), ("stack", "exception.stacktrace")]),
        ("error,exception.*", [("error",), ("exception.*",)]),
        ("exception.message,error", [("exception.message",), ("error", "exception.type", "exception.stacktrace")]),
        ("record", [("record", "exception.type", "exception.message")]),
        ("message,service,trace_id", [("message",), ("service",), ("trace_id",)]),
    ],
)
def test_rules_follow_what_is_stored_by_another_name(keys: str, expected: list[tuple[str, ...]]) -> None:
    assert [rule.keys for rule in rules(loaded(KEYS=keys)).keys] == expected


@pytest.mark.parametrize("of_line", ["error", "err", "exception", "stack", "exc_info"])
def test_what_a_rule_forbids_by_its_name_in_a_line_does_not_leave(of_line: str) -> None:
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: of Jane'
    line = json.dumps({"message": "failed", of_line: trace}).encode()
    decoder = ReferenceDecoder()
    stored = bytes(decoder.json_lines(line, 1).payload)
    assert b"Jane" in stored
    assert b"Jane" not in decoder.redactor(rules(loaded(KEYS=of_line))).logs(stored).payload


def test_feature_values_go_whatever_other_rules_say() -> None:
    assert rules(loaded(KEYS="ml.features.*=mask"), export_features=False).keys[: len(FEATURES)] == FEATURES


def test_patterns_that_ship_and_patterns_of_one_s_own() -> None:
    options = loaded(VALUES="email=drop,card,customer=hash", PATTERNS='{"customer": "C-[0-9]{6,8}"}', HASH_KEY=KEY)
    made = rules(options)
    assert [(rule.name, rule.action) for rule in made.values] == [
        ("email", "drop"),
        ("card", "mask"),
        ("customer", "hash"),
    ]
    assert made.values[1] == ValueRule("card", VALUE_PATTERNS["card"].pattern, "mask", luhn=True)
    assert made.values[2].pattern == "C-[0-9]{6,8}"
    assert made.hash_key == KEY.encode()


def test_attributes_to_add_beat_what_is_known_of_the_pod() -> None:
    options = loaded(ADD="team=ml, k8s.pod.name=mine", KUBERNETES__POD_NAME="pod", KUBERNETES__NODE_NAME="node")
    assert dict(rules(options).add) == {"team": "ml", "k8s.pod.name": "mine", "k8s.node.name": "node"}


def test_the_key_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    options = loaded(KEYS="a=hash", HASH_KEY_FILE=str(file))
    with pytest.raises(ConfigError, match="cannot be read"):
        rules(options)
    file.write_text("short\n")
    with pytest.raises(ConfigError, match="fewer than 16 bytes"):
        rules(options)
    file.write_text(KEY + "\n")
    assert rules(options).hash_key == KEY.encode()


def test_a_key_that_nothing_needs_is_not_read() -> None:
    assert rules(loaded(HASH_KEY_FILE="/not/there")) == Rules()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keys": "a=shred"}, "drop"),
        ({"keys": f"{'x' * 300}"}, "1 to 256 bytes"),
        ({"values": "phone"}, "no pattern is called 'phone'; there are email, card"),
        ({"patterns": '{"mine": "a+"}'}, "'mine' is in no use"),
        ({"patterns": '{"email": "a+"}', "values": "email"}, "there is a pattern named 'email' already"),
        ({"patterns": '{"mine": "(?=a)b"}', "values": "mine"}, "pattern of mine"),
        ({"patterns": '{"mine": "a*"}', "values": "mine"}, "pattern of mine"),
        ({"patterns": '{"not a name": "ab"}', "values": "not a name"}, "not a name"),
        ({"keys": "a=hash"}, "hash needs hash_key or hash_key_file"),
        ({"keys": "a=hash", "hash_key": KEY, "hash_key_file": "/x"}, "not both"),
        ({"add": "team"}, "name=value"),
        ({"max_field_bytes": "10"}, "at least 64"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(**{name.upper(): text for name, text in given.items()})
    (problem,) = caught.value.problems
    assert problem.startswith("environment variable SIDECAR_DELIVER__REDACTION__")
    assert message in problem


@pytest.mark.parametrize(("given", "number"), [("warn", 13), ("ERROR", 17), ("9", 9), (21, 21), (" Notice ", 10)])
def test_severities_by_name_and_number(given: Any, number: int) -> None:
    assert rule(FilterOptions.model_validate({"min_severity": given}), SamplingOptions()) == Filter(min_severity=number)


@pytest.mark.parametrize(
    "given",
    [
        {"min_severity": "loud"},
        {"min_severity": 25},
        {"services": [""]},
    ],
)
def test_filters_that_cannot_be_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FilterOptions.model_validate(given)


def test_what_is_kept_in_spite_of_sampling_means_nothing_without_it() -> None:
    always = SamplingOptions.model_validate({"min_duration": "1500ms", "keep_attributes": ["drifted"]})
    assert rule(FilterOptions(), always) == Filter()
    sampled = rule(FilterOptions(), always.model_copy(update={"ratio": 0.1}))
    assert sampled == Filter(
        sampling_ratio=0.1, keep_errors=True, min_duration_ns=1_500_000_000, keep_attributes=("drifted",)
    )


@pytest.mark.parametrize("given", [{"ratio": -0.1}, {"ratio": 10}, {"keep_attributes": ["x" * 300]}])
def test_sampling_that_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SamplingOptions.model_validate(given)


def test_every_rule_that_options_can_make_is_taken_by_a_decoder() -> None:
    options = loaded(VALUES=",".join(VALUE_PATTERNS), KEYS="a,b=mask", ADD="a=b", MAX_FIELD_BYTES="100")
    ReferenceDecoder().redactor(rules(options, export_features=False))
