"""What holds for every test: an engine that cannot be had skips the test with the reason; in CI it fails it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from support.engines import EngineUnavailable
from support.processes_of_tests import TogetherWhatShares
from xdist.remote import Producer

# How quick an example is depends on what else the machine does.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TogetherWhatShares | None:
    return TogetherWhatShares(config, log) if config.getoption("dist") == "loadgroup" else None


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


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A test that runs a command in this process sets up logging, to a stream that is gone after it."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    structlog.reset_defaults()
    root.setLevel(level)
    root.handlers[:] = handlers
