"""Backup, loss and restore of Prometheus' data by the shipped script: the same query has the same answer."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.engines import Child, answers, free_port, http_get, prometheus, wait_for
from support.monitoring_source import MONITORING

SCRIPT = MONITORING / "backup" / "prometheus.sh"
CONFIG = """
global: {scrape_interval: 500ms}
scrape_configs: [{job_name: itself, static_configs: [{targets: ["127.0.0.1:%d"]}]}]
"""


@contextmanager
def running(folder: Path, data: Path, *flags: str, scrapes: bool = False) -> Iterator[str]:
    """The address of a Prometheus with that data."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(CONFIG % port if scrapes else "global: {}\n")
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address=127.0.0.1:{port}"]
    child = Child("prometheus", [prometheus(), *arguments, *flags], folder / "prometheus.log")
    child.start()
    try:
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop()


def result(url: str, at: float) -> list[Any]:
    """All samples of a metric up to that time."""
    asked = urllib.parse.urlencode({"query": "prometheus_tsdb_head_samples_appended_total[1h]", "time": at})
    found: list[Any] = json.loads(http_get(f"{url}/api/v1/query?{asked}")[1])["data"]["result"]
    return found


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_what_was_backed_up_is_there_after_a_loss(tmp_path: Path) -> None:
    data, again, file = tmp_path / "data", tmp_path / "again", tmp_path / "backup.tar.gz"
    with running(tmp_path, data, "--web.enable-admin-api", scrapes=True) as url:
        wait_for(lambda: any(len(one["values"]) > 5 for one in result(url, time.time())), 60, "samples")
        at = time.time() - 1
        before = result(url, at)
        done = script("backup", url, data, file)
        assert done.returncode == 0, done.stderr
        assert list((data / "snapshots").iterdir()) == []
    assert script("restore", file, data).returncode == 1, "there is something already"
    done = script("restore", file, again)
    assert done.returncode == 0, done.stderr
    with running(tmp_path, again) as url:
        assert result(url, at) == before


def test_what_cannot_be_backed_up_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(tmp_path, data) as url:
        done = script("backup", url, data, tmp_path / "file")
        assert done.returncode == 1
        assert "--web.enable-admin-api" in done.stderr
    assert "does not answer" in script("backup", "http://127.0.0.1:1", data, tmp_path / "file").stderr
    assert script("restore", tmp_path / "none", data).returncode == 1
    assert script("backup").returncode == 2
