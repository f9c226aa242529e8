"""A client of a streaming language model under real instrumentations, switched on by the environment alone: what the
sidecar shows is what was asked and answered."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.engines import Child, SidecarProcess, answers, free_port, sidecar_process, wait_for
from support.frameworks import EXAMPLES, environment, run
from support.generative import clients_python, instrumentation
from support.load import samples, scrape, total

pytestmark = [pytest.mark.engine, pytest.mark.slow]

EXAMPLE = EXAMPLES / "llm_stream"
USED, TOOK = "gen_ai_client_token_usage", "gen_ai_client_operation_duration_seconds"
WAITED = "gen_ai_client_operation_time_to_first_chunk_seconds"
PART = "gen_ai_client_inference_usage_"
SYSTEM = ["Answer", "briefly."]
STREAMED = [" ".join(f"w{i}" for i in range(n)) for n in (1, 7, 20, 33, 4, 2)]
WHOLE = ["three words here", "five words are in this"]
EMBEDDED = ["a text", "another somewhat longer text"]
SENT = "\n".join([*STREAMED, *(f"?{text}" for text in WHOLE), *(f"={text}" for text in EMBEDDED)]) + "\n"
SECONDS_PER_TOKEN = 0.005
CHATS = len(STREAMED) + len(WHOLE)
ANSWERED = sum(len(text.split()) for text in (*STREAMED, *WHOLE))
ASKED = CHATS * len(SYSTEM) + ANSWERED


@dataclass(frozen=True)
class Reported:
    """What an instrumentation says beyond tokens and durations."""

    extra: Mapping[str, str]
    """Variables."""
    request_model: bool = True
    first_chunk: bool = True
    cached: int = 2 * CHATS
    reasoning: int = CHATS
    error: str = "NotFoundError"


INSTRUMENTED = {
    "opentelemetry-openai-v2": Reported({}, first_chunk=False, cached=0, reasoning=0),
    "opentelemetry-openai-v2, later names": Reported(
        {"OTEL_SEMCONV_STABILITY_OPT_IN": "http,gen_ai_latest_experimental"}, first_chunk=False, cached=0, reasoning=0
    ),
    "opentelemetry-genai": Reported({}, error="openai.NotFoundError"),
    "traceloop": Reported({}, reasoning=len(WHOLE)),
    "openinference": Reported({}, request_model=False, error="_OTHER"),
}


@pytest.fixture(scope="module")
def python() -> Path:
    return clients_python()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Iterator[str]:
    """The stand-in's address."""
    port = free_port()
    log = tmp_path_factory.mktemp("model") / "log"
    child = Child("model", [python, "server.py", str(port)], log, {"PATH": "/usr/bin:/bin"}, EXAMPLE)
    child.start()
    try:
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/v1/models"), 30)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        child.stop()


def chat(python: Path, env: Mapping[str, str], model: str, name: str = "echo-1") -> float:
    """Seconds that all questions took."""
    begin = time.monotonic()
    done = subprocess.run(
        [str(python), "chat.py", model, name],
        env=dict(env),
        cwd=EXAMPLE,
        input=SENT,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert "not instrumented" not in done.stderr, done.stderr
    replies = done.stdout.splitlines()
    if name == "echo-1":
        assert [reply.split() for reply in replies[:CHATS]] == [text.split() for text in (*STREAMED, *WHOLE)]
    else:
        assert replies == ["refused: 404"] * len(SENT.splitlines())
    return time.monotonic() - begin


def under(agent: Path, sidecar: SidecarProcess, folders: list[Path], extra: Mapping[str, str]) -> dict[str, str]:
    """Variables of the client's container. Spans are sent when it ends, so that those of one call come together."""
    path = ":".join(map(str, (agent, *folders)))
    delay = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_SERVICE_NAME": "chat", "PYTHONPATH": path}
    return environment(agent, sidecar.otlp_url, {**delay, **extra})


def shown(sidecar: SidecarProcess) -> dict[str, float]:
    return samples(scrape(sidecar.serve_url) or "")


def settled(sidecar: SidecarProcess, calls: int) -> dict[str, float]:
    """The figures when everything that came has been added up. The client has ended, and had sent all before that."""
    wait_for(lambda: total(shown(sidecar), f"{TOOK}_count") >= calls, 20, "every call to be counted")
    wait_for(lambda: total(shown(sidecar), "sidecar_waiting_items", 'consumer="derive"') == 0, 20, "nothing to be left")
    return shown(sidecar)


def values(found: Mapping[str, float], label: str, name: str) -> set[str]:
    texts = (re.search(rf'[{{,]{label}="([^"]*)"', series) for series in found if series.startswith(f"{name}_count"))
    return {match[1] if match else "" for match in texts}


@pytest.mark.parametrize("name", INSTRUMENTED)
def test_a_streaming_client_under_an_instrumentation(agent: Path, python: Path, model: str, name: str) -> None:
    reported = INSTRUMENTED[name]
    with sidecar_process({"SIDECAR_DELIVER__STORE__ENABLED": "true"}) as sidecar:
        env = under(agent, sidecar, [instrumentation(name.partition(",")[0])], reported.extra)
        took = chat(python, env, model)
        chat(python, env, model, "nobody")
        found = settled(sidecar, 2 * (CHATS + len(EMBEDDED)))

    def of(metric: str, *labels: str) -> float:
        return total(found, metric, *labels)

    chats, embeddings = 'gen_ai_operation_name="chat"', 'gen_ai_operation_name="embeddings"'
    into, out = 'gen_ai_token_type="input"', 'gen_ai_token_type="output"'
    assert of(f"{USED}_sum", chats, into) == ASKED
    assert of(f"{USED}_sum", chats, out) == ANSWERED
    assert of(f"{USED}_count", chats, into) == of(f"{USED}_count", chats, out) == CHATS
    assert of(f"{USED}_sum", embeddings) == of(f"{USED}_sum", embeddings, into) == sum(len(t.split()) for t in EMBEDDED)
    assert of(f"{USED}_count") == 2 * CHATS + len(EMBEDDED), "once, though the client sends a metric of that name too"

    failed = f'error_type="{reported.error}"'
    assert of(f"{TOOK}_count", failed) == CHATS + len(EMBEDDED)
    assert of(f"{TOOK}_count", chats) == 2 * CHATS
    assert of(f"{TOOK}_count", embeddings) == 2 * len(EMBEDDED)
    assert of(f"{TOOK}_count") == 2 * (CHATS + len(EMBEDDED))
    went = of(f"{TOOK}_sum") - of(f"{TOOK}_sum", failed)
    assert ANSWERED * SECONDS_PER_TOKEN <= went <= took

    assert of(f"{WAITED}_count") == (len(STREAMED) if reported.first_chunk else 0)
    if reported.first_chunk:
        assert len(STREAMED) * SECONDS_PER_TOKEN <= of(f"{WAITED}_sum") <= went
    assert of(f"{PART}cache_read_input_tokens_total") == reported.cached
    assert of(f"{PART}reasoning_output_tokens_total") == reported.reasoning

    assert values(found, "service_name", USED) == {"chat"}
    assert values(found, "gen_ai_provider_name", USED) == {"openai"}
    assert values(found, "gen_ai_response_model", USED) == {"echo-1-2026"}
    assert values(found, "gen_ai_request_model", USED) == ({"echo-1"} if reported.request_model else {""})
    assert not any(series.startswith("gen_ai_server_token") for series in found)


@pytest.mark.parametrize("pair", [("traceloop", "openinference"), ("opentelemetry-genai", "traceloop")], ids="+".join)
def test_two_instrumentations_around_one_call_count_it_once(
    agent: Path, python: Path, model: str, pair: tuple[str, str]
) -> None:
    with sidecar_process({"SIDECAR_DELIVER__STORE__ENABLED": "true"}) as sidecar:
        env = under(agent, sidecar, [instrumentation(name) for name in pair], {})
        chat(python, env, model)
        found = settled(sidecar, CHATS + len(EMBEDDED))
        spans = total(found, "traces_span_metrics_calls_total", 'service_name="chat"')
    assert spans >= 2 * (CHATS + len(EMBEDDED)), "both made spans"
    assert total(found, f"{TOOK}_count") == CHATS + len(EMBEDDED)
    assert total(found, f"{USED}_sum") == ASKED + ANSWERED + sum(len(text.split()) for text in EMBEDDED)


LANGCHAIN = """
import sys
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
model = ChatOpenAI(base_url=sys.argv[1], api_key="none", model="echo-1", max_retries=0, stream_usage=True)
chain = ChatPromptTemplate.from_messages([("user", "{text}")]) | model
for text in sys.argv[2:-2]:
    assert "".join(chunk.content for chunk in chain.stream({"text": text})).split() == text.split()
chain.batch([{"text": text} for text in sys.argv[-2:]])
"""


@pytest.mark.parametrize("library", ["openinference", "opentelemetry-genai", None])
def test_a_framework_that_hears_of_calls_and_the_library_that_makes_them(
    agent: Path, python: Path, model: str, library: str | None
) -> None:
    """LangChain's callbacks: chains, and a span of the model that is not above the library's."""
    names = ["openinference-langchain", *([library] if library else [])]
    with sidecar_process({"SIDECAR_DELIVER__STORE__ENABLED": "true"}) as sidecar:
        env = under(agent, sidecar, [instrumentation(name) for name in names], {})
        run(python, ["-c", LANGCHAIN, model, *STREAMED, *WHOLE], env)
        found = settled(sidecar, CHATS)
    calls = "traces_span_metrics_calls_total"
    assert total(found, calls, 'span_name="RunnableSequence"') == CHATS, "the chains made spans"
    assert total(found, calls, 'span_name="ChatOpenAI"') == CHATS, "and so did the framework's model"
    assert total(found, f"{TOOK}_count") == CHATS
    for kind in ("input", "output"):
        assert total(found, f"{USED}_sum", f'gen_ai_token_type="{kind}"') == ANSWERED


MLFLOW = """
import sys, mlflow, openai
mlflow.openai.autolog()
client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
for text in sys.argv[3:]:
    stream = client.chat.completions.create(
        model="echo-1", messages=[{"role": "user", "content": text}], stream=sys.argv[2] == "streamed",
        **({"stream_options": {"include_usage": True}} if sys.argv[2] == "streamed" else {}),
    )
    if sys.argv[2] == "streamed":
        list(stream)
mlflow.flush_trace_async_logging()
"""
"""MLflow has to be asked for its tracing by the program."""


def test_what_mlflow_traces(python: Path, model: str, tmp_path: Path) -> None:
    with sidecar_process({"SIDECAR_DELIVER__STORE__ENABLED": "true"}) as sidecar:
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{sidecar.otlp_url}/v1/traces",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        }
        run(python, ["-c", MLFLOW, model, "streamed", *STREAMED], env, tmp_path)
        run(python, ["-c", MLFLOW, model, "whole", *WHOLE], env, tmp_path)
        found = settled(sidecar, CHATS)
    assert total(found, f"{USED}_sum", 'gen_ai_token_type="input"') == ANSWERED
    assert total(found, f"{USED}_sum", 'gen_ai_token_type="output"') == ANSWERED
    assert total(found, f"{USED}_count", 'gen_ai_response_model="echo-1-2026"') == 2 * CHATS
    assert total(found, f"{TOOK}_count", 'gen_ai_operation_name="chat"') == CHATS
    assert total(found, f"{WAITED}_count") == len(STREAMED)
    # The server says two words of each prompt were cached, or the one that there is.
    assert total(found, f"{PART}cache_read_input_tokens_total") == 2 * CHATS - 1
