"""`sidecar instrument bundle`: a folder with everything that a model's container needs to be instrumented.

An init container copies it to a volume, and the model's container has it on PYTHONPATH; its image is not changed.
Nothing in it is compiled, so one folder serves every platform. The packages come from the Python package index by way
of pip; what instruments is the installed `model-sidecar-instrumentation`.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from sidecar.errors import SidecarError
from sidecar.instrument import private_copies

DISTRIBUTION = "model-sidecar-instrumentation"
PACKAGE = "model_sidecar_instrumentation"
OLDEST = (3, 9)
#: Sets of packages: the first is for 3.9, the second for 3.10 and all later ones.
VERSIONS = ("3.9", "3.10")
REQUIREMENTS = (
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp-proto-http",
    *(
        f"opentelemetry-instrumentation-{name}"
        for name in (
            "aiohttp-server",
            "asgi",
            "celery",
            "django",
            "fastapi",
            "flask",
            "grpc",
            "httpx",
            "logging",
            "requests",
            "starlette",
            "threading",
            "tornado",
            "urllib",
            "urllib3",
            "wsgi",
        )
    ),
)
PIP_SECONDS = 600


class BundleError(SidecarError):
    """The bundle could not be made."""


def make(
    target: Path,
    versions: Sequence[str] = VERSIONS,
    progress: Callable[[str], None] = lambda _: None,
    fetch: Callable[[Path, str], None] | None = None,
) -> list[str]:
    """Write the bundle to `target`, which must be new, empty, or an older bundle (which is replaced only when the new
    one is whole). One set of packages for each of `versions`; the names of what is in them, for people.
    `fetch(folder, version)` installs the packages; by default pip does.

    Raises `BundleError` for a folder with other things in it, a missing pip or package, or a compiled package."""
    for version in versions:
        _check_version(version)
    _check_target(target)
    source = package_folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
        made = Path(name) / "bundle"
        made.mkdir()
        contents = []
        for version in versions:
            progress(version)
            contents.append(_make_set(made / f"py{version}", version, source, fetch or fetch_with_pip))
        shutil.copyfile(source / "startup" / "sitecustomize.py", made / "sitecustomize.py")
        made.chmod(0o755)
        _replace(target, made)
    return contents


def package_folder() -> Path:
    """Where the installed instrumentation is."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise BundleError(
            f"{DISTRIBUTION} is not installed here: pip install ./instrumentation in the source tree of model-sidecar"
        )
    return Path(spec.origin).parent


def _check_version(version: str) -> None:
    match = re.fullmatch(r"(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < OLDEST:
        raise BundleError(f"{version} is no Python version from {OLDEST[0]}.{OLDEST[1]} on, such as 3.10")


def _check_target(target: Path) -> None:
    if target.exists() and (
        not target.is_dir() or (any(target.iterdir()) and not (target / "sitecustomize.py").exists())
    ):
        raise BundleError(f"{target} has other things in it: name a new folder")


def _make_set(folder: Path, version: str, source: Path, fetch: Callable[[Path, str], None]) -> str:
    """`first`: OpenTelemetry and what is ours; `last`: what they need; `private`: both in one, for old apps."""
    first, last = folder / "first", folder / "last"
    first.mkdir(parents=True)
    fetch(last, version)
    compiled = [path.name for pattern in ("*.so", "*.pyd") for path in last.rglob(pattern)]
    if compiled:
        raise BundleError(f"for Python {version} there are packages that are compiled: {', '.join(sorted(compiled))}")
    shutil.rmtree(last / "bin", ignore_errors=True)
    for path in last.glob("opentelemetry*"):
        path.rename(first / path.name)
    shutil.copytree(source, first / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "startup"))
    installed = metadata.distribution(DISTRIBUTION)
    info = first / f"{PACKAGE}-{installed.version}.dist-info"
    info.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (info / name).write_text(installed.read_text(name) or "", "utf-8")
    private_copies.make(folder)
    distributions = sorted(path.name.removesuffix(".dist-info") for path in folder.glob("[fl]*/*.dist-info"))
    return f"Python {version}: {', '.join(distributions)}"


def fetch_with_pip(target: Path, version: str) -> None:
    """`REQUIREMENTS` and what they need, as wheels without compiled parts, for `version`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(target), "--python-version", version, "--only-binary", ":all:"]
    command += ["--implementation", "py", "--abi", "none", "--platform", "any", *REQUIREMENTS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"pip was not done after {PIP_SECONDS} s") from error
    if done.returncode != 0:
        raise BundleError(f"pip for Python {version}: {' | '.join(done.stderr.strip().splitlines()[-5:])}")


def _replace(target: Path, made: Path) -> None:
    """An older bundle stays until the new one is at hand."""
    if target.exists():
        target.rename(made.with_name("older"))
    made.rename(target)
