"""Python runs this file at its start because its folder is on PYTHONPATH. It starts OpenTelemetry's
auto-instrumentation when the process imports the first thing outside of the standard library, or `logging`, and never
keeps the app from running: what goes wrong is one line on stderr. A process that imports neither is left alone. Where
gevent or eventlet is going to be used, OpenTelemetry is started when it has replaced what it replaces.

Beside it there may be folders `py3.9`, `py3.10`, ... (made by `sidecar instrument bundle`); the newest that is not
newer than this Python is used. In it, `first` (OpenTelemetry, whose packages must be of one version) comes before the
app's own packages, and `last` (what OpenTelemetry needs) after them, so that the app keeps its own versions. Where one
of those is too old for OpenTelemetry (`needs.txt`), `private` is used in place of `first`: the same code with copies of
what it needs under names of its own.

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
# Of the standard library `logging` and what imports it; and what there may be only once it is started.
TRIGGERS = ("logging", "asyncio", "concurrent.futures", "opentelemetry")
# They replace parts of the standard library, and must do so before anything imports `ssl`, as OpenTelemetry does.
PATCHING = {"gevent": ("gevent.monkey", "saved"), "eventlet": ("eventlet.patcher", "already_patched")}
AUTO = "opentelemetry.instrumentation.auto_instrumentation"


def start(here):
    """Everything that this file is there for; `here` is its folder."""
    chain(here)
    if sys.version_info < OLDEST:
        complain(f"Python {sys.version_info[0]}.{sys.version_info[1]} is older than 3.9")
    elif AUTO not in sys.modules:
        # Whether by the app or by the OpenTelemetry operator's own `sitecustomize`, it was not started yet.
        sys.meta_path.insert(0, Waiting(here))


class Waiting:
    """Finds no module itself: sees the first import that OpenTelemetry is started for, before it is carried out."""

    def __init__(self, here):
        self.here = here
        self.library = os.path.dirname(os.__file__)
        self.wanted = False
        self.patching = None  # What the process waits for, once it is wanted.

    def find_spec(self, name, path=None, target=None):
        if not self.wanted and (name in TRIGGERS or (path is None and self.is_outside(name))):
            self.wanted = True
            self.patching = name if name in PATCHING else named_by_the_command()
            if self.patching:
                wait_for_patching(self)
        if not self.wanted or is_importing() or (self.patching and not has_patched(self.patching)):
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            with_imports_of_others(lambda: initialise(self.here))
        if name in sys.modules:
            return already_there(name)
        # The list has changed while it was walked through: from its start again.
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                return spec
        return None

    def is_outside(self, name):
        """Whether it is not of the standard library."""
        from importlib.machinery import FrozenImporter, PathFinder

        if name in sys.builtin_module_names or FrozenImporter.find_spec(name) is not None:
            return False
        known = getattr(sys, "stdlib_module_names", None)
        if known is not None and name in known:
            return False
        spec = PathFinder.find_spec(name)
        if spec is None or name in ("sitecustomize", "usercustomize"):
            return False
        origin = spec.origin or ""
        inside = origin.startswith(self.library + os.sep) or "lib-dynload" in origin
        return not inside or "site-packages" in origin or "dist-packages" in origin


def named_by_the_command():
    """gevent or eventlet, if the command line, the script or gunicorn's settings name it."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read().decode("utf-8", "replace").split("\0")
    except OSError:
        words = [sys.executable, *getattr(sys, "argv", [])]
    said = [*words[1:], os.environ.get("GUNICORN_CMD_ARGS", "")]
    if any("gunicorn" in word for word in words):
        words.append("gunicorn.conf.py")
    for path in words[1:]:
        if path.endswith(".py") and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                said.append(file.read(1 << 20))
    return next((name for name in PATCHING if any(name in text for text in said)), None)


def has_patched(name):
    """Whether it has replaced what it replaces, and is not about to replace more."""
    module, mark = PATCHING[name]
    if not getattr(sys.modules.get(module), mark, None):
        return False
    frame = sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(name + "."):
            return False
        frame = frame.f_back
    return True


def wait_for_patching(waiting):
    """Where nothing is patched after all, that is said at the end, by a process that is not the parent of workers."""
    import atexit

    # Workers start by themselves: the process that they have in common is the first one.
    os.environ.setdefault("SIDECAR_INSTANCE_PID", str(os.getpid()))
    complaint = f"its command or script names {waiting.patching}, which has replaced nothing of the standard library"

    def say():
        if waiting in sys.meta_path:
            complain(complaint)

    atexit.register(say)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_parent=lambda: atexit.unregister(say))


def with_imports_of_others(call):
    """Finders are asked under the lock of all imports. OpenTelemetry starts threads, which import and are waited
    for."""
    import _imp

    held = 0
    try:
        while True:
            _imp.release_lock()
            held += 1
    except RuntimeError:
        pass  # It is not held by this thread any more.
    try:
        call()
    finally:
        for _ in range(held):
            _imp.acquire_lock()


def is_importing():
    """Whether some module is halfway: OpenTelemetry could need it whole."""
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    return any(getattr(spec, "_initializing", False) for spec in specs)


def already_there(name):
    """What an import that is under way is answered with, if OpenTelemetry has imported the same module meanwhile. The
    import system asks such a module for its `__spec__`, and would execute it a second time."""
    from importlib.machinery import ModuleSpec

    module = sys.modules[name]
    spec = getattr(module, "__spec__", None)

    class Loaded:
        def create_module(self, _):
            return module

        def exec_module(self, _):
            module.__spec__ = spec

    module.__spec__ = ModuleSpec(name, Loaded(), origin=getattr(spec, "origin", None))
    return module.__spec__


def initialise(here):
    """Start OpenTelemetry. Processes that are started meanwhile are not instrumented, or each would start the next."""
    if AUTO in sys.modules:
        return
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    meanwhile = passing_environment(here)
    before = {name: os.environ.get(name) for name in meanwhile}
    os.environ.update(meanwhile)
    try:
        run(here)
        check_sending()
    except Exception as error:
        complain(f"{type(error).__name__}: {error}{advice(error)}")
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def passing_environment(here):
    """What holds only while OpenTelemetry starts."""
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # gRPC reads these when an exporter makes its channel, others with every request: none to this host is by a proxy.
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    grpc = os.environ.get("no_grpc_proxy") or given  # noqa: SIM112
    return {
        "PYTHONPATH": os.pathsep.join(p for p in path if not is_same(p, here)),
        "no_proxy": ",".join(filter(None, [given, *OWN])),
        "no_grpc_proxy": ",".join(filter(None, [grpc, *OWN])),
    }


def run(here):
    """With the app's packages, else with copies of our own."""
    folder = newest(here)
    if folder is None:
        return initialize()
    last = os.path.join(folder, "last")
    sys.path.append(last)
    private = os.path.join(folder, "private")
    if not os.path.isdir(private) or not too_old(folder, last):
        add_first(here, os.path.join(folder, "first"))
        try:
            return initialize()
        except ImportError:
            if not os.path.isdir(private):
                raise
            forget(os.path.join(folder, "first"))
    add_first(here, private)
    return initialize()


def initialize():
    import logging

    from model_sidecar_instrumentation import deferred

    deferred.install()
    from opentelemetry.instrumentation.auto_instrumentation import initialize as auto

    # An exception is logged there with its traceback, and raised as well; here it is one line.
    loggers = [logging.getLogger(name) for name in (AUTO, AUTO + "._load")]
    for logger in loggers:
        logger.addFilter(has_no_traceback)
    try:
        auto(swallow_exceptions=False)
    finally:
        for logger in loggers:
            logger.removeFilter(has_no_traceback)


def has_no_traceback(record):
    return not record.exc_info


def newest(here):
    versions = []
    for name in os.listdir(here):
        parts = name[2:].split(".")
        if name.startswith("py") and len(parts) == 2 and all(part.isdigit() for part in parts):
            version = (int(parts[0]), int(parts[1]))
            if version <= sys.version_info[:2]:
                versions.append((version, name))
    return os.path.join(here, max(versions)[1]) if versions else None


def add_first(here, folder):
    """In front of the app's packages, behind the folders of PYTHONPATH up to this one."""
    places = [i for i, path in enumerate(sys.path) if is_same(path, here)]
    sys.path.insert(places[0] + 1 if places else 0, folder)


def too_old(folder, last):
    """Whether a package of the app's is not in the range of versions that OpenTelemetry needs (a line of `needs.txt`:
    name, oldest, and first that is too new)."""
    from importlib.metadata import PackageNotFoundError, version

    with open(os.path.join(folder, "needs.txt")) as file:
        needs = [line.split() for line in file if line.strip()]
    for name, oldest, newest in needs:
        try:
            found = numbers(version(name))
        except PackageNotFoundError:
            continue
        if not numbers(oldest) <= found < numbers(newest):
            return True
    return False


def numbers(version):
    made = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        made.append(int(digits))
    return made


def forget(folder):
    """Take back what was imported from there."""
    sys.path.remove(folder)
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if name.split(".")[0] in ("opentelemetry", "model_sidecar_instrumentation") or (
            spec is not None and (spec.origin or "").startswith(folder)
        ):
            del sys.modules[name]


def is_same(path, here):
    return bool(path) and os.path.realpath(path) == os.path.realpath(here)


def chain(here):
    """Run the `sitecustomize` that this one stands in front of, in its place in `sys.modules`."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if not is_same(path, here)])
    if spec is None or spec.loader is None:
        return
    from importlib.util import module_from_spec

    mine = sys.modules.get("sitecustomize")
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        if mine is not None:
            sys.modules["sitecustomize"] = mine
        sys.stderr.write(f"Error in {spec.origin}: {type(error).__name__}: {error}\n")


def check_sending():
    """Instrumentations can be installed without what sends, and OpenTelemetry says nothing of that."""
    from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not disabled and isinstance(get_tracer_provider(), ProxyTracerProvider):
        sys.stderr.write(
            "model-sidecar: this process sends nothing unless it sets OpenTelemetry up itself: there is no "
            "opentelemetry-distro (it needs opentelemetry-exporter-otlp-proto-http too)\n"
        )


def advice(error):
    """What to do about errors that say nothing of it."""
    if "otlp_proto_grpc" in str(error):
        return " (set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or install opentelemetry-exporter-otlp-proto-grpc)"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(("opentelemetry", "model_sidecar")):
        return " (pip install './instrumentation[otlp]' in the source tree of model-sidecar, for this Python)"
    return ""


def complain(what):
    sys.stderr.write(f"model-sidecar: this process is not instrumented: {what}\n")


if __name__ == "sitecustomize":
    start(os.path.dirname(os.path.abspath(__file__)))
