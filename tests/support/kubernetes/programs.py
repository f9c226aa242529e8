"""What a node is made of: Kubernetes, CoreDNS and KWOK from Go modules; etcd, containerd and more from Debian."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.engines.cache import command, entry, need
from support.engines.charts import OPERATOR
from support.engines.networks import iptables
from support.engines.toolchains import GO_BUILD_SECONDS, debian_tree, go_install, go_module

KUBERNETES = "1.33.13"
KWOK = "sigs.k8s.io/kwok@v0.8.0"
_COMMANDS = (
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("kubelet", "kube-proxy", "kubectl"),
)
_PACKAGES = ("containerd", "etcd-server", "containernetworking-plugins", "runc")


def kubernetes() -> Path:
    """The folder with the programs of Kubernetes. The first build takes some ten minutes."""
    module = f"k8s.io/kubernetes@v{KUBERNETES}"

    def make(directory: Path) -> None:
        # The module's own go.mod names its parts by relative paths, which only its repository has.
        staged = re.findall(r"(k8s\.io/\S+) => \./staging", (go_module(module) / "go.mod").read_text("utf-8"))
        parts = "\n".join(f"replace {part} => {part} v0{KUBERNETES[1:]}" for part in staged)
        require = f"require k8s.io/kubernetes v{KUBERNETES}"
        commands = [f"k8s.io/kubernetes/cmd/{name}" for name in _COMMANDS]
        _build(directory, f"{require}\n{parts}", commands, {}, _version())

    return entry(f"kubernetes-{KUBERNETES}", make)


def _version() -> str:
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": "1", "gitMinor": KUBERNETES.split(".")[1]}
    values |= {"gitTreeState": "archive", "buildDate": "2026-01-01T00:00:00Z"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in values.items())


def operator() -> Path:
    """The folder with the Prometheus Operator, its admission webhook and its configuration reloader."""
    path, version = OPERATOR.split("@")
    commands = [f"{path}/cmd/{name}" for name in ("operator", "admission-webhook", "prometheus-config-reloader")]

    def make(directory: Path) -> None:
        # Without cgo: these run in an image from scratch.
        _build(directory, f"require {path} {version}", commands, {"CGO_ENABLED": "0"})

    return entry(f"operator-{version}", make)


def _build(
    directory: Path, requirements: str, commands: Sequence[str], environment: Mapping[str, str], flags: str = ""
) -> None:
    """Commands of modules that cannot be installed by name, as a module of ours that needs them."""
    go = need("go", commands[0])
    sources = directory / "sources"
    sources.mkdir()
    (sources / "go.mod").write_text(f"module tests/programs\n\ngo 1.24.0\n\ngodebug default=go1.24\n\n{requirements}\n")
    imports = "\n".join(f'\t_ "{path}"' for path in commands)
    (sources / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports}\n)\n")
    plain = {"GOFLAGS": "-mod=mod", **environment}
    command([go, "mod", "tidy"], f"modules of {commands[0]}", 900, plain, sources)
    for path in commands:
        target = directory / path.rpartition("/")[2]
        build = [go, "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", target, path]
        command(build, f"build {path}", GO_BUILD_SECONDS, plain, sources)
    shutil.rmtree(sources)


def coredns() -> Path:
    return go_install("github.com/coredns/coredns@v1.14.6")


def kwok() -> Path:
    """Fake nodes, and pods on them that are said to run."""
    path, version = KWOK.split("@")
    return go_install(f"{path}/cmd/kwok@{version}")


def kwok_stages() -> Path:
    """The folders with what becomes of fake nodes and pods."""
    return go_module(KWOK) / "kustomize" / "stage"


def metrics_server() -> Path:
    """What autoscalers ask for the CPU of pods."""
    return go_install("sigs.k8s.io/metrics-server/cmd/metrics-server@v0.8.0")


def packages() -> Path:
    """The files of Debian's packages, as below `/`."""
    return debian_tree("node-packages", _PACKAGES)


def environment() -> dict[str, str]:
    """Variables with which all of these are found, and find each other."""
    root, tables = packages(), iptables()
    folders = [kubernetes(), root / "usr/bin", root / "usr/sbin", coredns().parent, kwok().parent]
    path = os.pathsep.join([*map(str, folders), tables["PATH"]])
    return {**tables, "PATH": path, "HOME": "/nonexistent"}


def cni() -> Path:
    """The folder with the plugins that connect pods."""
    return packages() / "usr/lib/cni"
