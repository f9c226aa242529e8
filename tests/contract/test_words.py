"""Retired words stay out of names and prose: each has a term of the Collector, Prometheus or Elasticsearch instead.

What is still there is in `retired_words.json`, by file. A count there may only fall:
`python tests/contract/test_words.py` lowers the counts to what there is, and never raises one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = Path(__file__).with_name("retired_words.json")
FOLDERS = ("sidecar", "native/src", "instrumentation", "docs", "tests", "bench", "examples", "elk")
SUFFIXES = frozenset((".py", ".pyi", ".rs", ".md"))
EXEMPT = frozenset((
    "tests/contract/test_words.py",
    "CHANGELOG.md",  # names what was renamed
    "sidecar/config/renamed_options.py",  # maps old names to new ones
    "tests/unit/cli/test_renamed_commands.py",  # tries old names
    "docs/reference/reference.md",  # generated from the code
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Retired:
    """A word that is not used any more. In names, `_` and a change of case separate words."""

    pattern: str
    instead: str
    where: tuple[str, ...] = ("",)
    """Beginnings of the paths that it is looked for in: elsewhere the word has its ordinary meaning."""


RETIRED = {
    "far side": Retired("far ?sides?", "destination"),
    "letters": Retired(
        "(?<!dead.)letters", "dead letters", ("sidecar/deliver", "sidecar/journal", "sidecar/maintenance")
    ),
    "patience": Retired("patience", "timeout"),
    "mend": Retired("mend(?:s|ed|ing)?", "repair, fix"),
    "neighbours": Retired("neighbours?", "resource resolver"),
    "nonsense": Retired("nonsense", "invalid"),
    "unusable": Retired("unusable", "invalid"),
    "anew": Retired("anew", "again, from zero, rewritten, restarted"),
    "told": Retired("(?:told|tells)(?!(?: \\w+){0,2} apart)", "reported, given, recorded"),
    "parcel": Retired("parcels?", "request batch"),
    "appetite": Retired("appetites?", "target_batch_bytes"),
    "verdict": Retired("verdicts?", "result"),
    "in hand": Retired("in hand", "in flight"),
    "come to an end": Retired("comes? to an end", "finished"),
    "by custom": Retired("by custom", "by convention"),
    "slow down": Retired("slow down", "backpressure"),
    "intake": Retired("intakes?", "ingest"),
    "turned away": Retired("turned away", "overflow, rejected"),
    "vacate": Retired("vacates?d?", "truncated"),
    "passthrough": Retired("passthrough", "otlp_metrics"),
    "log id": Retired("log id", "journal id", ("sidecar/",)),
    "relieve": Retired("relieves?d?", "move_field", ("sidecar/deliver",)),
}
_ALL = {name: re.compile(rf"\b(?:{word.pattern})\b", re.IGNORECASE) for name, word in RETIRED.items()}
_ANY = re.compile("|".join(word.pattern for word in RETIRED.values()), re.IGNORECASE)
"""Whether it is worth while to look for each."""
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def count(path: str, text: str) -> dict[str, int]:
    """word -> how often it stands in a text."""
    spaced = " ".join(_CAPITAL.sub(" ", text).replace("_", " ").split())
    found: dict[str, int] = {}
    if not _ANY.search(spaced):
        return found
    for name, word in RETIRED.items():
        if path.startswith(word.where) and (n := len(_ALL[name].findall(spaced))):
            found[name] = n
    return found


def files() -> Iterator[tuple[str, str]]:
    """(path below the root, text)."""
    there = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    for path in sorted([*ROOT.glob("*.md"), *there]):
        name = path.relative_to(ROOT).as_posix()
        if name not in EXEMPT and not re.search(r"(^|/)(\.|build/|node_modules/|target/)", name):
            yield name, path.read_text("utf-8")


def everything() -> dict[str, dict[str, int]]:
    """path -> word -> how often, of the files that have any."""
    return {name: found for name, text in files() if (found := count(name, text))}


def test_no_retired_word_is_added() -> None:
    allowed: dict[str, dict[str, int]] = json.loads(ALLOWED.read_text("utf-8"))
    more = [
        f"{path}: {word} ({n}, allowed {allowed.get(path, {}).get(word, 0)}); say: {RETIRED[word].instead}"
        for path, found in everything().items()
        for word, n in found.items()
        if n > allowed.get(path, {}).get(word, 0)
    ]
    assert more == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the far\nside is away", {"far side": 1}),
        ("class FarSide: in_hand = parcels", {"far side": 1, "in hand": 1, "parcel": 1}),
        ("dead letters, dead_letters, DeadLetters", {}),
        ("told apart", {}),
        ("what it tells, retold", {"told": 1}),
        ("recommend amended", {}),
    ],
)
def test_words_are_found_in_prose_and_in_names(text: str, found: dict[str, int]) -> None:
    assert count("sidecar/deliver/x.py", text) == found


def lower() -> None:
    """Lower the allowed counts to what there is."""
    found = everything()
    kept = {
        path: {word: min(n, found[path].get(word, 0)) for word, n in words.items() if found[path].get(word)}
        for path, words in json.loads(ALLOWED.read_text("utf-8")).items()
        if path in found
    }
    write({path: words for path, words in kept.items() if words})


def write(counts: dict[str, dict[str, int]]) -> None:
    """Write the list, a line a file."""
    rows = [f"{json.dumps(path)}: {json.dumps(words, sort_keys=True)}" for path, words in sorted(counts.items())]
    ALLOWED.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    print(sum(Counter(words).total() for words in counts.values()), "retired words in", len(counts), "files")


if __name__ == "__main__":
    lower()
