"""Logstash's configuration language, as far as is needed to check a pipeline without Logstash: a parser, and the
options that plugins know (from the plugins' reference pages for Logstash 8 and 9)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|
    (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|
    (?P<ref>(?:\[[^\[\]\s,"']+\])+)|
    (?P<number>-?\d+(?:\.\d+)?\b)|
    (?P<op>=>|==|!=|=~|!~|<=|>=|[{}\[\]()<>,!])|
    (?P<word>[A-Za-z_][A-Za-z0-9_]*)""",
    re.VERBOSE,
)
_FIELD_IN_TEXT = re.compile(r"%\{([^}]*)\}")
_REFERENCE = re.compile(r"(?:\[[^\[\]]+\])+|[@A-Za-z_][\w@.-]*")

COMMON: dict[str, set[str]] = {"codec": {"id", "enable_metric"}}
COMMON |= {"input": {"id", "add_field", "codec", "enable_metric", "tags", "type"}}
COMMON["filter"] = {"id", "add_field", "add_tag", "enable_metric", "periodic_flush", "remove_field", "remove_tag"}
COMMON["output"] = {"id", "codec", "enable_metric"}
_SSL_SERVER = {
    "ssl_enabled", "ssl_certificate", "ssl_key", "ssl_key_passphrase", "ssl_certificate_authorities",
    "ssl_client_authentication", "ssl_handshake_timeout", "ssl_cipher_suites", "ssl_supported_protocols",
}  # fmt: skip
STAGES = ("input", "filter", "output")
OPTIONS: dict[tuple[str, str], set[str]] = {
    ("input", "beats"): _SSL_SERVER
    | {"port", "host", "client_inactivity_timeout", "ecs_compatibility", "enrich", "executor_threads"},
    ("input", "http"): _SSL_SERVER
    | {
        "port", "host", "threads", "user", "password", "additional_codecs", "ecs_compatibility", "response_code",
        "response_headers", "remote_host_target_field", "request_headers_target_field", "max_pending_requests",
        "max_content_length",
    },
    ("input", "dead_letter_queue"): {
        "path", "pipeline_id", "commit_offsets", "clean_consumed", "sincedb_path", "start_timestamp",
    },
    ("codec", "json"): {"charset", "ecs_compatibility", "target"},
    ("filter", "mutate"): {
        "convert", "copy", "gsub", "join", "lowercase", "merge", "coerce", "rename", "replace", "split", "strip",
        "tag_on_failure", "update", "uppercase", "capitalize",
    },
    ("filter", "uuid"): {"target", "overwrite"},
    ("filter", "ruby"): {"code", "init", "path", "script_params", "tag_on_exception", "tag_with_exception_message"},
    ("output", "elasticsearch"): {
        "hosts", "api_key", "user", "password", "action", "index", "document_id", "pipeline", "routing", "data_stream",
        "data_stream_type", "data_stream_dataset", "data_stream_namespace", "data_stream_auto_routing",
        "data_stream_sync_fields", "manage_template", "ilm_enabled", "ssl_enabled", "ssl_certificate",
        "ssl_certificate_authorities", "ssl_key", "ssl_verification_mode", "silence_errors_in_log", "compression_level",
        "dlq_custom_codes", "retry_initial_interval", "retry_max_interval", "ecs_compatibility", "timeout",
    },
}  # fmt: skip
REQUIRED = {
    ("input", "beats"): {"port"},
    ("input", "dead_letter_queue"): {"path"},
    ("filter", "uuid"): {"target"},
}


@dataclass(frozen=True)
class Plugin:
    """One plugin with its options."""

    stage: str
    name: str
    options: dict[str, Any]


@dataclass
class Pipeline:
    """What a file says."""

    plugins: list[Plugin] = field(default_factory=list)
    conditions: list[list[str]] = field(default_factory=list)

    def of(self, stage: str, name: str) -> list[Plugin]:
        return [p for p in self.plugins if (p.stage, p.name) == (stage, name)]


def parse(text: str) -> Pipeline:
    """A pipeline file. Raises ValueError with the line where it is none."""
    return _Parser(text).pipeline()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._found = Pipeline()

    def pipeline(self) -> Pipeline:
        while self._at < len(self._tokens):
            stage = self._take("word")
            if stage not in STAGES:
                raise ValueError(f"no section {stage!r}")
            self._block(stage)
        return self._found

    def _block(self, stage: str) -> None:
        self._expect("{")
        while self._peek() != "}":
            word = self._take("word")
            if word == "if":
                self._branches(stage)
            else:
                self._found.plugins.append(Plugin(stage, word, self._options()))
        self._expect("}")

    def _branches(self, stage: str) -> None:
        self._condition()
        self._block(stage)
        while self._peek() == "else":
            self._at += 1
            if self._peek() == "if":
                self._at += 1
                self._condition()
                self._block(stage)
            else:
                self._block(stage)
                return

    def _condition(self) -> None:
        begin = self._at
        while self._peek() != "{":
            self._at += 1
        words = [value for _, value, _ in self._tokens[begin : self._at]]
        if not words:
            raise ValueError("a condition is empty")
        self._found.conditions.append(words)

    def _options(self) -> dict[str, Any]:
        self._expect("{")
        options: dict[str, Any] = {}
        while self._peek() != "}":
            name = self._take("word")
            self._expect("=>")
            if name in options:
                raise ValueError(f"option {name} twice")
            options[name] = self._value()
        self._expect("}")
        return options

    def _value(self) -> Any:
        kind, value, line = self._tokens[self._at]
        self._at += 1
        if kind == "word" and self._peek() == "{":
            return Plugin("codec", value, self._options())
        if kind in ("string", "word"):
            return value
        if kind == "number":
            return float(value)
        if value == "[":
            found = []
            while self._peek() != "]":
                found.append(self._value())
                if self._peek() == ",":
                    self._at += 1
            self._expect("]")
            return found
        if value == "{":
            pairs = {}
            while self._peek() != "}":
                key = self._value()
                self._expect("=>")
                pairs[key] = self._value()
            self._expect("}")
            return pairs
        raise ValueError(f"line {line}: no value: {value!r}")

    def _peek(self) -> str:
        if self._at >= len(self._tokens):
            raise ValueError("the file ends too soon")
        kind, value, _ = self._tokens[self._at]
        return value if kind != "string" else "a string"

    def _take(self, kind: str) -> str:
        if self._at >= len(self._tokens):
            raise ValueError("the file ends too soon")
        found, value, line = self._tokens[self._at]
        if found != kind:
            raise ValueError(f"line {line}: {value!r} where a {kind} is due")
        self._at += 1
        return value

    def _expect(self, value: str) -> None:
        if self._peek() != value:
            raise ValueError(f"line {self._tokens[self._at][2]}: {self._peek()!r} where {value!r} is due")
        self._at += 1


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        line = text.count("\n", 0, at) + 1
        if match is None:
            raise ValueError(f"line {line}: {text[at : at + 20]!r}")
        at = match.end()
        if match.lastgroup == "string":
            yield "string", match[0][1:-1], line
        elif match.lastgroup:
            yield match.lastgroup, match[0], line


def problems(pipeline: Pipeline) -> Iterator[str]:
    """What Logstash would refuse, or do otherwise than meant."""
    identities = [p.options.get("id") for p in pipeline.plugins]
    if len(set(identities)) != len(identities):
        yield "ids are not unique"
    for plugin in pipeline.plugins:
        yield from _problems(plugin)


def _problems(plugin: Plugin) -> Iterator[str]:
    known = OPTIONS.get((plugin.stage, plugin.name))
    if known is None:
        yield f"no plugin {plugin.stage} {plugin.name}"
        return
    for name in plugin.options.keys() - known - COMMON[plugin.stage]:
        yield f"{plugin.stage} {plugin.name} has no option {name}"
    for name in REQUIRED.get((plugin.stage, plugin.name), set()) - plugin.options.keys():
        yield f"{plugin.stage} {plugin.name} needs {name}"
    for reference in references(plugin):
        if not _REFERENCE.fullmatch(reference):
            yield f"{plugin.name}: {reference!r} is no field"
    if isinstance(codec := plugin.options.get("codec"), Plugin):
        yield from _problems(codec)


def references(plugin: Plugin) -> Iterator[str]:
    """Fields that a plugin's options name: within texts, as keys of add_field, in lists of fields, as targets."""
    yield from _in_texts(plugin.options)
    yield from plugin.options.get("add_field", {})
    yield from plugin.options.get("remove_field", ())
    for name in ("target", "remote_host_target_field", "request_headers_target_field"):
        if name in plugin.options:
            yield plugin.options[name]


def _in_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _FIELD_IN_TEXT.findall(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _in_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _in_texts(inner)
