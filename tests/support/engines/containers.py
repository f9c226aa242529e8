"""Images built and run by buildah and podman, without an engine that runs already: storage of its own, nothing is left.

Both are Debian packages; installed ones are used, else unpacked ones. They need root. The base image is made by
debootstrap from the mirror that apt uses, since images of registries cannot be had everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.engines.cache import EngineUnavailable, command, entry, need
from support.engines.networks import podman_network_programs
from support.engines.toolchains import debian_package, debian_tree

SUITE = "bookworm"
BASE = "localhost/python:3.11-slim"
_PACKAGES = (
    *("podman", "buildah", "runc", "conmon", "golang-github-containers-common", "golang-github-containers-image"),
    *("libgpgme11", "libassuan0", "libdevmapper1.02.1", "libsubid4", "libyajl2"),
)
_PROGRAMS = ("podman", "buildah", "runc", "conmon")
_STORAGE = """[storage]
driver = "overlay"
graphroot = "{home}/graph"
runroot = "{home}/run"
[storage.options]
additionalimagestores = [{stores}]
"""
_CONTAINERS = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
conmon_path = [{conmon}]
helper_binaries_dir = [{networks}]
[engine.runtimes]
runc = [{runc}]
[network]
network_backend = "netavark"
network_config_dir = "{home}/networks"
"""
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
_TRUST = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Containers:
    """podman and buildah with storage of their own."""

    home: Path
    environ: dict[str, str]

    def run(
        self, *arguments: str | Path, timeout: float = 3600, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end. A failure shows its last words."""
        done = subprocess.run(
            list(map(str, arguments)), capture_output=True, text=True, env=self.environ, timeout=timeout, check=False
        )
        assert done.returncode == 0 or not check, (
            f"{' '.join(map(str, arguments[:3]))}: {(done.stderr or done.stdout)[-3000:]}"
        )
        return done

    def build(self, context: Path, tag: str, *, file: Path = Path("docker/Dockerfile"), target: str = "") -> None:
        """An image, or one stage of a file in the context. The index of packages and its certificates are those of this
        machine."""
        settings = [f"--env={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
        trust = [f"--volume={_TRUST}:{_TRUST}:ro"] if Path(_TRUST).exists() else []
        isolation = ["--isolation", "chroot", "--network", "host", "--format", "docker", "--layers"]
        stage = ["--target", target] if target else []
        stage += ["--build-arg", f"BASE={BASE}", "-t", tag, "-f", str(context / file), str(context)]
        self.run("buildah", "build", *isolation, *settings, *trust, *stage)

    def size(self, image: str) -> int:
        """Bytes of an image, not compressed."""
        return int(self.run("podman", "image", "inspect", image, "--format", "{{.Size}}").stdout)

    def keep(self, directory: Path) -> None:
        """Move all images to a folder, for others to have among their `stores`."""
        self.run("umount", "--recursive", self.home / "graph" / "overlay", check=False)
        self.run("mv", self.home / "graph", directory)


@contextmanager
def containers(stores: Sequence[Path] = ()) -> Iterator[Containers]:
    """Tools with the base image, or with the images of the stores, which are only read. All containers and mounts are
    gone afterwards."""
    if os.geteuid() != 0:
        raise EngineUnavailable("containers need root: buildah and podman are run without an engine")
    # Not a folder of pytest's, which would remove it with mounts in it.
    home = Path(tempfile.mkdtemp(prefix="containers-"))
    tools = Containers(home, _environ(home, stores))
    try:
        if not stores:
            path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            tools.run("podman", "import", "--change", path, _base(), BASE)
        yield tools
    finally:
        tools.run("podman", "rm", "--all", "--force", "--time", "1", check=False)
        tools.run("buildah", "rm", "--all", check=False)
        tools.run("podman", "rmi", "--all", "--force", check=False)
        tools.run("umount", "--recursive", home / "graph" / "overlay", check=False)
        shutil.rmtree(home, ignore_errors=True)


def _environ(home: Path, stores: Sequence[Path]) -> dict[str, str]:
    root = _unpacked() if any(shutil.which(tool) is None for tool in _PROGRAMS) else Path("/")
    quoted = {tool: f'"{_tool(root, tool)}"' for tool in ("runc", "conmon")}
    (home / "storage.conf").write_text(_STORAGE.format(home=home, stores=_listed(stores)))
    networks = _listed(podman_network_programs())
    (home / "containers.conf").write_text(_CONTAINERS.format(**quoted, home=home, networks=networks))
    # Where they look for it before /etc, which has it only where they are installed.
    policy = home / ".config" / "containers" / "policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text(_POLICY)
    (home / "registries.conf").write_text("")
    folders = [root / "usr/bin", root / "usr/sbin", root / "usr/libexec/podman"]
    return {
        **os.environ,
        "PATH": os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]),
        "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
        "CONTAINERS_CONF": str(home / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf"),
        "TMPDIR": str(home),
        "HOME": str(home),
    }


def _listed(paths: Sequence[Path]) -> str:
    """Paths in a list of TOML."""
    return ", ".join(f'"{path}"' for path in paths)


def _tool(root: Path, name: str) -> Path:
    found = next((p for folder in ("usr/bin", "usr/sbin") if (p := root / folder / name).exists()), None)
    if found is None:
        raise EngineUnavailable(f"the Debian packages of podman have no {name}")
    return found


def _unpacked() -> Path:
    return debian_tree("podman-and-buildah", _PACKAGES, _PROGRAMS)


def _base() -> Path:
    """A file system of Debian with Python, as a tar archive."""

    def make(directory: Path) -> None:
        unpacked = debian_package("debootstrap")
        root = directory / "root"
        environ = {"DEBOOTSTRAP_DIR": str(unpacked / "usr/share/debootstrap")}
        wanted = "--include=python3,python3-venv,ca-certificates"
        arguments = ["--variant=minbase", wanted, SUITE, root, _mirror()]
        command([unpacked / "usr/sbin/debootstrap", *arguments], f"debootstrap {SUITE}", 1200, environ)
        command([need("tar"), "-C", root, "-cf", directory / "base.tar", "."], "pack the base image", 120)
        shutil.rmtree(root)

    return entry(f"base-{SUITE}-python", make) / "base.tar"


def _mirror() -> str:
    """Where apt gets Debian's packages from."""
    listed = command([need("apt-get", "the base image"), "indextargets", "--format", "$(SITE)"], "apt's mirror", 60)
    sites: Sequence[str] = [line.strip() for line in listed.splitlines() if line.strip().startswith("http")]
    plain = [site for site in sites if site.rstrip("/").endswith("/debian")]
    if not plain:
        raise EngineUnavailable("apt has no mirror of Debian")
    return plain[0]
