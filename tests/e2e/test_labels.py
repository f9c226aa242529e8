"""Labels through the installed program: every way in, and a file that is imported through kills of either side."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from support.engines import SidecarProcess, free_port, sidecar_command, sidecar_process, wait_for
from support.load import samples, scrape, status, waiting

RECORDS, BATCH = 20_000, 100
BAD = {n for n in range(1, RECORDS + 1) if n % 997 == 0}
RECEIVED = "model_labels_received_total"


def sidecar(file: Path, documents: Path, **more: str) -> Any:
    """A sidecar that writes what it delivers to a file."""
    return sidecar_process(
        {
            "SIDECAR_DELIVER__STORE__ENABLED": "false",
            "SIDECAR_DELIVER__FILE__PATH": str(documents),
            "SIDECAR_DELIVER__FILE__FORMAT": "bulk",
            **more,
        },
        file,
    )


def post(running: SidecarProcess, body: bytes, content_type: str, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{running.otlp_url}/v1/labels", body, {"Content-Type": content_type, **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def received(running: SidecarProcess) -> dict[str, float]:
    values = samples(scrape(running.serve_url) or "")
    return {series.removeprefix(RECEIVED): n for series, n in values.items() if series.startswith(RECEIVED)}


def delivered(documents: Path) -> dict[str, dict[str, Any]]:
    """Document id -> labels. A line may be there twice after a kill, under the same id."""
    lines = documents.read_bytes().splitlines()
    pairs = zip(map(json.loads, lines[::2]), map(json.loads, lines[1::2]), strict=True)
    return {head["create"]["_id"]: source for head, source in pairs if source.get("event_name") == "ml.label"}


def test_every_way_in_is_counted_and_delivered_through_a_kill(tmp_path: Path) -> None:
    documents = tmp_path / "documents.ndjson"
    record = {"id": "j", "label": True, "model": "churn", "version": 7, "time": 1767323045}
    truth = {"groundTruthData": {"data": "0", "encoding": "CSV"}, "eventMetadata": {"eventId": "s"}}
    csv = b'id,label,model_name,model_version,time\nc,"a, b",churn,7,2026-01-02T03:04:05Z\n,x,churn,7,\n'
    expected = {
        '{model="churn",version="7",status="ok"}': 3.0,
        '{model="churn",status="ok"}': 2.0,
        '{model="churn",status="invalid"}': 1.0,
        '{status="ok"}': 1.0,
    }
    with sidecar(tmp_path, documents, SIDECAR_DELIVER__REDACTION__KEYS="ml.prediction.id=mask") as running:
        assert post(running, json.dumps([record, {**record, "id": "k"}]).encode(), "application/json")[0] == 200
        lines = gzip.compress(json.dumps(truth).encode())
        assert post(running, lines, "application/x-ndjson", **{"Content-Encoding": "gzip"}) == (
            200,
            {"accepted": 1, "rejected": 0, "errors": []},
        )
        code, answer = post(running, csv, "text/csv")
        assert (code, answer["accepted"], answer["rejected"]) == (200, 1, 1)
        assert answer["errors"][0].startswith("line 3: no prediction id")
        assert post(running, csv, "text/csv")[0] == 200  # Sent again: known by its bytes.
        assert post(running, b"gibberish", "text/csv")[0] == 400
        assert post(running, csv, "text/plain")[0] == 415

        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{running.otlp_url}/v1/logs")))
        logger = provider.get_logger("test")
        logger.emit(event_name="ml.label", attributes={"ml.prediction.id": "o", "label": 1, "model": "churn"})
        logger.emit(event_name="ml.label", attributes={"model": "churn"})
        provider.shutdown()
        line = json.dumps({"event": "ml.label", "prediction_id": "l", "label": "x", "model": "churn"}).encode()
        typed = {"Content-Type": "application/x-ndjson"}
        request = urllib.request.Request(f"{running.otlp_url}/v1/json", line, typed)
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert reply.status == 200

        wait_for(lambda: received(running) == expected, 20, "the labels to be counted")
        wait_for(lambda: not waiting(running.serve_url), 20, "the labels to be delivered")
        assert status(running.serve_url)["ledger"]["problems"] == []
        running.kill9()
        running.start()
        wait_for(lambda: received(running) == expected, 20, "the same figures after the kill")
    posted = [source["attributes"] for source in delivered(documents).values()]
    assert Counter(str(a.get("ml.label.value", a.get("label"))) for a in posted) == Counter(
        ["true", "true", "0", "a, b", "1", "None"]
    )
    assert {a["ml.prediction.id"] for a in posted if "ml.prediction.id" in a} == {"[masked]"}


@contextmanager
def importing(file: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sidecar_command(), "labels", "import", str(file), "--batch", str(BATCH), *more]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("SIDECAR_", "OTEL_"))}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def write_labels(file: Path) -> set[str]:
    """20,000 rows, some of them bad; the ids of the good ones."""
    rows = ["prediction_id,label,comment"]
    for n in range(1, RECORDS + 1):
        name = "" if n in BAD else f"p-{n}"
        rows.append(f'{name},{n % 3},"row {n}, of many"')
    file.write_text("\r\n".join(rows) + "\r\n")
    return {f"p-{n}" for n in range(1, RECORDS + 1)} - {f"p-{n}" for n in BAD}


def kept(running: SidecarProcess) -> int:
    return int(status(running.serve_url)["ledger"]["received"].get("logs", 0))


@pytest.mark.slow
def test_an_import_through_kills_of_both_sides_keeps_every_label_once(tmp_path: Path) -> None:
    """What makes it once: a batch is sent again as the same bytes (times and numbers of the file, ends at multiples of
    the batch), and the journal knows the digests of what it committed."""
    documents, file = tmp_path / "documents.ndjson", tmp_path / "labels.csv"
    good = write_labels(file)
    with sidecar(tmp_path, documents) as running:
        options = ("--url", running.otlp_url, "--model", "churn")
        with importing(file, *options) as process:
            assert process.stderr is not None
            first = process.stderr.readline()
            done = int(re.match(r"(\d+) records, ", first)[1])  # type: ignore[index]
            wait_for(lambda: kept(running) > RECORDS / 10, 20, "some labels to be kept", interval=0.001)
            running.kill9()
            assert process.poll() is None, "the import was over before the kill: the test proved nothing"
            running.start()
            at_start = kept(running)
            assert RECORDS / 10 < at_start < len(good) * 0.8
            wait_for(lambda: kept(running) > at_start + 2 * BATCH, 30, "the import to go on by itself", interval=0.001)
            assert process.poll() is None, "the import was over before the kill: the test proved nothing"
            process.kill()
            process.wait(60)
        before = kept(running)
        assert before < len(good)

        skip = ("--skip", str(done))
        with importing(file, *options, *skip) as process:
            out, errors = process.communicate(timeout=300)
        skipped = sum(n <= done for n in BAD)
        accepted = RECORDS - done - len(BAD) + skipped
        assert process.returncode == 1, errors
        assert out == f"{RECORDS - done} records: {accepted} accepted, {len(BAD) - skipped} rejected\n"
        assert kept(running) == len(good)
        values = samples(scrape(running.serve_url) or "")
        assert values['sidecar_duplicate_items_total{signal="logs"}'] >= before - done
        wait_for(lambda: received(running) == {'{model="churn",status="ok"}': float(len(good))}, 30, "the figure")
        wait_for(lambda: not waiting(running.serve_url), 60, "the labels to be delivered")
        assert status(running.serve_url)["ledger"]["problems"] == []
    found = Counter(source["attributes"]["ml.prediction.id"] for source in delivered(documents).values())
    assert found == Counter(good)
    rejects = [json.loads(line) for line in Path(f"{file}.rejected").read_text("utf-8").splitlines()]
    assert {r["place"] for r in rejects} == {f"line {n + 1}" for n in BAD}
    assert all(r["reason"].startswith("no prediction id (any of ") for r in rejects)


def test_an_import_waits_while_the_journal_is_full_and_says_where_it_stopped(tmp_path: Path) -> None:
    """The destination is away and the quota small: the import gets 429 and waits, is ended, and goes on when it is
    taken again."""
    file = tmp_path / "labels.ndjson.gz"
    lines = [json.dumps({"id": os.urandom(100).hex(), "label": n % 2, "row": n}) for n in range(RECORDS)]
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    far = free_port()
    environ = {
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
        "SIDECAR_DELIVER__OTLP__ENDPOINT": f"http://127.0.0.1:{far}",
        "SIDECAR_JOURNAL__QUOTA_BYTES": str(1 << 20),
        "SIDECAR_SHUTDOWN__TIMEOUT": "1",
    }
    with sidecar_process(environ, tmp_path) as running:
        options = ("--url", running.otlp_url, "--batch", "1000")
        with importing(file, *options) as process:
            assert process.stderr is not None
            said = iter(process.stderr.readline, "")
            waits = next(line for line in said if "; the sidecar answers 429: " in line)
            assert "trying again in " in waits
            process.terminate()
            out, errors = process.communicate(timeout=300)
            assert process.returncode == 1
        stopped = int(re.search(r"stopped after record (\d+); go on with --skip \1$", errors.strip())[1])  # type: ignore[index]
        assert "sidecar: interrupted\n" in errors
        assert out == f"{stopped} records: {stopped} accepted, 0 rejected\n"
        assert 0 < stopped < RECORDS
        assert kept(running) == stopped
        with importing(file, *options, "--skip", str(stopped), "--timeout", "0.5") as process:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 1
            assert "gave up after 0.5 s: the sidecar answers 429: " in errors
        running.child.env["SIDECAR_JOURNAL__QUOTA_BYTES"] = str(1 << 30)
        running.restart()
        with importing(file, *options, "--skip", str(stopped)) as process:
            out, errors = process.communicate(timeout=300)
            assert (process.returncode, out) == (
                0,
                f"{RECORDS - stopped} records: {RECORDS - stopped} accepted, 0 rejected\n",
            )
        wait_for(lambda: received(running) == {'{status="ok"}': float(RECORDS)}, 30, "the figure")
        assert kept(running) == RECORDS
