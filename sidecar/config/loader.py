"""Settings, put together from the components' own options; the only reader of the environment.

Order, later wins: defaults, the YAML file (`SIDECAR_CONFIG` or `--config`), standard variables that apply,
`SIDECAR_SECTION__KEY` variables. `${NAME}` in a YAML value is replaced from the environment. All problems are
reported at once, each with the place that it came from.
"""

from __future__ import annotations

import difflib
import json
import re
import socket
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from sidecar import lists
from sidecar.config.settings import Settings
from sidecar.deliver.registry import SINKS
from sidecar.errors import ConfigError

PREFIX = "SIDECAR_"
SEPARATOR = "__"

#: Standard variables that say the same as a setting of ours; ours wins, and of these the later.
STANDARD_VARIABLES = {
    "OTEL_EXPORTER_PROMETHEUS_HOST": ("serve", "host"),
    "OTEL_EXPORTER_PROMETHEUS_PORT": ("serve", "port"),
    "OTEL_LOG_LEVEL": ("telemetry", "log_level"),
    "OTEL_SERVICE_NAME": ("receive", "intake", "service_name"),
    "OTEL_RESOURCE_ATTRIBUTES": ("receive", "intake", "resource"),
    "POD_NAME": ("deliver", "shape", "kubernetes", "pod_name"),
    "K8S_POD_NAME": ("deliver", "shape", "kubernetes", "pod_name"),
    "POD_NAMESPACE": ("deliver", "shape", "kubernetes", "namespace_name"),
    "K8S_NAMESPACE_NAME": ("deliver", "shape", "kubernetes", "namespace_name"),
    "NODE_NAME": ("deliver", "shape", "kubernetes", "node_name"),
    "K8S_NODE_NAME": ("deliver", "shape", "kubernetes", "node_name"),
    "POD_UID": ("deliver", "shape", "kubernetes", "pod_uid"),
    "K8S_POD_UID": ("deliver", "shape", "kubernetes", "pod_uid"),
    "K8S_CONTAINER_NAME": ("deliver", "shape", "kubernetes", "container_name"),
}
#: Variables with our prefix that are not settings of the program.
NOT_SETTINGS = frozenset({"SIDECAR_CONFIG", "SIDECAR_TEST_CACHE"})
#: What Kubernetes sets in every pod for a Service whose name happens to begin with `sidecar`: by its name, or, as
#: `SIDECAR_SERVE_PORT` may as well be a slip of the pen, by its value.
_SERVICE_LINK = re.compile(r"^SIDECAR_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP|SCTP)\w*)$")
_SERVICE_LINK_PORT = re.compile(r"^SIDECAR_(\w+_)?PORT=(tcp|udp|sctp)://")
#: Read in the model's own container, which may share an environment with the sidecar.
_IN_THE_MODEL = re.compile(r"^SIDECAR_(CAPTURE\w*|EXIT_TIMEOUT|MODEL_(NAME|VERSION|CLASSES))$")
#: How like a setting a variable without the separator must be to be taken for a slip; others are the image's or pod's.
_SLIP = 0.9
#: Keys whose values are never repeated.
SECRETS = frozenset({"token", "password", "api_key", "hash_key"})
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One setting, as the generated reference and the JSON Schema know it."""

    path: Path_
    annotation: Any
    default: Any
    description: str

    @property
    def variable(self) -> str:
        return PREFIX + SEPARATOR.join(self.path).upper()


MORE: Path_ = ("deliver", "more")
"""Sections by name below this one, each with the options of the kind that its `kind` says."""
_MORE_PREFIX = PREFIX + SEPARATOR.join(MORE).upper()
_KINDS = {kind.name: kind.options for kind in SINKS if kind.many}


def fields(model: type[BaseModel] = Settings, prefix: Path_ = ()) -> Iterator[Field]:
    """Every setting of the program, depth first in the order of declaration. What has only one value is none."""
    for name, info in model.model_fields.items():
        section = _section(info.annotation)
        if section is not None:
            yield from fields(section, (*prefix, name))
        elif not _constant(info.annotation):
            default = info.get_default(call_default_factory=True, validated_data={})
            yield Field((*prefix, name), info.annotation, default, info.description or "")


def further_fields(name: str, kind: str | None) -> Iterator[Field]:
    """The settings of a further sink of this name; of all kinds where `kind` is none of those that there are."""
    yield Field((*MORE, name, "kind"), str, None, "Kind of the sink.")
    for options in [_KINDS[kind]] if kind in _KINDS else _KINDS.values():
        yield from fields(options, (*MORE, name))


def is_variable(name: str) -> bool:
    """Whether an environment variable of this name may set something."""
    further = _further(name)
    known = fields() if further is None else further_fields(further, None)
    return name in NOT_SETTINGS or bool(_IN_THE_MODEL.match(name)) or any(name == f.variable for f in known)


def load(environ: Mapping[str, str], path: Path | None = None) -> Settings:
    """The settings from file and environment. Raises `ConfigError` with every problem found."""
    problems: list[str] = []
    origins: dict[Path_, str] = {}
    values: dict[str, Any] = {}
    file = path or (Path(environ["SIDECAR_CONFIG"]) if environ.get("SIDECAR_CONFIG") else None)
    if file is not None:
        values = _from_file(file, environ, origins, problems)
    ignored = _from_standard(values, environ, origins)
    _from_environment(values, environ, origins, problems)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_explain(e, values, origins) for e in error.errors()]
    else:
        if not problems:
            return settings.having_ignored(ignored)
    raise ConfigError(problems)


def _from_file(
    file: Path, environ: Mapping[str, str], origins: dict[Path_, str], problems: list[str]
) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
        places = {key: f"{file}:{line}" for key, line in _lines(node, ())} if isinstance(node, yaml.MappingNode) else {}
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return {}
    except UnicodeDecodeError as error:
        problems.append(f"{file}: cannot be read: {error}")
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-40
        problems.append(f"{file}: not valid YAML: {error}")
        return {}
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        problems.append(f"{file}:1: must be a mapping of sections, such as `receive:` or `deliver:`")
        return {}
    origins.update(places)
    return typing.cast(dict[str, Any], _expand(value, environ, (), origins, problems))


def _lines(node: yaml.Node, path: Path_) -> Iterator[tuple[Path_, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)


def _expand(value: Any, environ: Mapping[str, str], path: Path_, origins: dict[Path_, str], problems: list[str]) -> Any:
    if isinstance(value, dict):
        # A section whose keys are all commented out reads as null: it is as if it were not there.
        return {
            str(k): _expand(v, environ, (*path, str(k)), origins, problems)
            for k, v in value.items()
            if not (v is None and _may_be_empty((*path, str(k))))
        }
    if isinstance(value, list):
        return [_expand(v, environ, path, origins, problems) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name not in environ and default is None:
            place = f"{origins.get(path, 'file')}: {'.'.join(path)}"
            problems.append(f"{place}: ${{{name}}} is not set; set it, or write ${{{name}:-default}}")
        return environ.get(name, default or "")

    return _REFERENCE.sub(replace, value)


def _from_standard(values: dict[str, Any], environ: Mapping[str, str], origins: dict[Path_, str]) -> list[str]:
    """Standard variables are the pod's, and may be meant for others: what is invalid in them is left out. What that
    was, with the reason."""
    ignored = []
    for variable, target in STANDARD_VARIABLES.items():
        text = environ.get(variable, "").strip()
        reason = _refused(target, text) if text else ""
        if reason:
            ignored.append(f"{variable}: {reason}")
            text = ",".join(part for part in text.split(",") if not _refused(target, part)) if "," in text else ""
        if text and not _refused(target, text):
            _put(values, target, text, origins, f"environment variable {variable}")
    return ignored


def _refused(target: Path_, value: str) -> str:
    """Why this value cannot be that of the setting; empty if it can."""
    if target == ("serve", "host") and not _is_own_address(value):
        return f"no address of this host (given: {value!r})"
    alone: dict[str, Any] = {}
    _put(alone, target, value, {}, "")
    try:
        Settings.model_validate(alone)
    except ValidationError as error:
        return _explain(error.errors()[0], alone, {}).partition(": ")[2]
    return ""


def _is_own_address(host: str) -> bool:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, UnicodeError):
        return False
    return True


def _from_environment(
    values: dict[str, Any], environ: Mapping[str, str], origins: dict[Path_, str], problems: list[str]
) -> None:
    known = {f.variable: f for f in fields()}
    given = sorted(name for name, value in environ.items() if name.startswith(PREFIX) and value)
    named = [name for name in given if name not in NOT_SETTINGS and not _IN_THE_MODEL.match(name)]
    for sink in {s for s in map(_further, named) if s is not None}:
        kind = environ.get(SEPARATOR.join((_MORE_PREFIX, sink.upper(), "KIND"))) or _kind_in(values, sink)
        known |= {f.variable: f for f in further_fields(sink, kind)}
    for name in named:
        field = known.get(name)
        if field is not None:
            _put(values, field.path, _parse(environ[name], field.annotation), origins, f"environment variable {name}")
        elif not (_SERVICE_LINK.match(name) or _SERVICE_LINK_PORT.match(f"{name}={environ[name]}")):
            problems += _slip(name, [*known, *NOT_SETTINGS])


def _slip(name: str, known: list[str]) -> list[str]:
    """The problem of a variable with our prefix that is no setting, if it was meant to be one."""
    ours = SEPARATOR in name.removeprefix(PREFIX)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if ours else _SLIP)
    if not close and not ours:
        return []
    hint = f"; did you mean {close[0]}?" if close else "; `sidecar config docs` lists them all"
    return [f"environment variable {name}: no such setting{hint}"]


def _further(variable: str) -> str | None:
    """Name of the further sink that a variable is about."""
    if not variable.startswith(_MORE_PREFIX + SEPARATOR):
        return None
    return variable.removeprefix(_MORE_PREFIX + SEPARATOR).partition(SEPARATOR)[0].lower()


def _kind_in(values: Mapping[str, Any], *path: str) -> str | None:
    """`kind` of a further sink, as far as the values tell."""
    here: Any = values
    for key in (*MORE, *path, "kind"):
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, str) else None


def _parse(text: str, annotation: Any) -> Any:
    """Lists and mappings are given as JSON or, for lists, as comma-separated text; pydantic reads the rest."""
    kinds = {typing.get_origin(a) or a for a in _members(annotation)}
    if kinds & {list, tuple, set, frozenset, dict}:
        whole = text.strip()
        if whole.startswith(("[", "{")):
            try:
                return json.loads(text)
            except ValueError:
                # JSON with a mistake in it, unless the bracket is one of a pattern: `[ab]*,c`.
                if dict in kinds or lists.closing(whole, 0) in (None, len(whole) - 1):
                    return text
        return lists.split(text)
    if text == "" and type(None) in kinds:
        return None
    return text


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _constant(annotation: Any) -> bool:
    return typing.get_origin(annotation) is typing.Literal and len(typing.get_args(annotation)) == 1


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _put(values: dict[str, Any], path: Path_, value: Any, origins: dict[Path_, str], origin: str) -> None:
    here = values
    for key in path[:-1]:
        child = here.get(key)
        if not isinstance(child, dict):
            child = here[key] = {}
        here = child
    here[path[-1]] = value
    origins[path] = origin


def _explain(error: Any, values: Mapping[str, Any], origins: Mapping[Path_, str]) -> str:
    path = tuple(str(part) for part in error["loc"])
    if path[:2] == MORE and len(path) > 3:  # The kind stands in the path where it told the options apart.
        path = (*path[:3], *path[4:])
    place = _place(path, origins)
    dotted = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = list(further_fields(path[2], _kind_in(values, path[2])) if path[:2] == MORE else fields())
        siblings = [".".join(f.path) for f in known] + sorted({f.path[0] for f in known})
        close = difflib.get_close_matches(dotted, siblings, n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]}?" if close else "; `sidecar config docs` lists them all"
        return f"{place}: {dotted}: no such setting{hint}"
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        given = _kind_in(values, path[2])
        return f"{place}: {dotted}.kind: must be one of {', '.join(_KINDS)}" + (f" (given: {given!r})" if given else "")
    # Our own checks name in their message what may be shown; what they were given may hold a secret.
    ours = error["type"] == "value_error"
    hidden = ours or SECRETS & set(path) or isinstance(error["input"], dict | list)
    shown = "" if hidden else f" (given: {error['input']!r})"
    return f"{place}: {dotted}: {error['msg'].removeprefix('Value error, ')}{shown}"


def _place(path: Path_, origins: Mapping[Path_, str]) -> str:
    """Where `path` comes from: what set it, what set a part around it, or what set anything in it."""
    for n in range(len(path), 0, -1):
        if path[:n] in origins:
            return origins[path[:n]]
    inside = sorted({origin for key, origin in origins.items() if key[: len(path)] == path})
    return ", ".join(inside) or "default"


def _may_be_empty(path: Path_) -> bool:
    """Whether `path` is a section, which may have no keys."""
    return path in _SECTIONS or (path[:2] == MORE and path[3:] in _FURTHER_SECTIONS)


def _sections(known: Iterator[Field]) -> frozenset[Path_]:
    return frozenset(f.path[:n] for f in known for n in range(1, len(f.path)))


_SECTIONS = _sections(fields()) | {MORE}
_FURTHER_SECTIONS = frozenset(p for options in _KINDS.values() for p in _sections(fields(options)))
