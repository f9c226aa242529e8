"""The bench: the same payloads into the sidecar and, where it can be built, the OpenTelemetry Collector, in one run.

Prints one table; every row also goes, as a JSON line, to bench/results.jsonl. What each figure means: bench/README.md.
Exit code 1 if what was delivered or counted is not what was accepted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from cases import CASES, Case  # noqa: E402
from measure import Row, measure  # noqa: E402
from report import rest_table, scrape_table, table, with_ratios  # noqa: E402
from support.engines import EngineUnavailable, collector_binary, rotel_binary, run_nullsink  # noqa: E402
from support.engines.lumberjack import lumbersink  # noqa: E402
from systems import ROTEL, System, collector, rotel, sidecar  # noqa: E402


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    chosen = [c for c in CASES if not options.case or c.name in options.case]
    absent = _absent_peers(chosen) if not options.no_peers else {peer for case in chosen for peer in case.peers}
    rows: list[Row] = []
    with ExitStack() as stack:
        sink = stack.enter_context(run_nullsink())
        lumber = (
            stack.enter_context(lumbersink(keep=False)) if any(c.destination == "logstash" for c in chosen) else None
        )
        results = stack.enter_context((HERE / "results.jsonl").open("a"))
        for repetition in range(options.reps):
            for case in chosen:
                for name in [
                    *(["sidecar"] if not options.no_sidecar else []),
                    *(peer for peer in case.peers if peer not in absent),
                ]:
                    print(f"[{repetition + 1}/{options.reps}] {case.name}: {name} ...", file=sys.stderr, flush=True)
                    address, figures = sink.url, sink.url
                    if lumber is not None and case.destination == "logstash":
                        address, figures = lumber.address, lumber.status_url
                    began = time.monotonic()
                    with _system(name, case, address) as system:
                        start = {"start_s": time.monotonic() - began}
                        row = measure(case, system, figures, options.seconds) | start
                    rows.append(row)
                    results.write(json.dumps({"repetition": repetition, "load": os.getloadavg()[0], **row}) + "\n")
                    results.flush()
    rows = with_ratios(rows)
    print(table(rows, chosen))
    print(rest_table(rows, chosen))
    print(scrape_table(rows, chosen))
    wrong = [r for r in rows if r["mismatch"]]
    for row in wrong:
        print(f"NOT EQUAL  {row['case']}, {row['system']}: {row['mismatch']}", file=sys.stderr)
    return 1 if wrong else 0


def _system(name: str, case: Case, sink_url: str) -> AbstractContextManager[System]:
    if name == "sidecar":
        return sidecar(case.settings, sink_url if case.delivers else None, case.destination)
    return rotel(sink_url) if name == ROTEL else collector(name, sink_url)


def _absent_peers(cases: Sequence[Case]) -> set[str]:
    """Those that are not to be had here, with a line that says why. Makes the others where they are not cached."""
    absent: set[str] = set()
    wanted = {peer for case in cases for peer in case.peers}
    for peers, make in ((wanted - {ROTEL}, collector_binary), (wanted & {ROTEL}, rotel_binary)):
        if not peers:
            continue
        print(f"making {', '.join(sorted(peers))} if it is not in the cache yet ...", file=sys.stderr, flush=True)
        try:
            make()
        except EngineUnavailable as error:
            print(f"without {', '.join(sorted(peers))}: {error}", file=sys.stderr)
            absent |= peers
    return absent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [c.name for c in CASES]
    parser.add_argument("--case", action="append", choices=names, help="only this case; may be repeated")
    parser.add_argument("--seconds", type=float, default=10, help="length of the load (default 10); not at rest")
    parser.add_argument("--reps", type=int, default=1, help="repetitions; the table shows medians (default 1)")
    parser.add_argument("--no-peers", action="store_true", help="measure the sidecar alone")
    parser.add_argument("--no-sidecar", action="store_true", help="measure the peers alone")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EngineUnavailable as error:
        print(f"the bench cannot run: {error}", file=sys.stderr)
        sys.exit(2)
