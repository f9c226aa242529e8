"""What holds for every test: an engine that cannot be had skips the test with the reason; in CI it fails it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.engines import EngineUnavailable


def _give_up(error: EngineUnavailable) -> None:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"in CI every engine must be there: {error}", pytrace=False)
    pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    except EngineUnavailable as error:
        reason = error
    _give_up(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    except EngineUnavailable as error:
        reason = error
    _give_up(reason)
