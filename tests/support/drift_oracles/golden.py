"""Scores of Evidently, NannyML, whylogs, scipy and ours on the same values: written to tests/golden/drift/peers.json
and to the tables of docs/how-to/drift-compared.md.

    cd tests && ../.venv/bin/python -m support.drift_oracles.golden

Installs each library into an environment of its own in the cache of the engine tests (some minutes, 2 GB, the first
time). Those of whylogs differ by some thousandths from run to run: its sketches are drawn by chance.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.decision import alpha, decide, score
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.drift.methods.registry import METHODS, method
from support.drift_data import compared, reference
from support.drift_oracles.pairs import CATEGORIES, PAIRS, numbers, texts
from support.engines import cache

GOLDEN = Path(__file__).parents[2] / "golden" / "drift" / "peers.json"
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "drift-compared.md"
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Library:
    name: str
    packages: tuple[str, ...]
    """The newest that work together: none of them runs on pandas 3, whylogs not on numpy 2 either."""
    environment: Mapping[str, str]
    """Variables that keep it from reporting its use."""


LIBRARIES = (
    Library(
        "evidently", ("evidently==0.7.23", "numpy==2.4.6", "pandas==2.3.3", "scipy==1.17.1"), {"DO_NOT_TRACK": "1"}
    ),
    Library(
        "nannyml",
        ("nannyml==0.13.1", "numpy==2.4.6", "pandas==2.3.3", "scipy==1.17.1", "statsmodels==0.15.0"),
        {"NML_DISABLE_USAGE_LOGGING": "1"},
    ),
    Library(
        "whylogs",
        ("whylogs[viz]==1.6.4", "numpy==1.26.4", "pandas==2.3.3", "scipy==1.17.1", "ipython"),
        {"WHYLOGS_NO_ANALYTICS": "True"},
    ),
)


def python_of(library: Library) -> Path:
    """A Python that has the library."""
    key = hashlib.sha256("\n".join((sys.version, *library.packages)).encode()).hexdigest()[:12]

    def make(folder: Path) -> None:
        # An environment knows its own path: it is made where it will be used, and the entry is a mark that it is whole.
        home = folder.parent / f"venv-{library.name}-{key}"
        cache.command([sys.executable, "-m", "venv", "--clear", home], f"an environment for {library.name}", 120)
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        cache.command([*pip, *library.packages], f"pip install of {library.name}", 1800)

    name = f"{library.name}-{key}"
    return cache.entry(name, make).parent / f"venv-{name}" / "bin" / "python"


def run(library: Library, pairs: str) -> dict[str, Any]:
    """What the library says of each pair, by our names of the methods."""
    command = [str(python_of(library)), str(HERE / f"run_{library.name}.py")]
    done = subprocess.run(command, input=pairs, stdout=subprocess.PIPE, text=True, check=True, env=library.environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def comparison(name: str) -> Comparison:
    """A pair as the program compares it."""
    if name in PAIRS:
        return compared(*numbers(name))
    before, after = texts(name)
    bins = ColumnBins(reference({"x": before}).columns[0])
    cells = bins.counted({value: after.count(value) for value in set(after)}).cells
    live = np.bincount(bins.bin_of_cell, cells, bins.bins).astype(np.int64)
    return Comparison(False, bins.edges, bins.counts, cells, bins.bin_counts, live, 0.0, bins.tails, (0.0, 0.0))


def ours(name: str) -> dict[str, Any]:
    """Our scores; of chi-squared the statistic too, and what PSI decides of one of 100 features checked every hour."""
    found = comparison(name)
    decided = decide((score(method("psi"), None, found, alpha(1.0, 3600, 100)),), "psi", True)
    scores = {one.name: one.score(found) for one in METHODS if found.numeric or one.categories}
    scores["chi_squared_statistic"] = scores["chi_squared"] ** 2 / found.noise
    shown: dict[str, Any] = {name: one if math.isfinite(one) else "infinite" for name, one in scores.items()}
    shown["critical_value"] = decided.scores[0].critical
    shown["decision"] = "drift" if decided.detected else "too few values" if decided.insufficient else "no drift"
    return shown


def scipys(name: str) -> dict[str, Any]:
    """What scipy says of the values themselves; `std` is that of the values before."""
    if name in CATEGORIES:
        before, after = texts(name)
        every = sorted({*before, *after})
        table = np.array([[side.count(value) for value in every] for side in (before, after)])
        return {"chi_squared": float(stats.chi2_contingency(table, correction=False).statistic)}
    a, b = numbers(name)
    found = stats.ks_2samp(a, b)
    return {
        "ks": float(found.statistic),
        "ks_p": float(found.pvalue),
        "wasserstein": float(stats.wasserstein_distance(a, b)),
        "std": float(a.std()),
    }


def write() -> None:
    """All of it."""
    pairs = json.dumps(
        {name: [side.tolist() for side in numbers(name)] for name in PAIRS} | {name: texts(name) for name in CATEGORIES}
    )
    said = {library.name: run(library, pairs) for library in LIBRARIES}
    found = {
        name: {"ours": ours(name), "scipy": scipys(name), **{of: all_pairs[name] for of, all_pairs in said.items()}}
        for name in (*PAIRS, *CATEGORIES)
    }
    versions = {library.name: [p for p in library.packages if "==" in p] for library in LIBRARIES}
    former, made = json.loads(GOLDEN.read_text("utf-8")), {"packages": versions, "pairs": found}
    GOLDEN.write_text(json.dumps(made, indent=1, allow_nan=False) + "\n")
    page = PAGE.read_text("utf-8")
    for method_name, table in tables(former).items():
        page = page.replace(table, tables(made)[method_name])
    PAGE.write_text(page)


def tables(golden: Mapping[str, Any]) -> dict[str, str]:
    """By method: the rows of a table in Markdown."""
    pairs = golden["pairs"]
    return {method: "\n".join(_rows(pairs, *columns)) for method, columns in _TABLES.items()}


def _rows(
    pairs: Mapping[str, Any], heads: tuple[str, ...], cells: Callable[[Any], tuple[Any, ...]], names: tuple[str, ...]
) -> list[str]:
    head = ["| values | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    return head + [f"| {name} | " + " | ".join(map(_text, cells(pairs[name]))) + " |" for name in names]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.0e}" if 0 < value < 0.0005 else f"{value:,.3f}" if value < 100 else f"{value:,.0f}"


def _in_deviations(pair: Any) -> Any:
    std = pair["scipy"]["std"]
    return pair["nannyml"]["wasserstein"] / std if std else "(2 raw)"


_ROOT_LN2 = math.sqrt(math.log(2))
_NUMBERS, _TEXTS = tuple(PAIRS), tuple(CATEGORIES)
_TABLES: dict[str, Any] = {
    "psi": (
        ("sidecar", "critical value", "it says", "Evidently", "it says"),
        lambda pair: (
            pair["ours"]["psi"],
            pair["ours"]["critical_value"],
            pair["ours"]["decision"],
            pair["evidently"]["psi"],
            "drift" if pair["evidently"]["psi"] >= 0.1 else "no drift",
        ),
        _NUMBERS + _TEXTS,
    ),
    "ks": (
        ("sidecar D", "scipy D", "NannyML D", "whylogs D", "Evidently p"),
        lambda pair: (
            pair["ours"]["ks"],
            pair["scipy"]["ks"],
            pair["nannyml"]["ks"],
            pair["whylogs"]["ks"],
            pair["evidently"]["ks"],
        ),
        _NUMBERS,
    ),
    "wasserstein": (
        ("sidecar", "scipy / std", "Evidently", "NannyML / std"),
        lambda pair: (
            pair["ours"]["wasserstein"],
            pair["scipy"]["wasserstein"] / pair["scipy"]["std"] if pair["scipy"]["std"] else "infinite",
            pair["evidently"]["wasserstein"],
            _in_deviations(pair),
        ),
        _NUMBERS,
    ),
    "jensen_shannon": (
        ("sidecar", "NannyML", "Evidently / √ln 2", "Evidently"),
        lambda pair: (
            pair["ours"]["jensen_shannon"],
            pair["nannyml"]["jensen_shannon"],
            pair["evidently"]["jensen_shannon"] / _ROOT_LN2,
            pair["evidently"]["jensen_shannon"],
        ),
        _NUMBERS + _TEXTS,
    ),
    "chi_squared": (
        ("sidecar", "its statistic", "scipy", "NannyML", "whylogs", "Evidently p"),
        lambda pair: (
            pair["ours"]["chi_squared"],
            pair["ours"]["chi_squared_statistic"],
            pair["scipy"]["chi_squared"],
            pair["nannyml"]["chi_squared"],
            pair["whylogs"]["chi_squared"],
            pair["evidently"]["chi_squared"],
        ),
        _TEXTS,
    ),
}

if __name__ == "__main__":
    write()
