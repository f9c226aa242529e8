"""Programs and libraries by way of the package managers that may be installed: Maven, Go, npm, apt, and the JDKs."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from support.engines.cache import EngineUnavailable, cache_dir, check_sha256, command, entry, lock, need, safe_name

_MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
GO_BUILD_SECONDS = 3600
"""What a build with Go may take. The longest needs some ten minutes, and more where the machine does other things."""


def find_java(versions: range, prefer: int) -> Path:
    """Home of an installed Java whose major version is in `versions`: `prefer` if it is there, else the nearest."""
    found = [(major, home) for home in _java_homes() if (major := _java_major(home)) in versions]
    if not found:
        raise EngineUnavailable(
            f"no Java {versions.start} to {versions.stop - 1} in JAVA_HOME*, /usr/lib/jvm or on PATH"
        )
    return min(found, key=lambda pair: abs(pair[0] - prefer))[1]


def _java_homes() -> Iterator[Path]:
    for name, value in sorted(os.environ.items()):
        if value and (name.startswith("JAVA_HOME") or re.fullmatch(r"JAVA_?\d+_HOME", name)):
            yield Path(value)
    for parent in ("/usr/lib/jvm", "/opt/java", "/opt", str(Path.home() / ".sdkman/candidates/java")):
        if Path(parent).is_dir():
            yield from sorted(p for p in Path(parent).iterdir() if (p / "bin/java").exists())
    java = shutil.which("java")
    if java:
        yield Path(java).resolve().parents[1]


def _java_major(home: Path) -> int:
    """From the `release` file that every JDK has at its root; 0 where it does not say."""
    try:
        text = (home / "release").read_text("utf-8", "replace")
    except OSError:
        return 0
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(match[1]) if match and (home / "bin/java").exists() else 0


def maven_artifact(coordinates: str, sha256: str | None = None) -> Path:
    """A file of Maven Central, `group:artifact:version:type[:classifier]`, checked against `sha256` where given."""
    group, artifact, version, kind, *rest = coordinates.split(":")
    file_name = "-".join([artifact, version, *rest]) + f".{kind}"

    def make(directory: Path) -> None:
        maven = need("mvn", coordinates)
        command(
            [maven, "-B", "-q", "-ntp", _MAVEN_COPY, f"-Dartifact={coordinates}", f"-DoutputDirectory={directory}"],
            f"download {group}:{artifact}:{version}",
            900,
            cwd=directory,
        )
        if not (directory / file_name).is_file():
            raise EngineUnavailable(f"download {coordinates}: Maven gave no {file_name}")
        if sha256 is not None:
            check_sha256(directory / file_name, sha256)

    return entry(f"maven-{safe_name(coordinates)}", make) / file_name


def maven_distribution(coordinates: str, sha256: str | None = None) -> Path:
    """The directory inside a zip of Maven Central, unpacked with the file modes that the zip has."""

    def make(directory: Path) -> None:
        with zipfile.ZipFile(maven_artifact(coordinates, sha256)) as archive:
            for item in archive.infolist():
                path = Path(archive.extract(item, directory))
                mode = item.external_attr >> 16 & 0o777
                path.chmod((mode | 0o755) if path.is_dir() else (mode | 0o444))

    (home,) = (p for p in entry(f"dist-{safe_name(coordinates)}", make).iterdir() if p.is_dir())
    return home


def go_install(module: str) -> Path:
    """The binary of `path/of/command@version`, compiled without cgo."""
    name = re.sub(r"/v\d+$", "", module.partition("@")[0]).rpartition("/")[2]

    def make(directory: Path) -> None:
        go = need("go", module)
        environment = {"GOBIN": str(directory), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
        command([go, "install", module], f"go install {module}", GO_BUILD_SECONDS, environment, cwd=directory)

    return entry(f"go-{safe_name(module)}", make) / name


def telemetrygen_binary() -> Path:
    """OpenTelemetry's traffic generator: a client that is not ours."""
    return go_install("github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@v0.155.0")


def npm_project(dependencies: Mapping[str, str]) -> Path:
    """The `node_modules` directory with the packages (name -> version or range). Their install scripts do not run."""
    manifest = json.dumps({"name": "engine-tests", "private": True, "dependencies": dict(sorted(dependencies.items()))})

    def make(directory: Path) -> None:
        npm = need("npm", ", ".join(dependencies))
        need("node", ", ".join(dependencies))
        (directory / "package.json").write_text(manifest)
        command(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
            "npm install " + " ".join(f"{name}@{version}" for name, version in sorted(dependencies.items())),
            300,
            cwd=directory,
        )

    key = safe_name("-".join(f"{name}{version}" for name, version in sorted(dependencies.items())))
    return entry(f"npm-{key}"[:180], make) / "node_modules"


def debian_package(name: str) -> Path:
    """The files of a Debian package, unpacked below a directory; nothing is installed, no service starts."""

    def make(directory: Path) -> None:
        need("apt-get", name)
        with_lists(lambda: _unpack([name], directory))

    return entry(f"deb-{safe_name(name)}", make)


def debian_tree(name: str, packages: Sequence[str], programs: Sequence[str] = ()) -> Path:
    """One folder with the files of several packages. The named programs know where their libraries are, by an absolute
    path: those that start a copy of themselves do it without the environment."""
    final = cache_dir() / name

    def make(directory: Path) -> None:
        for package in packages:
            shutil.copytree(debian_package(package), directory, symlinks=True, dirs_exist_ok=True)
        if not programs:
            return
        patchelf = debian_package("patchelf") / "usr/bin/patchelf"
        libraries = next(directory.glob("usr/lib/*-linux-gnu")).relative_to(directory)
        for program in programs:
            path = next(p for folder in ("usr/bin", "usr/sbin") if (p := directory / folder / program).exists())
            search = ["--force-rpath", "--set-rpath", final / libraries]
            command([patchelf, *search, path], f"where {program} finds its libraries", 60)

    return entry(name, make)


def go_module(module: str) -> Path:
    """The folder of a Go module's sources, `path@version`."""
    text = command([need("go", module), "mod", "download", "-json", module], f"download {module}", 300, cwd=Path("/"))
    return Path(json.loads(text)["Dir"])


def debian_program(name: str) -> Path:
    """As `debian_package`, with the files of all packages that it depends on and that are not installed here."""

    def make(directory: Path) -> None:
        apt = need("apt-get", name)

        def fetch() -> None:
            plan = command(
                [apt, "install", "--simulate", "--no-install-recommends", name], f"apt-get install {name}", 120
            )
            _unpack(re.findall(r"^Inst (\S+)", plan, re.MULTILINE) or [name], directory)

        with_lists(fetch)

    return entry(f"deb-{safe_name(name)}-whole", make)


def with_lists(fetch: Callable[[], None]) -> None:
    """What apt-get is to fetch, and again with new lists where the lists of packages are missing or old. One process at
    a time: apt-get does not wait for another that has the lists."""
    with lock("apt"):
        try:
            fetch()
        except EngineUnavailable:
            command(["apt-get", "-q", "-o", "APT::Sandbox::User=", "update"], "apt-get update", 300)
            fetch()


def _unpack(names: Sequence[str], directory: Path) -> None:
    what = f"apt-get download {names[-1]}"
    command(["apt-get", "-q", "-o", "APT::Sandbox::User=", "download", *names], what, 600, cwd=directory)
    packages = list(directory.glob("*.deb"))
    if len(packages) != len(names):
        raise EngineUnavailable(f"{what} gave {len(packages)} files of {len(names)}")
    for package in packages:
        command([need("dpkg", package.name), "-x", package, directory], f"unpack {package.name}", 120)
        package.unlink()
