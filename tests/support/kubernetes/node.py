"""A Kubernetes node that starts in some fifteen seconds and leaves nothing: its processes, mounts and network are in
namespaces that end with their first process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from support.engines import Child, EngineUnavailable, wait_for
from support.kubernetes import programs
from support.kubernetes.settings import ADDRESS, NODE, Settings
from support.namespaces import Namespaces

T = TypeVar("T")
_CGROUPS = Path("/sys/fs/cgroup")
_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What the kubelet wants to set, and may not on every machine: it is shown files with these values."""


class Node:
    """One node with its control plane. `kubectl` and `inside` are how a test reaches it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.name = NODE
        self._environment = programs.environment()
        self._namespaces = Namespaces(home, self._environment)
        self._settings = Settings(home, f"model-sidecar-tests-{os.getpid()}")
        self._children: dict[str, Child] = {}

    # -- namespaces ---------------------------------------------------------------------------------------------------

    def inside(self, function: Callable[[], T]) -> T:
        """What a function gives that runs in the node's network, where addresses of pods are reached."""
        return self._namespaces.inside(function)

    def run(
        self, *arguments: str | Path, text: str | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """A command in all namespaces of the node."""
        return self._namespaces.run(*arguments, text=text, timeout=timeout)

    def must(self, *arguments: str | Path, text: str | None = None, timeout: float = 300) -> str:
        """As `run`; a failure fails the test with what it said."""
        return self._namespaces.must(*arguments, text=text, timeout=timeout)

    def start_beside(self, name: str, *arguments: str | Path) -> Child:
        """A further program in the node's namespaces; it ends with them."""
        self._children[name] = self._namespaces.start(name, *arguments)
        return self._children[name]

    # -- start and stop -----------------------------------------------------------------------------------------------

    def start(self, images: Sequence[Path]) -> None:
        """Everything, up to a Ready node with the images of the archives."""
        self._namespaces.open()
        self._connect()
        self._settings.write(programs.cni(), Path(shutil.which("runc", path=self._environment["PATH"]) or "runc"))
        self._make_cgroups()
        flags = self._settings.flags()
        self.start_beside("etcd", "etcd", *flags["etcd"])
        self.start_beside("containerd", "containerd", *flags["containerd"])
        self.start_beside("apiserver", "kube-apiserver", *flags["apiserver"])
        self._children["apiserver"].wait_until(
            lambda: self.run(*self._kubectl, "get", "--raw", "/readyz").returncode == 0, 120
        )
        self.start_beside("controllers", "kube-controller-manager", *flags["controllers"])
        self.start_beside("scheduler", "kube-scheduler", *flags["scheduler"])
        self.start_beside("proxy", "kube-proxy", *flags["proxy"])
        self.start_beside("dns", "coredns", *flags["dns"])
        for archive in images:
            self.must(*self._containers, "images", "import", archive, timeout=600)
        self.start_beside("kubelet", "kubelet", *flags["kubelet"])
        self._children["kubelet"].wait_until(lambda: " Ready" in self._try("get", "node", self.name), 120)
        wait_for(lambda: self._try("get", "serviceaccount", "default"), 60, "the default account")

    def _connect(self) -> None:
        # Sockets of containers and names of networks are put there by path.
        self.must("mount", "-t", "tmpfs", "tmpfs", "/run")
        # The kubelet writes the logs of containers there, and pods mount them from there.
        self.must("mount", "-t", "tmpfs", "tmpfs", "/var/log")
        for line in (
            "link add node0 type bridge",
            f"addr add {ADDRESS}/24 dev node0",
            "link set node0 up",
            f"route add default via {ADDRESS.rpartition('.')[0]}.254 dev node0 onlink",
        ):
            self.must("ip", *line.split())
        fakes = self.home / "sysctl"
        fakes.mkdir()
        for name, value in _SYSCTLS.items():
            fake = fakes / name.replace("/", ".")
            fake.write_text(f"{value}\n")
            self.must("mount", "--bind", fake, f"/proc/sys/{name}")
        self.must("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def _cgroups(self) -> list[Path]:
        """The node's own groups, one in each hierarchy."""
        version_2 = (_CGROUPS / "cgroup.controllers").exists()
        roots = [_CGROUPS] if version_2 else [p for p in _CGROUPS.iterdir() if p.is_dir() and not p.is_symlink()]
        return [root / self._settings.cgroup for root in roots]

    def _make_cgroups(self) -> None:
        for group in self._cgroups():
            group.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (group / name).exists():
                    (group / name).write_text((group.parent / name).read_text())

    def stop(self) -> None:
        """Processes of pods, control plane, namespaces, groups; each step whatever became of the one before."""
        for child in reversed(self._children.values()):
            child.kill9()
        self._namespaces.close()
        for group in self._cgroups():
            for folder in [*sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True), group]:
                _remove(folder)

    # -- kubectl ------------------------------------------------------------------------------------------------------

    @property
    def _kubectl(self) -> tuple[str | Path, ...]:
        return ("kubectl", "--kubeconfig", self.kubeconfig)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._settings.kubeconfig

    @property
    def authority(self) -> Path:
        """The certificate of the cluster's authority."""
        return self.home / "ca.pem"

    def kubectl(self, *arguments: str | Path, text: str | None = None, timeout: float = 300) -> str:
        """Its output; a failure fails the test with what it said."""
        return self.must(*self._kubectl, *arguments, text=text, timeout=timeout)

    def _try(self, *arguments: str) -> str:
        done = self.run(*self._kubectl, *arguments)
        return done.stdout if done.returncode == 0 else ""

    def apply(self, manifest: str) -> None:
        self.kubectl("apply", "--filename=-", text=manifest)

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object or a list, as JSON."""
        return dict(json.loads(self.kubectl("get", *arguments, "--output=json")))

    def pods(self, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        return list(self.get("pods", f"--namespace={namespace}", f"--selector={selector}")["items"])

    def signal(self, container: str, number: int) -> None:
        """A signal to the first process of a container, from outside it."""
        self.must(*self._containers, "tasks", "kill", "--signal", str(number), container)

    @property
    def _containers(self) -> tuple[str | Path, ...]:
        return ("ctr", "--address", self._settings.socket, "--namespace", "k8s.io")

    def words(self) -> str:
        """For a failure: what the cluster says of its pods, and the ends of the logs."""
        said = [self._try("get", "pods", "--all-namespaces", "--output=wide"), self._try("get", "events", "-A")[-6000:]]
        return "\n".join([*said, *(child.tail(1500) for child in self._children.values())])


def _remove(folder: Path) -> None:
    for _ in range(50):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)  # A process that was killed is in its group for a moment.
        else:
            return


@contextmanager
def node(images: Sequence[Path]) -> Iterator[Node]:
    """A Ready node that has the images of archives (docker's format)."""
    if os.geteuid() != 0:
        raise EngineUnavailable("a node needs root: it makes namespaces and groups")
    home = Path(tempfile.mkdtemp(prefix="node-"))
    made = Node(home)
    try:
        made.start(images)
        yield made
    except BaseException as error:
        error.add_note(made.words())
        raise
    finally:
        made.stop()
        shutil.rmtree(home, ignore_errors=True)
