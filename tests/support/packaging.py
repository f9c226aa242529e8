"""What `make wheels` makes, from copies: the tree stays as it is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from support.engines.cache import ROOT, EngineUnavailable, command

EXAMPLES = [Path("examples/fastapi_sklearn") / name for name in ("server.py", "baseline.py")]
"""What the wheel has of the examples: the models of `sidecar demo`."""


def sources(folder: Path) -> Path:
    """`folder` with all that wheels and images are made from: the packages, the native core's wheel, docker/."""
    native = sorted((ROOT / ".venv" / "wheels").glob("model_sidecar_native-*.whl"))
    if not native:
        raise EngineUnavailable("the native core is not built: no cargo (`make setup`)")
    (folder / "dist").mkdir(parents=True)
    shutil.copy(native[-1], folder / "dist")
    # Of copies: setuptools writes beside its sources.
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in ("sidecar", "instrumentation", "docker"):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for example in EXAMPLES:
        (folder / example).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / example, folder / example)
    return folder


def build_wheels(folder: Path) -> Path:
    """The folder `dist` of `sources`, with the wheels of the program and of the instrumentation too."""
    dist = folder / "dist"
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", dist]
    command([*wheel, folder, folder / "instrumentation"], "wheels of the program", 1800)
    return dist
