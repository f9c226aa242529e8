"""Look-ups in a store with five million spans while more come in; in a search engine with a million.

`python bench/lookup` fills a real sidecar's embedded store over OTLP, asks for traces by id and by search while 5,000
spans a second come in, and then has retention give space back under the same load. `--engine opensearch`,
`elasticsearch9` or `elasticsearch8` puts the spans into a real engine by a sidecar, and asks `sidecar lookup`. Exit
code 1 where a target is missed. What the figures mean: bench/README.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT / "tests")]

import embedded  # noqa: E402
import engine  # noqa: E402
from support.engines import EngineUnavailable  # noqa: E402


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    missed = engine.run(options) if options.engine else embedded.run(options)
    for words in missed:
        print(f"NOT MET  {words}", file=sys.stderr)
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=engine.ENGINES, help="a search engine in place of the embedded store")
    parser.add_argument("--spans", type=int, help="default 5,000,000; in an engine 1,000,000")
    parser.add_argument("--rate", type=float, default=5_000, help="spans a second meanwhile (default 5,000; 0: none)")
    parser.add_argument("--asked", type=int, default=30, help="times that each question is asked (default 30)")
    parser.add_argument(
        "--data", type=Path, help="folder of the store, which is filled once and kept; then no retention"
    )
    parser.add_argument("--jaeger", action="store_true", help="with --engine: also Jaeger's own storage in it")
    parser.add_argument("--only", default="", help="questions with this text in their name")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EngineUnavailable as error:
        print(f"the bench cannot run: {error}", file=sys.stderr)
        sys.exit(2)
