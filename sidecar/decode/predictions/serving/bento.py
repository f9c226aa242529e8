"""BentoML's monitors (bentoml 1.4, `bentoml/_internal/monitoring`): a record for each row, its columns as members.

The OTLP monitor puts `bento_meta` with names and schema into the body of its records (all of them, or a part:
`meta_sample_rate`, but always the first). The default monitor writes a schema (`meta_data`, `columns`) to one file and
data to another (`MONITOR/schema/schema.N.log`, `MONITOR/data/data.N.log`); the schema says what a line of data means.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import partial

from sidecar.decode.documents.text import label
from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions.serving import model_outputs
from sidecar.decode.predictions.serving.bento_schemas import MAX_COLUMNS, Column, Schema, Schemas
from sidecar.decode.predictions.serving.call import Answers, Asked, Call
from sidecar.decode.predictions.serving.exchange import SERVICE, Exchange, Members, Record, call, first, members

NAME = "bento"
KEYS = ("bento_meta", "meta_data")

META = "bento_meta"
FILE = "log.file.path"
FILE_MARK = b"/data/data."
"""In the path of each data file of the default monitor."""
_FOLDER = re.compile(r"(.*/|^)([^/]+)/(?:data/data|schema/schema)\.[^/]*$")
_MONITOR = "monitor_name"
_VALUE, _CLASS = "numerical", "categorical"


def read(exchange: Exchange, schemas: Schemas) -> Call | None:
    """See `protocols.Protocol.read`. Of a schema's record nothing is read; `learn` takes it in."""
    own, record = exchange.own, exchange.record
    if not schemas.by_source or exchange.exchange:
        return None
    schema = schemas.find(source(record), own)
    if schema is None:
        return None
    asked = Asked(1, partial(_of_role, schema, own, "feature"), first(own, ("request_id",)))
    found = call(NAME, Exchange({}, None, None, record, model=schema.model), asked, _answered(schema, own))
    return found and replace(found, version=schema.version, targets=_of_role(schema, own, "target"))


def learn(record: Record, own: Members, schemas: Schemas) -> None:
    """Keep the schema of a record that has one."""
    schema = schema_in(record, own)
    if schema is not None:
        schemas.add(source(record), schema)


def source(record: Record) -> str:
    """What a schema and its data have in common: the service, and the monitor's folder where they come from files."""
    folder = _folder(record)
    return f"{first(record.resource, (SERVICE,))}\n{folder[0] + folder[1] if folder else ''}"


def _folder(record: Record) -> tuple[str, str] | None:
    """(path above the monitor's folder, its name); None where the record is from no file of a monitor."""
    path = record.resource.get(FILE) or record.attributes.get(FILE)
    found = _FOLDER.match(path) if isinstance(path, str) else None
    return (found[1], found[2]) if found else None


def is_early(record: Record, schemas: Schemas) -> bool:
    """Whether a record is from a data file of the default monitor, and the schema of that monitor is not known."""
    path = record.resource.get(FILE) or record.attributes.get(FILE)
    of_data = _folder(record) is not None and FILE_MARK in str(path).encode()
    return of_data and not schemas.knows(source(record))


def schema_in(record: Record, own: Members) -> Schema | None:
    """The schema in a record of either monitor."""
    meta = own.get(META)
    if isinstance(meta, dict):
        columns = meta.get("schema")
        return _schema(meta, list(columns.values()) if isinstance(columns, dict) else None, "")
    folder = _folder(record)
    return _schema(members(own.get("meta_data")), own.get("columns"), folder[1] if folder else "")


def _schema(meta: Members, found: Value, monitor: str) -> Schema | None:
    if not isinstance(found, list) or not found or len(found) > MAX_COLUMNS or "bento_name" not in meta:
        return None
    columns = [
        Column(label(one["name"]), label(one["role"]), label(one.get("type")))
        for one in found
        if isinstance(one, dict) and "name" in one and "role" in one
    ]
    name = first(meta, ("bento_name", _MONITOR)) or monitor
    return Schema(name, first(meta, ("bento_version",)), tuple(columns)) if len(columns) == len(found) else None


def _of_role(schema: Schema, own: Members, role: str) -> dict[str, list[Value]]:
    return {
        column.name: [value]
        for column in schema.columns
        if column.role == role and not isinstance(value := own.get(column.name), list | dict)
    }


def _answered(schema: Schema, own: Members) -> Answers | None:
    predicted = [column for column in schema.columns if column.role == "prediction"]
    if not predicted:
        return None
    return model_outputs.of_columns([_output(column, own.get(column.name)) for column in predicted], 1)


def _output(column: Column, value: Value) -> model_outputs.Output:
    """The monitor's own word about the type counts more than what the value looks like."""
    if column.type == _CLASS and isinstance(value, float) and math.isfinite(value):
        value = int(value) if value.is_integer() else label(value)
    return model_outputs.Output(column.name, [value], real=column.type == _VALUE)
