"""Options of the join of labels with predictions that are kept in Elasticsearch or OpenSearch."""

from __future__ import annotations

from pydantic import Field, field_validator

from sidecar.deliver.elasticsearch import index_patterns
from sidecar.deliver.elasticsearch.options import HOSTS, Hosts
from sidecar.deliver.elasticsearch.trace_options import SearchPattern
from sidecar.options import ClientAuth, ClientTls, Duration, Section


class OutcomeElasticsearchOptions(Section):
    """Where predictions and labels are read, and figures are put."""

    hosts: Hosts = HOSTS
    tls: ClientTls = Field(default=ClientTls(), description="TLS of connections to https:// addresses.")
    auth: ClientAuth = Field(
        default=ClientAuth(),
        description="Credentials: an API key, a token or a user; the role sidecar-outcomes is enough.",
    )
    timeout: Duration = Field(60.0, gt=0, le=600, description="For a whole request, its reply included.")
    logs: SearchPattern = Field(
        "logs-*.otel-*", min_length=1, description="Indices or data streams with predictions and labels."
    )
    documents: bool = Field(
        True, description="Put a document with the figures of each model, version and window into `index`."
    )
    index: str = Field("sidecar-outcomes", description="Index for these documents; made where it is not there.")

    @field_validator("index")
    @classmethod
    def _one_index(cls, value: str) -> str:
        if problem := index_patterns.name_problem(value):
            raise ValueError(problem)
        return value


class OutcomeJobOptions(Section):
    """`sidecar outcomes`; what it joins and shows is in `derive.outcomes`."""

    elasticsearch: OutcomeElasticsearchOptions = Field(
        default=OutcomeElasticsearchOptions(), description="Where predictions, labels and figures are."
    )
