"""BentoML: it makes a tracer provider of its own for the spans of requests, which keeps none of them unless its
configuration has a sample rate, and whose decision holds for the spans of the predictions within. Where the app has not
set up where such spans go, they are made by the provider of the process, as those of all other servers."""

from __future__ import annotations

from typing import Any, ClassVar

from opentelemetry import trace

from model_sidecar_instrumentation.instrumentor import FrameworkInstrumentor, Hooks
from model_sidecar_instrumentation.patching import wrap_function


def _container(module: Any) -> None:
    container = module.BentoMLContainer

    def provide(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        provider = trace.get_tracer_provider()
        resource = getattr(provider, "resource", None)
        if resource is None or container.tracing.exporter_type.get():
            return original(*args, **kwargs)
        # As its own provider does; it is in its log lines.
        module.trace_context.service_name = resource.attributes.get("service.name")
        return provider

    wrap_function(container.tracer_provider, "get", provide)


class BentoMLInstrumentor(FrameworkInstrumentor):
    hooks: ClassVar[Hooks] = {"bentoml._internal.configuration.containers": _container}
