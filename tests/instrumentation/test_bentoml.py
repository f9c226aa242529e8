"""BentoML makes a tracer provider of its own, which keeps no span: requests are seen all the same, unless the app says
where such spans go."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.engines import Child, answers, free_port, wait_for
from support.frameworks import Recorded, environment, recording, run
from support.serving_libraries import serving_python

pytestmark = [pytest.mark.engine, pytest.mark.slow]
APPS = Path(__file__).with_name("web_apps")
SERVER = 2
"""The kind of a span that stands for a request that came in."""


def _variables(tmp_path: Path) -> dict[str, str]:
    return {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(tmp_path)}


def _doubled(agent: Path, tmp_path: Path, recorded: Recorded) -> list[Any]:
    """Spans of a request for which a line was logged; the line has arrived. Starlette's instrumentation, which the
    bundle has, would see the request too."""
    port = free_port()
    more = {**_variables(tmp_path), "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "starlette,fastapi"}
    command = [serving_python("bento").with_name("bentoml"), "serve", "bento_app:Doubler", "--port", str(port)]
    server = Child("bentoml", command, tmp_path / "log", environment(agent, recorded.url, more), APPS)
    server.start()
    try:
        server.wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 60)
        headers, body = {"Content-Type": "application/json"}, json.dumps({"number": 21}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/double", body, headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.read() == b"42"
        wait_for(lambda: any(event.body == "doubling 21" for event in recorded.events), 20, "the app's log line")
    except BaseException as error:
        error.add_note(server.tail())
        raise
    finally:
        server.stop()
    return [(span, given) for span, given in recorded.spans if span.kind == SERVER and "/double" in span.name]


def test_requests_give_spans_to_which_log_lines_belong(agent: Path, tmp_path: Path) -> None:
    with recording() as recorded:
        ((span, given),) = _doubled(agent, tmp_path, recorded)
        line = next(event for event in recorded.events if event.body == "doubling 21")
        assert given["http.response.status_code"] == 200
        assert (line.trace_id, line.span_id) == (span.trace_id, span.span_id)


OURS = """
import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from opentelemetry import trace

print(BentoMLContainer.tracer_provider.get() is trace.get_tracer_provider())
"""


@pytest.mark.parametrize(
    ("options", "ours"), [("", True), ("tracing.exporter_type=in_memory tracing.sample_rate=1.0", False)]
)
def test_an_app_that_says_where_its_spans_go_is_left_alone(
    agent: Path, tmp_path: Path, options: str, ours: bool
) -> None:
    with recording() as recorded:
        env = environment(agent, recorded.url, {**_variables(tmp_path), "BENTOML_CONFIG_OPTIONS": options})
        assert run(serving_python("bento"), ["-c", OURS], env, tmp_path).split()[-1] == str(ours)
