"""Settings, put together from the components' own options; the only reader of the environment.

Order, later wins: defaults, the YAML file (`SIDECAR_CONFIG` or `--config`), standard variables that apply,
`SIDECAR_SECTION__KEY` variables. `${NAME}` in a YAML value is replaced from the environment. Blanks and line ends
around a variable's text never count: secrets made of files end in one. All problems are reported at once, each with the
place that it came from.
"""

from __future__ import annotations

import json
import re
import socket
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from sidecar import lists
from sidecar.config.given_kinds import drop_absent, kinds_of, masked
from sidecar.config.given_values import Origins, get, has, place, put
from sidecar.config.invalid_text import check_text
from sidecar.config.option_fields import KINDS, MORE, PREFIX, SEPARATOR, Path_, fields, further_fields, known, path_of
from sidecar.config.renamed_options import current, is_section, rename
from sidecar.config.settings import Renamed, Settings
from sidecar.errors import ConfigError
from sidecar.os_text import repaired

#: Standard variables that say the same as a setting of ours; ours wins, and of these the later.
STANDARD_VARIABLES = {
    variable: current(path)
    for variable, path in {
        "OTEL_EXPORTER_PROMETHEUS_HOST": ("serve", "host"),
        "OTEL_EXPORTER_PROMETHEUS_PORT": ("serve", "port"),
        "OTEL_LOG_LEVEL": ("telemetry", "log_level"),
        "OTEL_SERVICE_NAME": ("receive", "ingest", "service_name"),
        "OTEL_RESOURCE_ATTRIBUTES": ("receive", "ingest", "resource"),
        "POD_NAME": ("deliver", "redaction", "kubernetes", "pod_name"),
        "K8S_POD_NAME": ("deliver", "redaction", "kubernetes", "pod_name"),
        "POD_NAMESPACE": ("deliver", "redaction", "kubernetes", "namespace_name"),
        "K8S_NAMESPACE_NAME": ("deliver", "redaction", "kubernetes", "namespace_name"),
        "NODE_NAME": ("deliver", "redaction", "kubernetes", "node_name"),
        "K8S_NODE_NAME": ("deliver", "redaction", "kubernetes", "node_name"),
        "POD_UID": ("deliver", "redaction", "kubernetes", "pod_uid"),
        "K8S_POD_UID": ("deliver", "redaction", "kubernetes", "pod_uid"),
        "K8S_CONTAINER_NAME": ("deliver", "redaction", "kubernetes", "container_name"),
    }.items()
}
#: Variables with our prefix that are not settings of the program.
NOT_SETTINGS = frozenset({"SIDECAR_CONFIG", "SIDECAR_TEST_CACHE"})
#: What Kubernetes sets in every pod for a Service whose name happens to begin with `sidecar`: by its name, or, as
#: `SIDECAR_SERVE_PORT` may as well be a slip of the pen, by its value.
_SERVICE_LINK = re.compile(r"^SIDECAR_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP|SCTP)\w*)$")
_SERVICE_LINK_PORT = re.compile(r"^SIDECAR_(\w+_)?PORT=(tcp|udp|sctp)://")
#: Read in the model's own container, which may share an environment with the sidecar.
_IN_THE_MODEL = re.compile(r"^SIDECAR_(CAPTURE\w*|EXIT_TIMEOUT|RESPONSE_HEADER|MODEL_(NAME|VERSION|CLASSES))$")
#: How like a setting a variable without the separator must be to be taken for a slip; others are the image's or pod's.
_SLIP = 0.9
#: Keys whose values are never repeated.
SECRETS = frozenset({"token", "password", "api_key", "hash_key"})
_QUOTED = re.compile(r"""(["'])(.*)\1""", re.DOTALL)
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def is_variable(name: str) -> bool:
    """Whether an environment variable of this name may set something. Old names are none of them."""
    path = path_of(name)
    other = name in NOT_SETTINGS or bool(_IN_THE_MODEL.match(name))
    return other or (name.startswith(PREFIX) and (path == MORE or known(path) == "option"))


def load(environ: Mapping[str, str], path: Path | None = None) -> Settings:
    """The settings from file and environment. Raises `ConfigError` with every problem found."""
    problems: list[str] = []
    origins: Origins = {}
    values: dict[str, Any] = {}
    named = environ.get("SIDECAR_CONFIG", "").strip()
    file = path or (Path(named) if named else None)
    if file is not None:
        values = _from_file(file, environ, origins, problems)
    renamed = rename(values, origins, problems)
    if file is not None:
        problems += drop_absent(values, origins)
    ignored = _from_standard(values, environ, origins)
    renamed += _from_environment(values, environ, origins, problems)
    problems += [*check_text(values, origins), *masked(values, origins)]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_explain(e, values, origins) for e in error.errors()]
    else:
        if not problems:
            return settings.with_notices(ignored, renamed)
    raise ConfigError(problems)


def _from_file(file: Path, environ: Mapping[str, str], origins: Origins, problems: list[str]) -> dict[str, Any]:
    from sidecar.config.yaml_text import InvalidYaml, parse

    try:
        values, lines = parse(file.read_text("utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return {}
    except UnicodeDecodeError as error:
        problems.append(f"{file}: cannot be read: {error}; expected UTF-8")
        return {}
    except InvalidYaml as error:
        problems.append(f"{file}{error}")
        return {}
    origins.update({path: f"{file}:{line}" for path, line in lines.items()})
    return typing.cast(dict[str, Any], _expand(values, environ, (), origins, problems))


def _expand(value: Any, environ: Mapping[str, str], path: Path_, origins: Origins, problems: list[str]) -> Any:
    if isinstance(value, dict):
        # A section whose keys are all commented out reads as null: it is as if it were not there.
        return {
            str(k): _expand(v, environ, (*path, str(k)), origins, problems)
            for k, v in value.items()
            if not (v is None and is_section((*path, str(k))))
        }
    if isinstance(value, list):
        return [_expand(v, environ, path, origins, problems) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        place = f"{origins.get(path, 'file')}: {'.'.join(path)}"
        if name not in environ and default is None:
            problems.append(f"{place}: ${{{name}}} is not set; set it, or write ${{{name}:-default}}")
        if default and "${" in default:
            problems.append(f"{place}: ${{{name}:-{default}}}: a default cannot hold another reference")
        return environ.get(name, "").strip() or default or ""

    return _REFERENCE.sub(replace, value)


def _from_standard(values: dict[str, Any], environ: Mapping[str, str], origins: Origins) -> list[str]:
    """Standard variables are the pod's, and may be meant for others: what is invalid in them is left out. What that
    was, with the reason."""
    ignored = []
    for variable, target in STANDARD_VARIABLES.items():
        given = environ.get(variable, "").strip()
        text = repaired(given)
        if text != given:
            ignored.append(f"{variable}: not UTF-8; taken as {text!r}")
        reason = _refused(target, text) if text else ""
        if reason:
            ignored.append(f"{variable}: {reason}")
            text = ",".join(part for part in text.split(",") if not _refused(target, part)) if "," in text else ""
        if text and not _refused(target, text):
            put(values, target, text, origins, f"environment variable {variable}")
    return ignored


def _refused(target: Path_, value: str) -> str:
    """Why this value cannot be that of the setting; empty if it can."""
    if target == ("serve", "host") and not _is_own_address(value):
        return f"no address of this host (given: {value!r})"
    alone: dict[str, Any] = {}
    put(alone, target, value, {}, "")
    try:
        Settings.model_validate(alone)
    except ValidationError as error:
        return _explain(error.errors()[0], alone, {}).partition(": ")[2]
    return ""


def _is_own_address(host: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
    except (OSError, UnicodeError, TypeError):  # TypeError: no name of a host at all.
        return False
    return True


def _from_environment(
    values: dict[str, Any], environ: Mapping[str, str], origins: Origins, problems: list[str]
) -> list[Renamed]:
    options = {f.path: f for f in fields()}
    names = sorted(n for n, v in environ.items() if n.startswith(PREFIX) and v.strip() and n not in NOT_SETTINGS)
    targets = {name: current(path_of(name)) for name in names if not _IN_THE_MODEL.match(name)}
    kinds = {p[2]: environ[name].strip() for name, p in targets.items() if p[:2] == MORE and p[3:] == ("kind",)}
    for sink in {path[2] for path in targets.values() if path[:2] == MORE and len(path) > 3}:
        options |= {f.path: f for f in further_fields(sink, kinds.get(sink) or _kind_in(values, sink))}
    given: dict[str, Any] = {}
    places: Origins = {}
    for name, path in targets.items():
        field = options.get(path)
        if field is not None:
            put(given, path_of(name), _parse(environ[name], field.annotation), places, f"environment variable {name}")
        elif not (_SERVICE_LINK.match(name) or _SERVICE_LINK_PORT.match(f"{name}={environ[name]}")):
            problems += _slip(name, [*(f.variable for f in options.values()), *NOT_SETTINGS])
    renamed = rename(given, places, problems)
    for path, origin in places.items():
        if has(given, path):
            put(values, path, get(given, path), origins, origin)
    return renamed


def _slip(name: str, known: list[str]) -> list[str]:
    """The problem of a variable with our prefix that is no setting, if it was meant to be one."""
    ours = SEPARATOR in name.removeprefix(PREFIX)
    cutoff = 0.6 if ours else _SLIP
    close = _close(name.removeprefix(PREFIX), [variable.removeprefix(PREFIX) for variable in known], cutoff)
    if not close and not ours:
        return []
    hint = f"; did you mean {PREFIX}{close[0]}?" if close else "; `sidecar config docs` lists them all"
    return [f"environment variable {name}: no such setting{hint}"]


def _close(name: str, known: Sequence[str], cutoff: float) -> list[str]:
    """What may have been meant; at most one."""
    import difflib  # Needed only where something is wrong.

    return difflib.get_close_matches(name, known, n=1, cutoff=cutoff)


def _kind_in(values: Mapping[str, Any], sink: str) -> str | None:
    """`kind` of an additional sink, as far as the values tell."""
    kind = get(values, (*MORE, sink, "kind"))
    return kind if isinstance(kind, str) else None


def _parse(text: str, annotation: Any) -> Any:
    """Lists and mappings are given as JSON or, for lists, as comma-separated text; pydantic reads the rest. Quotes
    around the whole are taken off, as `docker run --env-file` does not, but for those of a secret."""
    kinds, text = kinds_of(annotation), text.strip()
    if kinds & {list, tuple, set, frozenset, dict}:
        if text.startswith(("[", "{")):
            try:
                return json.loads(text)
            except ValueError:
                # JSON with a mistake in it, unless the bracket is one of a pattern: `[ab]*,c`.
                if dict in kinds or lists.closing(text, 0) in (None, len(text) - 1):
                    return text
        return lists.split(text)
    quoted = _QUOTED.fullmatch(text)
    return quoted[2] if quoted and SecretStr not in kinds else text


def _explain(error: Any, values: Mapping[str, Any], origins: Mapping[Path_, str]) -> str:
    path = tuple(str(part) for part in error["loc"])
    if path[:2] == MORE and len(path) > 3:  # The kind stands in the path where it told the options apart.
        path = (*path[:3], *path[4:])
    origin = place(path, origins)
    dotted = ".".join(path)
    if error["type"] == "extra_forbidden":
        near = list(further_fields(path[2], _kind_in(values, path[2])) if path[:2] == MORE else fields())
        siblings = [".".join(f.path) for f in near] + sorted({f.path[0] for f in near})
        close = _close(dotted, siblings, 0.6)
        hint = f"; did you mean {close[0]}?" if close else "; `sidecar config docs` lists them all"
        if close == [dotted]:  # The key itself has dots.
            hint = f"; write {': '.join(dotted.split('.'))}:, each in a line of its own and indented"
        return f"{origin}: {dotted}: no such setting{hint}"
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        given = _kind_in(values, path[2])
        return f"{origin}: {dotted}.kind: must be one of {', '.join(KINDS)}" + (f" (given: {given!r})" if given else "")
    if error["type"] in ("dict_type", "model_type", "model_attributes_type"):
        return f"{origin}: {dotted}: expected a mapping (in a variable as JSON)"
    # Our own checks name in their message what may be shown; what they were given may hold a secret.
    ours = error["type"] == "value_error"
    hidden = ours or SECRETS & set(path) or isinstance(error["input"], dict | list)
    shown = "" if hidden else f" (given: {error['input']!r})"
    return f"{origin}: {dotted}: {_message(error)}{shown}"


def _message(error: Any) -> str:
    if error["type"] == "path_type":
        return "expected a path"
    if error["type"] == "string_type" and not isinstance(error["input"], dict | list | None):
        return "expected text; put it in quotes"  # YAML took it for a number, a switch or a date.
    return str(error["msg"]).removeprefix("Value error, ")
