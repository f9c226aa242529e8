"""What outliers cost: in the deriver and in delivery, with and without them, on the same rows in one run; CPU seconds a
million rows of 20 features.

`python bench/outliers.py [ROWS]` (default 100,000). Delivery is the redactor, which takes the features out; of the rows
a share is far outside of the reference, each in one feature.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "tests"))

import numpy as np  # noqa: E402
from drift import TRAINED, columns, payloads  # noqa: E402
from support.drift_data import START, at, reference  # noqa: E402

from sidecar.decode.python import ReferenceDecoder  # noqa: E402
from sidecar.decode.redaction.rules import Filter, Redactor  # noqa: E402
from sidecar.decode.select import native_decoder  # noqa: E402
from sidecar.deliver.redaction.annotating_redactor import AnnotatingRedactor  # noqa: E402
from sidecar.deliver.redaction.options import RedactionOptions  # noqa: E402
from sidecar.derive.drift.deriver import DriftDeriver  # noqa: E402
from sidecar.derive.drift.options import DriftOptions  # noqa: E402
from sidecar.derive.engine import MAX_ENTRIES as AT_ONCE  # noqa: E402
from sidecar.derive.series import Budget  # noqa: E402

ROWS, SHARES, SIZES = 100_000, (0.0, 0.01, 1.0), (1, 10)
DECODER = native_decoder() or ReferenceDecoder()


def derived(file: Path, requests: list[bytes]) -> float:
    """CPU seconds of the deriver."""
    deriver = DriftDeriver(DriftOptions(reference=file, warm_up=0), Budget())
    begin = time.process_time()
    for place in range(0, len(requests), AT_ONCE):
        part = requests[place : place + AT_ONCE]
        deriver.apply(deriver.decode(DECODER, part), at(*[START] * len(part)))
    return time.process_time() - begin


def redacted(redactor: Redactor, requests: list[bytes]) -> float:
    """CPU seconds of a redactor."""
    begin = time.process_time()
    for request in requests:
        redactor.logs(request)
    return time.process_time() - begin


def main(arguments: list[str]) -> int:
    rows = int(arguments[0]) if arguments else ROWS
    rng = np.random.default_rng(20)
    trained, live = columns(rng, TRAINED), columns(rng, rows)
    inner = DECODER.redactor(RedactionOptions().rules(Filter(), export_features=False))
    print(f"{'events of':>9} {'outliers':>9} {'derive':>8} {'without':>8} {'deliver':>8} {'without':>8}")
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-outliers-") as folder:
        file = Path(folder) / "reference.json"
        file.write_text(reference({name: of.tolist() for name, of in trained.items()}).dump())
        for size in SIZES:
            for share in SHARES:
                found: dict[str, Any] = dict(live)
                found["n05"] = np.where(rng.random(rows) < share, 1e6, live["n05"])
                requests = list(payloads(found, size))
                marker = DriftDeriver(DriftOptions(reference=file), Budget()).annotator()
                assert marker is not None
                with mock.patch.object(DriftDeriver, "_count_outliers"):
                    derived(file, requests[:20])
                    plain = derived(file, requests)
                figures = (
                    derived(file, requests),
                    plain,
                    redacted(AnnotatingRedactor(inner, marker, DECODER), requests),
                    redacted(inner, requests),
                )
                shown = " ".join(f"{seconds / rows * 1e6:8.2f}" for seconds in figures)
                print(f"{size:9} {share:9.0%} {shown}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
