"""Writes golden/traces: `python -m support.traces.regenerate PYTHON...` from `tests`.

PYTHON are interpreters of environments that have the libraries; each case runs with the first that has its own. Node,
Go, Java and Rust are taken from PATH. Paths, times, addresses and process ids of the machine are replaced. The records
that the logs must become are in `records.json`: what changes there is to be looked at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sidecar.decode.logs import multiline
from sidecar.decode.logs.json_record import read_line

HERE = Path(__file__).parent
GOLDEN = HERE.parents[1] / "golden/traces"

_REPLACED = (
    (r"/\S*/(?:site|dist)-packages/", "/venv/site-packages/"),
    (r"/[^\s\"']*/lib/python3\.(\d+)/", r"/usr/lib/python3.\1/"),
    (r"\(/[^\s()]+/([^/\s()]+\.so[.\d]*)", r"(/usr/lib/\1"),
    (r" /[^\s()]+/([^/\s()]+\.so[.\d]*)\(", r" /usr/lib/\1("),
    (r"/[^\s\"']*/(?:registry|registry/src)/[^/]+/|/[^\s\"']*/\.cargo/registry/src/[^/]+/", "/cargo/"),
    (r"/rustc/[0-9a-f]+/", "/rustc/"),
    (re.escape(str(HERE)), "/app"),
    (r"/tmp/tmp\w+", "/tmp/model"),
    (r"\b0x7[0-9a-f]{11}\b", "0x7f0000000000"),
    (r"\d{4}-\d\d-\d\d(.)\d\d:\d\d:\d\d", r"2026-11-21\g<1>15:50:20"),
    (r"\[\d\d/\d\d/\d\d \d\d:\d\d:\d\d\]", "[11/21/26 15:50:20]"),
    (r"\[\d\d:\d\d:\d\d\]", "[15:50:20]"),
    (r"\((?:pid=)?\d{2,}(?=[,)])", lambda found: "(pid=812" if "pid" in found[0] else "(812"),
    (r"ip=[\d.]+", "ip=192.0.2.7"),
    (r"\x1b\]8;id=\d+;[^\x1b]*\x1b", "\x1b]8;id=1;file:///app/a.py\x1b"),
)


def _run(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": "", **environment},
    )
    return done.stderr.decode()


def _python(pythons: Sequence[str]) -> Iterator[tuple[str, str]]:
    source = (HERE / "python_cases.py").read_text()
    names = [*re.findall(r"^def ([a-z]\w*)", source, re.MULTILINE)]
    names += re.findall(r'^    "(\w+)": _', source, re.MULTILINE)
    for name in names:
        for python in pythons:
            text = _run([python, HERE / "python_cases.py", name])
            if "ModuleNotFoundError" not in text and "ImportError" not in text and "after" in text:
                yield f"python_{name}", text
                break
        else:
            print(f"python_{name}: no environment has what it needs", file=sys.stderr)


def _compiled(folder: Path) -> Iterator[tuple[str, str]]:
    for script in sorted((HERE / "node").iterdir()):
        yield f"node_{script.stem}", _run(["node", script])
    _run(["go", "build", "-C", HERE / "go", "-trimpath", "-o", folder / "go", "."])
    for name in ("index", "error", "nil_pointer", "panicked_again", "deadlock"):
        yield f"go_{name}", _run([folder / "go", name])
    _run(["javac", "-d", folder, HERE / "java/Traces.java"])
    for name in ("uncaught", "printed", "thread", "null_pointer"):
        yield f"java_{name}", _run(["java", "-cp", folder, "Traces", name])
    manifest = HERE / "rust/Cargo.toml"
    _run(["cargo", "build", "-q", "--manifest-path", manifest, "--target-dir", folder / "rust"])
    (HERE / "rust/Cargo.lock").unlink(missing_ok=True)
    for name in ("panic", "unwrap", "thread", "report"):
        for backtrace in "01":
            text = _run([folder / "rust/debug/traces", name], RUST_BACKTRACE=backtrace)
            yield f"rust_{name}{'_backtrace' * int(backtrace)}", text


def records(log: str) -> list[Any]:
    """The records of a log: 1 for a line by itself, else [lines, type, message of the exception]."""
    lines = log.encode().removesuffix(b"\n").split(b"\n")
    found: list[Any] = []
    begin = 0
    for end in multiline.group(lines, final=True).ends:
        if end - begin == 1:
            found.append(1)
        else:
            attributes = read_line(multiline.as_record(lines[begin:end])).attributes
            found.append([end - begin, attributes.get("exception.type"), attributes.get("exception.message")])
        begin = end
    return found


def main(pythons: Sequence[str]) -> None:
    GOLDEN.mkdir(exist_ok=True)
    known = json.loads((GOLDEN / "records.json").read_text()) if (GOLDEN / "records.json").exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in [*_python(pythons), *_compiled(Path(folder))]:
            for pattern, clean in _REPLACED:
                text = re.sub(pattern, clean, text)
            (GOLDEN / f"{name}.log").write_text(text)
            known[name] = records(text)
    rows = [f"  {json.dumps(name)}: {json.dumps(found, ensure_ascii=False)}" for name, found in sorted(known.items())]
    (GOLDEN / "records.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
