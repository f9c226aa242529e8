"""Options of redaction, redaction and filters, and the rules that they make (`decode.redaction.rules`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from sidecar.decode.logs import severity
from sidecar.decode.predictions import feature_names
from sidecar.decode.predictions.serving import kserve
from sidecar.decode.redaction.rules import (
    MAX_ADDED,
    MAX_RULES,
    MAX_SEVERITY,
    VALUE_PATTERNS,
    Action,
    Filter,
    KeyRule,
    Rules,
    ValueRule,
    named_rule,
)
from sidecar.deliver.redaction.stored_names import key_rules
from sidecar.errors import ConfigError
from sidecar.options import Duration, Section, Size

MIN_HASH_KEY_CHARS = 16
PREDICTION_EVENTS = ("ml.prediction",)
_INPUTS = (
    # The names of what holds features in prediction records: plain, Open Inference, MLflow.
    "features", "features.*", "inputs", "inputs.*", "dataframe_split", "dataframe_split.*", "dataframe_records",
    "dataframe_records.*", "instances", "instances.*",
)  # fmt: skip
FEATURES = (
    KeyRule(("ml.features", "ml.features.*"), "drop"),
    KeyRule(_INPUTS, "drop", PREDICTION_EVENTS),
    KeyRule(feature_names.INPUTS, "drop", nested=True),
    KeyRule((feature_names.FEATURES,), "drop", nested=True, beside=feature_names.TELLING, json_texts=True),
)
"""What keeps feature values from leaving; what keys cannot say is for `features`."""
EVENT_FEATURES = (
    KeyRule((kserve.DATA, f"{kserve.DATA}.*"), "drop", (kserve.REQUEST,)),
    KeyRule(_INPUTS, "drop", (kserve.RESPONSE,)),
)
"""The same in events of KServe's logger. Apart, since few payloads have any, and which have is seen quickly."""


def _severity(value: Any) -> Any:
    """A level's name in any spelling as its number."""
    if not isinstance(value, str) or value.strip().isdigit():
        return value
    number = severity.from_name(value)
    if not number:
        raise ValueError(f"{value!r} is no level: give a severity number (1 to {MAX_SEVERITY}) or a name such as WARN")
    return number


Severity = Annotated[int, BeforeValidator(_severity, json_schema_input_type=int | str)]


def pairs(value: Any, missing: str | None) -> Any:
    """What is given as `name=text,name=text`, or as a list of such, as a mapping; `missing` stands where there is no
    `=`, None where there must be one. The last `=` counts, so that names may have some."""
    if not isinstance(value, list | tuple):
        return value
    found: dict[str, Any] = {}
    for pair in value:
        name, separator, text = str(pair).rpartition("=")
        if not separator:
            if missing is None:
                raise ValueError("write it as name=value,name=value or as a mapping")
            name, text = text, missing
        found[name.strip()] = text.strip()
    return found


class FilterOptions(Section):
    """Which records a sink takes; every part that concerns a record must let it pass."""

    services: tuple[str, ...] = Field(
        (), description="Only of these services (`*` is any run of characters). Default: of all."
    )
    exclude_services: tuple[str, ...] = Field((), description="Not of these services.")
    min_severity: Severity = Field(
        0,
        ge=0,
        le=MAX_SEVERITY,
        description="Log records of this severity and above, by name (`warn`) or number. Records without one pass.",
    )
    event_names: tuple[str, ...] = Field(
        (), description="Only log records of these event names (`*` is any run of characters)."
    )

    def apply(self, base: Filter) -> Filter:
        """The rule with what is wanted here. Raises ValueError where it cannot be."""
        return replace(
            base,
            services=self.services,
            exclude_services=self.exclude_services,
            min_severity=self.min_severity,
            event_names=self.event_names,
        )

    @model_validator(mode="after")
    def _fits(self) -> FilterOptions:
        self.apply(Filter())
        return self


class SamplingOptions(Section):
    """Which traces a sink takes. The trace id decides, so that all sinks and pods agree."""

    ratio: float = Field(1.0, ge=0, le=1, description="Share of the traces to keep, such as 0.1; 1 keeps all.")
    keep_errors: bool = Field(
        True, description="With a `ratio` below 1: keep traces that have a span with an error in the same payload."
    )
    min_duration: Duration = Field(
        0.0,
        ge=0,
        le=86_400,
        description="With a `ratio` below 1: keep traces that have a span of this duration or longer. 0 is off.",
    )
    keep_attributes: tuple[str, ...] = Field(
        (),
        description="With a `ratio` below 1: keep traces that have a span with one of these attributes set to true.",
    )

    def apply(self, base: Filter) -> Filter:
        """The rule with this sample; what is kept in spite of it means nothing without one. Raises ValueError where it
        cannot be."""
        sampled = replace(
            base,
            sampling_ratio=self.ratio,
            keep_errors=self.keep_errors,
            min_duration_ns=int(self.min_duration * 1e9),
            keep_attributes=self.keep_attributes,
        )
        return sampled if self.ratio < 1 else base

    @model_validator(mode="after")
    def _fits(self) -> SamplingOptions:
        self.apply(Filter())
        return self


def rule(chosen: FilterOptions, sampling: SamplingOptions) -> Filter:
    """The rule of both; equal to `Filter()` where all passes."""
    return sampling.apply(chosen.apply(Filter()))


class KubernetesOptions(Section):
    """Where the pod runs, as the downward API says."""

    enabled: bool = Field(True, description="Put what is known of the pod on resources that lack it.")
    pod_name: str | None = Field(None, description="Resource attribute `k8s.pod.name`.")
    namespace_name: str | None = Field(None, description="Resource attribute `k8s.namespace.name`.")
    node_name: str | None = Field(None, description="Resource attribute `k8s.node.name`.")
    pod_uid: str | None = Field(None, description="Resource attribute `k8s.pod.uid`.")
    container_name: str | None = Field(
        None, description="Resource attribute `k8s.container.name`: the container whose telemetry comes in."
    )

    def attributes(self) -> dict[str, str]:
        """Resource attributes, those that are known."""
        if not self.enabled:
            return {}
        known = {
            "k8s.pod.name": self.pod_name,
            "k8s.namespace.name": self.namespace_name,
            "k8s.node.name": self.node_name,
            "k8s.pod.uid": self.pod_uid,
            "k8s.container.name": self.container_name,
        }
        return {key: value for key, value in known.items() if value}


class RedactionOptions(Section):
    """What is taken out of, put on and cut from spans and logs before any sink gets them."""

    keys: dict[str, Action] = Field(
        default={},
        max_length=MAX_RULES,
        description="Attribute keys and what to do with their values: `drop`, `hash` or `mask`, as a mapping or as "
        "`password=drop,user.*=hash`. `*` is any run of characters; the first that matches counts; without an action: "
        "drop.",
    )
    values: dict[str, Action] = Field(
        default={},
        max_length=MAX_RULES,
        description="Patterns to look for in every text and what to do where they are found: `mask`, `hash` or `drop`, "
        f"as a mapping or as `email=hash,card`; without an action: mask. There are {', '.join(VALUE_PATTERNS)}, and "
        "those of `patterns`.",
    )
    patterns: dict[str, str] = Field(
        default={},
        max_length=MAX_RULES,
        description="Patterns of your own for `values`: name and regular expression, as a mapping (in a "
        "variable as JSON).",
    )
    hash_key: SecretStr | None = Field(
        None, description="Key of the hashes (HMAC-SHA256), the same in every pod. Better: `hash_key_file`."
    )
    hash_key_file: Path | None = Field(None, description="File with the key of the hashes.")
    add: dict[str, str] = Field(
        default={},
        max_length=MAX_ADDED,
        description="Resource attributes to put on resources that lack them, as a mapping or as "
        "`deployment.environment.name=prod,team=ml`.",
    )
    max_field_bytes: Size = Field(
        0, ge=0, description="Texts and bytes longer than this are cut and end in `…[cut]`. 0 is no limit."
    )
    kubernetes: KubernetesOptions = Field(
        default=KubernetesOptions(), description="Where the pod runs, as the downward API says."
    )

    @field_validator("keys", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return pairs(value, missing="drop")

    @field_validator("values", mode="before")
    @classmethod
    def _values(cls, value: Any) -> Any:
        return pairs(value, missing="mask")

    @field_validator("add", mode="before")
    @classmethod
    def _added(cls, value: Any) -> Any:
        return pairs(value, missing=None)

    @field_validator("keys")
    @classmethod
    def _globs(cls, value: dict[str, Action]) -> dict[str, Action]:
        for key, action in value.items():
            KeyRule((key,), action)
        return value

    @field_validator("patterns")
    @classmethod
    def _patterns(cls, value: dict[str, str]) -> dict[str, str]:
        for name, pattern in value.items():
            if name in VALUE_PATTERNS:
                raise ValueError(f"there is a pattern named {name!r} already")
            ValueRule(name, pattern, "mask")
        return value

    @model_validator(mode="after")
    def _fits(self) -> RedactionOptions:
        for name in sorted(self.values.keys() - self.patterns.keys() - VALUE_PATTERNS.keys()):
            there = ", ".join([*VALUE_PATTERNS, *self.patterns])
            raise ValueError(f"values: no pattern is called {name!r}; there are {there}")
        for name in sorted(self.patterns.keys() - self.values.keys()):
            raise ValueError(f"patterns: {name!r} is in no use: name it in values")
        if self.hash_key and self.hash_key_file:
            raise ValueError("set hash_key or hash_key_file, not both")
        if self.hash_key and len(self.hash_key.get_secret_value()) < MIN_HASH_KEY_CHARS:
            raise ValueError(f"hash_key must have {MIN_HASH_KEY_CHARS} characters at least")
        if self._hashes and not (self.hash_key or self.hash_key_file):
            raise ValueError("hash needs hash_key or hash_key_file, the same in every pod")
        self._rules(b"-", Filter(), export_features=False)
        return self

    @property
    def _hashes(self) -> bool:
        return "hash" in {*self.keys.values(), *self.values.values()}

    @property
    def redacts(self) -> bool:
        """Whether there are rules of the user's own about what may not leave."""
        return bool(self.keys or self.values)

    def rules(self, chosen: Filter, *, export_features: bool) -> Rules:
        """The rules for one sink. Raises `ConfigError` where the file of the key cannot be used."""
        return self._rules(self._key() if self._hashes else b"", chosen, export_features=export_features)

    def _rules(self, hash_key: bytes, chosen: Filter, *, export_features: bool) -> Rules:
        keys = tuple(key_rules(self.keys))
        return Rules(
            keys=keys if export_features else (*FEATURES, *keys),
            values=tuple(self._value_rule(name, action) for name, action in self.values.items()),
            hash_key=hash_key,
            add=tuple(self._attributes().items()),
            max_field_bytes=self.max_field_bytes,
            filter=chosen,
        )

    def _value_rule(self, name: str, action: Action) -> ValueRule:
        own = self.patterns.get(name)
        return named_rule(name, action) if own is None else ValueRule(name, own, action)

    def _attributes(self) -> Mapping[str, str]:
        return {**self.kubernetes.attributes(), **self.add}

    def _key(self) -> bytes:
        if self.hash_key_file is None:
            return self.hash_key.get_secret_value().encode() if self.hash_key else b""
        try:
            key = self.hash_key_file.read_bytes().strip()
        except OSError as error:
            problem = f"deliver.redaction.hash_key_file: {self.hash_key_file} cannot be read: {error.strerror}"
            raise ConfigError([problem]) from error
        if len(key) < MIN_HASH_KEY_CHARS:
            raise ConfigError(
                [f"deliver.redaction.hash_key_file: {self.hash_key_file} has fewer than {MIN_HASH_KEY_CHARS} bytes"]
            )
        return key
