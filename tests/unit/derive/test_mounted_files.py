"""Files that are mounted: when they are read, and what stays in force."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.derive.mounted_files import MAX_FILES, InvalidFile, MountedFiles, load, parse_json


@dataclass(frozen=True)
class Text:
    """Content whose first line counts."""

    label: str


def parse(data: bytes) -> Text:
    if b"bad" in data:
        raise InvalidFile("it is bad")
    return Text(data.decode().partition("\n")[0])


class Texts(MountedFiles[Text]):
    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.said: list[object] = []

    def load(self, path: Path, former: Text | None) -> Text:
        self.said.append((path.name, former.label if former else None))
        return load(path, "text", 100, parse)

    def log_invalid(self, error: str, former_stays: bool) -> None:
        self.said.append((error, former_stays))

    def log_missing(self, path: Path) -> None:
        self.said.append(path)

    def labels(self) -> list[str]:
        return [text.label for text in self.files.values()]


def test_without_a_path_there_is_nothing() -> None:
    texts = Texts(None)
    assert not texts.read()
    assert (texts.files, texts.said) == ({}, [])


def test_files_of_a_directory_by_name_and_only_when_they_change(tmp_path: Path) -> None:
    texts = Texts(tmp_path)
    assert not texts.read()
    assert texts.said == [tmp_path]
    (tmp_path / "b.json").write_text("two")
    (tmp_path / "a.json").write_text("one")
    (tmp_path / "note.txt").write_text("no")
    assert texts.read()
    assert texts.labels() == ["one", "two"]
    texts.said.clear()
    assert not texts.read()
    assert texts.said == []
    assert not texts.read(again=True)
    assert texts.said == [("a.json", "one"), ("b.json", "two")]
    (tmp_path / "a.json").write_text("one\nwith a further line")
    assert not texts.read()
    (tmp_path / "a.json").unlink()
    assert texts.read()
    assert texts.labels() == ["two"]


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    path, other = tmp_path / "a.json", tmp_path / "other"
    for each, content in ((path, "one"), (other, "two")):
        each.write_text(content)
        os.utime(each, ns=(1, 1))
    texts = Texts(path)
    assert texts.read()
    other.replace(path)
    assert texts.read()
    assert texts.labels() == ["two"]


def test_the_former_content_of_an_invalid_file_stays_until_the_file_goes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("one")
    (tmp_path / "b.json").write_text("bad")
    texts = Texts(tmp_path)
    assert texts.read()
    assert texts.labels() == ["one"]
    assert list(texts.invalid) == [tmp_path / "b.json"]
    assert texts.said[-1] == (f"invalid text {tmp_path / 'b.json'}: it is bad", False)
    (tmp_path / "a.json").write_text("bad as well")
    assert not texts.read()
    assert texts.labels() == ["one"]
    assert list(texts.invalid) == [tmp_path / "a.json", tmp_path / "b.json"]
    assert (f"invalid text {tmp_path / 'a.json'}: it is bad", True) in texts.said
    (tmp_path / "a.json").unlink()
    (tmp_path / "b.json").unlink()
    assert texts.read()
    assert (texts.files, texts.invalid) == ({}, {})


def test_no_more_files_than_the_bound(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 5):
        (tmp_path / f"{number:05d}.json").write_text(str(number))
    texts = Texts(tmp_path)
    assert texts.read()
    assert texts.labels() == [str(number) for number in range(MAX_FILES)]


def test_what_cannot_be_loaded_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"^invalid text .*/none: cannot be read: No such file or directory$"):
        load(tmp_path / "none", "text", 1 << 20, parse)
    (tmp_path / "long").write_bytes(b"x" * (1 << 20) + b"y")
    with pytest.raises(InvalidFile, match=r"^invalid text .*/long: longer than 1 MiB$"):
        load(tmp_path / "long", "text", 1 << 20, parse)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"[1,", r"not JSON .*: cut off\? expected a list"), (b"[" * 100_000, "nested too deeply; expected a list")],
)
def test_what_is_no_json_says_what_was_expected(data: bytes, message: str) -> None:
    with pytest.raises(InvalidFile, match=message):
        parse_json(data, "expected a list")
