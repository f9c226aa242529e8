"""Options of delivery to Elasticsearch and OpenSearch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from sidecar.deliver.common.addresses import as_list, check_base
from sidecar.deliver.elasticsearch import index_patterns
from sidecar.deliver.options import SinkOptions
from sidecar.options import ClientAuth, ClientTls, Duration, Size

SMALLEST_BATCH = 64 << 10
"""However small the destination's limit on requests, batches are not made smaller than this (one document may be)."""


def _checked(urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        check_base(url)
    return urls


Hosts = Annotated[tuple[str, ...], BeforeValidator(as_list), AfterValidator(_checked)]
"""Addresses of a cluster's nodes."""


HOSTS: Any = Field(
    (),
    examples=[["https://es:9200"]],
    description="Addresses of the nodes, such as https://es:9200; several in a list or separated by commas.",
)


class ElasticsearchOptions(SinkOptions):
    """Elasticsearch or OpenSearch."""

    address_options: ClassVar[tuple[str, ...]] = ("hosts",)

    kind: Literal["elasticsearch"] = Field("elasticsearch", description="Kind of the sink.")
    hosts: Hosts = HOSTS
    tls: ClientTls = Field(default=ClientTls(), description="TLS of connections to https:// addresses.")
    auth: ClientAuth = Field(default=ClientAuth(), description="Credentials: an API key, a token or a user.")
    compression: bool = Field(True, description="Send requests compressed with gzip.")
    timeout: Duration = Field(30.0, gt=0, le=600, description="For a whole request, its reply included.")
    batch_bytes: Size = Field(
        4 << 20,
        ge=SMALLEST_BATCH,
        le=90 << 20,
        description="Max. size of a request's documents, not compressed.",
    )
    batch_documents: int = Field(20_000, ge=1, description="Max. documents in one request.")
    bootstrap: bool = Field(
        True,
        description="At start-up put index templates for data streams (or for `index`) where the cluster has none.",
    )
    index: str | None = Field(
        None,
        description="Index to put documents into instead of data streams, such as {type}-%Y.%m.%d: %Y, %m, %d and %H "
        "are of the document's own time in UTC, {type} is logs or traces.",
    )
    pipeline: str | None = Field(None, description="Ingest pipeline that the documents are to go through.")
    ids: Literal["deterministic", "none"] = Field(
        "deterministic",
        description="`deterministic`: a document that is sent retry is the same document. `none`: the engine gives ids "
        "(it indexes faster), and what is sent again after an outage may be there twice.",
    )
    on_conflict: Literal["text", "dead_letter"] = Field(
        "text",
        description="A document with a field that does not fit the mapping: `text` moves the field's value to the "
        "attribute sidecar.conflicts, as JSON, and sends the document again; `dead_letter` keeps it for replay.",
    )

    @field_validator("index", "pipeline", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("index")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        if value and (problem := index_patterns.problem(value)):
            raise ValueError(problem)
        return value
