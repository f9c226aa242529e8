from __future__ import annotations

import pytest

from sidecar.config import loader
from sidecar.errors import ConfigError
from sidecar.lists import MAX_EXPANDED, expand_braces, split


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("a,b", ["a", "b"]),
        (" a , ,b,", ["a", "b"]),
        ("/l/{a,b}.log", ["/l/{a,b}.log"]),
        ("/l/{a,b{c,d}}.log,/m/*.log", ["/l/{a,b{c,d}}.log", "/m/*.log"]),
        ("/l/[a,b].log, c", ["/l/[a,b].log", "c"]),
        ("/l/[!]},]x,c", ["/l/[!]},]x", "c"]),
        ('"a,b", \'c,d\',e"f,g', ["a,b", "c,d", 'e"f', "g"]),
        ("it's,that's", ["it's", "that's"]),
        ("a{b,c", ["a{b", "c"]),
        ("a[b,c", ["a[b", "c"]),
        ("http://[::1]:9200,http://b:1", ["http://[::1]:9200", "http://b:1"]),
        ("", []),
    ],
)
def test_commas_in_brackets_and_quotes_do_not_split(text: str, elements: list[str]) -> None:
    assert split(text) == elements


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("/l/{a,b}.log", ["/l/a.log", "/l/b.log"]),
        ("/{a,b}/{1,2}", ["/a/1", "/a/2", "/b/1", "/b/2"]),
        ("/{a,b{1,2}}x", ["/ax", "/b1x", "/b2x"]),
        ("/app{,.1}", ["/app", "/app.1"]),
        ("/{a}/{}/{b", ["/{a}/{}/{b"]),
        ("/[{]a,b}", ["/[{]a,b}"]),
        ("/{[,],b}", ["/[,]", "/b"]),
        ("/{a,a}", ["/a"]),
    ],
)
def test_braces_stand_for_alternatives(text: str, expanded: list[str]) -> None:
    assert expand_braces(text) == expanded


def test_braces_are_bounded() -> None:
    assert len(expand_braces("/" + "{0,1,2,3,4,5,6,7,8,9}" * 3)) == MAX_EXPANDED
    with pytest.raises(ValueError, match="expected fewer"):
        expand_braces("/" + "{0,1,2,3,4,5,6,7,8,9}" * 20)


@pytest.mark.parametrize(
    ("variable", "value", "path", "expected"),
    [
        ("RECEIVE__FILE_TAIL__INCLUDE", "/l/{a,b}.log,/m.log", "receive.file_tail.include", ("/l/{a,b}.log", "/m.log")),
        ("RECEIVE__FILE_TAIL__EXCLUDE", "/l/[a,b].log", "receive.file_tail.exclude", ("/l/[a,b].log",)),
        ("RECEIVE__FILE_TAIL__INCLUDE", '"/l/a,b.log",/c', "receive.file_tail.include", ("/l/a,b.log", "/c")),
        ("DELIVER__STORE__FILTER__SERVICES", "[ab]*,c", "deliver.store.filter.services", ("[ab]*", "c")),
        ("DELIVER__STORE__FILTER__SERVICES", '["a,b", "c"]', "deliver.store.filter.services", ("a,b", "c")),
        ("DERIVE__RED__DIMENSIONS", "a, 'b,c'", "derive.red.dimensions", ("a", "b,c")),
        ("DERIVE__RED__BUCKETS", "0.1, 1", "derive.red.buckets", (0.1, 1.0)),
    ],
)
def test_every_list_option_by_variable(variable: str, value: str, path: str, expected: tuple[object, ...]) -> None:
    found: object = loader.load({f"SIDECAR_{variable}": value})
    for name in path.split("."):
        found = getattr(found, name)
    assert found == expected


@pytest.mark.parametrize("value", ['["/a", "/b"', "[/a, /b]", "/a,b/{c,d}", "{/a,b}/c"])
def test_json_with_a_mistake_and_relative_paths_are_refused(value: str) -> None:
    with pytest.raises(ConfigError):
        loader.load({"SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": value})
