"""Python runs this file at its start because its folder is on PYTHONPATH. It starts OpenTelemetry's
auto-instrumentation, and never keeps the app from running: what goes wrong is one line on stderr.

Beside it there may be folders `py3.9`, `py3.10`, ... (made by `sidecar agent bundle`); the newest that is not newer
than this Python is used. In it, `first` (OpenTelemetry, whose packages must be of one version) comes before the app's
own packages, and `last` (what OpenTelemetry needs) after them, so that the app keeps its own versions.

An image's own `sitecustomize` is run as well, before OpenTelemetry is started.
"""

import os
import sys

DEFAULTS = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    # An event can be some tens of kilobytes: 64 of them in a request, not 512.
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "64",
    # What a process that is killed takes with it, in milliseconds.
    "OTEL_BLRP_SCHEDULE_DELAY": "500",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
}
OLDEST = (3, 9)
# Names of this host, as gRPC compares them.
OWN = ("localhost", "localhost.", "127.0.0.0/8", "127.0.0.1", "::1", "::ffff:127.0.0.1")


def start(here):
    """Everything that this file is there for; `here` is its folder."""
    if sys.version_info >= OLDEST:
        add_packages(here)
    chain(here)
    if sys.version_info < OLDEST:
        complain(f"Python {sys.version_info[0]}.{sys.version_info[1]} is older than 3.9")
        return
    try:
        initialise(here)
    except Exception as error:
        complain(f"{type(error).__name__}: {error}")


def add_packages(here):
    """`first` in front of the app's packages (behind the folders of PYTHONPATH up to this one), `last` behind them."""
    versions = []
    for name in os.listdir(here):
        parts = name[2:].split(".")
        if name.startswith("py") and len(parts) == 2 and all(part.isdigit() for part in parts):
            version = (int(parts[0]), int(parts[1]))
            if version <= sys.version_info[:2]:
                versions.append((version, name))
    if not versions:
        return
    folder = os.path.join(here, max(versions)[1])
    places = [i for i, path in enumerate(sys.path) if is_same(path, here)]
    sys.path.insert(places[0] + 1 if places else 0, os.path.join(folder, "first"))
    sys.path.append(os.path.join(folder, "last"))


def is_same(path, here):
    return bool(path) and os.path.realpath(path) == os.path.realpath(here)


def chain(here):
    """Run the `sitecustomize` that this one stands in front of, in its place in `sys.modules`."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if not is_same(path, here)])
    if spec is None or spec.loader is None:
        return
    mine = sys.modules.get("sitecustomize")
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        if mine is not None:
            sys.modules["sitecustomize"] = mine
        sys.stderr.write(f"Error in {spec.origin}: {type(error).__name__}: {error}\n")


def initialise(here):
    """Unless something else did so already, such as the OpenTelemetry operator's own `sitecustomize`. Processes that
    are started meanwhile are not instrumented, or each would start the next."""
    if "opentelemetry.instrumentation.auto_instrumentation" in sys.modules:
        return
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    meanwhile = {"PYTHONPATH": os.pathsep.join(p for p in path if not is_same(p, here))}
    # gRPC reads these when an exporter makes its channel, others with every request: none to this host is by a proxy.
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    meanwhile["no_proxy"] = ",".join(filter(None, [given, *OWN]))
    meanwhile["no_grpc_proxy"] = ",".join(filter(None, [os.environ.get("no_grpc_proxy") or given, *OWN]))  # noqa: SIM112
    before = {name: os.environ.get(name) for name in meanwhile}
    os.environ.update(meanwhile)
    try:
        from opentelemetry.instrumentation.auto_instrumentation import initialize

        initialize()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    check_sending()


def check_sending():
    """Instrumentations can be installed without what sends, and OpenTelemetry says nothing of that."""
    from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not disabled and isinstance(get_tracer_provider(), ProxyTracerProvider):
        sys.stderr.write(
            "model-sidecar: this process sends nothing unless it sets OpenTelemetry up itself: there is no "
            "opentelemetry-distro (it needs opentelemetry-exporter-otlp-proto-http too)\n"
        )


def complain(what):
    sys.stderr.write(f"model-sidecar: this process is not instrumented: {what}\n")


if __name__ == "sitecustomize":
    start(os.path.dirname(os.path.abspath(__file__)))
