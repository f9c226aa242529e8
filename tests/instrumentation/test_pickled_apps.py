"""An app that is pickled, as Ray Serve does with FastAPI's, can still be when it is instrumented."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engines import wait_for
from support.frameworks import environment, recording, run

pytestmark = [pytest.mark.engine, pytest.mark.slow]
APP = Path(__file__).with_name("background_apps") / "pickled_app.py"


def test_an_app_is_read_in_another_process_and_its_requests_give_spans(
    agent: Path, frameworks: Path, tmp_path: Path
) -> None:
    with recording() as recorded:
        env = environment(agent, recorded.url)
        run(frameworks, [str(APP), "write", str(tmp_path / "app")], env)
        assert run(frameworks, [str(APP), "read", str(tmp_path / "app")], env) == '"hello you"\n'
        wait_for(lambda: {"read", "GET /hello/{name}"} <= {span.name for span, _ in recorded.spans}, 10, "both spans")
