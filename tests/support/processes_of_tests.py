"""Which tests run in one process where pytest-xdist has several: `--dist loadgroup` of this project."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_ROOT = Path(__file__).parents[2]
_ENGINES = re.compile(r"\b(opensearch|elasticsearch8?)_url\b")
"""The engines of `tests/engines/conftest.py`, as tests ask for them."""
_TEST_BY_TEST = "tests/instrumentation/"
"""Shares nothing that is costly, and is last in the order of collection, so that all processes end together."""


class TogetherWhatShares(LoadScopeScheduling):
    """Begins the groups in the order of collection where `--no-loadscope-reorder` is given."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """A file stays together, as it shares what is set up for a module; all that ask for an engine of the session are
    one group, so that each engine starts once; the rest goes test by test."""
    file = nodeid.partition("::")[0]
    if file.startswith(_TEST_BY_TEST):
        return nodeid
    return "engines" if _asks_for_engines(file) else file


@cache
def _asks_for_engines(file: str) -> bool:
    return _ENGINES.search((_ROOT / file).read_text("utf-8")) is not None
