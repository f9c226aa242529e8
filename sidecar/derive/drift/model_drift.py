"""The state of one model: a window for each column of its reference, and what the last check said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np

from sidecar.decode.predictions.feature_counter import FeatureCounts
from sidecar.derive.drift import slow_change
from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.column_samples import Sample, column_label
from sidecar.derive.drift.counts import small
from sidecar.derive.drift.decision import MIN_SAMPLES, Decision, alpha, decide, score
from sidecar.derive.drift.estimation import Estimate
from sidecar.derive.drift.library import CompiledReference, Key, key_of
from sidecar.derive.drift.long_window import LongWindow
from sidecar.derive.drift.methods.chi_squared_quantile import chi_squared_quantile
from sidecar.derive.drift.methods.method import Comparison, DriftMethod
from sidecar.derive.drift.methods.registry import METHODS, method
from sidecar.derive.drift.observations import Model
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.slow_change import SlowChange
from sidecar.derive.drift.value_flags import INVALID
from sidecar.derive.drift.window import ColumnWindow
from sidecar.derive.series import I64, pack_labels

Failure = tuple[str, str, int]
"""(feature, rule, how often)."""
RULES = ("missing", "type_change", "out_of_range", "out_of_range", "unseen_category")
"""Which rule each of FLAGS fails."""
UNEXPECTED = "unexpected"
"""The rule that features fail which no reference has."""
MAX_NAMED = 20
"""Columns of one kind that `status` names."""
ALL = ""
"""Feature of a rule that is about the model."""
_FALLBACK = "psi"
"""Compares categories as well as numbers."""


def label_of(bins: ColumnBins) -> str:
    """A column's name as the label `feature`."""
    return column_label(bins.role, bins.name)


@dataclass(slots=True)
class Progress:
    """Where in time a model is."""

    sub_window: int
    check: int
    started: int
    """Unix ns of its first row."""
    seen: int
    """Of its last one."""
    rows: int = 0
    rows_at_check: int = 0
    lengths: tuple[int, int] = (0, 0)
    """Of a sub-window and of the interval of checks, ns; 0 in what a former version of the program has kept."""


def lengths_of(options: DriftOptions) -> tuple[int, int]:
    """ns of a sub-window, and of the interval of checks."""
    return max(1, round(options.window * 1e9 / options.sub_windows)), max(1, round(options.check_interval * 1e9))


def slot_of(options: DriftOptions, time: int) -> tuple[int, int]:
    """(sub-window, interval of checks) of a time in Unix ns. Payloads with equal ones can be added together."""
    sub_window, check = lengths_of(options)
    return time // sub_window, time // check


class ModelDrift:
    """Times are those at which payloads were received, so that reading them again gives the same. Not thread-safe."""

    def __init__(
        self,
        model: Model,
        reference: CompiledReference,
        options: DriftOptions,
        columns: int,
        time: int,
        methods: Sequence[DriftMethod] = METHODS,
    ) -> None:
        """`columns`: how many of the reference's there is room for; `time`: of the first payload."""
        self.model, self.reference = model, reference
        self._options, self._methods = options, methods
        self.windows: dict[Key, ColumnWindow] = {
            key: ColumnWindow(bins, options.lag) for key, bins in list(reference.columns.items())[:columns]
        }
        # Slow changes are those from the reference.
        self._past = {} if options.lag else {key: LongWindow() for key in self.windows}
        self.decisions: dict[Key, Decision] = {}
        self.slow_changes: dict[Key, SlowChange] = {}
        """What was found at the last check, where there were rows enough."""
        self.rows_at_check: dict[Key, I64] = {}
        """Rows of each bin in the window of the last check, in few bytes (`small`): what its scores are of."""
        self.rows_before: dict[Key, I64] = {}
        """The same of the window that it compared with; empty for the reference."""
        self.estimate: Estimate | None = None
        """Of the window of the last check."""
        self.ready = False
        """Whether the window covered what it has to at the last check."""
        self._counted_at_check: dict[Key, int] = {}
        self.progress = Progress(*slot_of(options, time), time, time, lengths=lengths_of(options))
        self._checked = False
        self._saved = b""
        self.born = 0
        """Tick of the last scrape before it (`scrapes.View`)."""

    def advance(self, time: int) -> list[Failure]:
        """Go on to the time of a payload that comes next; what a check found on the way."""
        progress = self.progress
        sub_window, check = slot_of(self._options, time)
        found: list[Failure] = []
        if check > progress.check:
            found = self._run_check(check)
        if sub_window > progress.sub_window:
            self._keep_window(sub_window)
            for window in self.windows.values():
                window.close(progress.sub_window, sub_window - self._options.sub_windows + 1)
            progress.sub_window = sub_window
        return found

    def _keep_window(self, next_sub_window: int) -> None:
        """Where a window's time has ended, keep it for what is found in many; windows of the time that is divided into
        windows from its beginning, of which none overlap."""
        each = self._options.sub_windows
        window = self.progress.sub_window // each
        if next_sub_window // each == window or self.progress.started > window * each * self.progress.lengths[0]:
            return
        for key, past in self._past.items():
            counts = self.windows[key].since(window * each)
            if counts.any():
                past.push(counts)

    def see(self, time: int, rows: int) -> None:
        """So many rows were counted, the last one at `time`."""
        self.progress.seen = max(self.progress.seen, time)
        self.progress.rows += rows

    def add(self, sample: Sample, time: int = 0) -> list[Failure] | None:
        """Count values; what is wrong with them. None where the reference has no such column. `time`: when the last of
        them came that is not missing, Unix ns; 0 where there is none."""
        key = key_of(sample.role, sample.name)
        window = self.windows.get(key)
        if window is None:
            return None
        window.last_value = max(window.last_value, time)
        bins = window.bins
        if sample.counted is None:
            observed = bins.observe(sample.kind, sample.number, sample.texts)
        elif bins.numeric:
            return _added(window, _invalid(bins, sum(sample.counted.values())))  # Classes; expected: numbers.
        else:
            observed = bins.counted(sample.counted)
        return _added(window, observed.counted)

    def add_features(self, found: FeatureCounts, names: Sequence[str], times: I64) -> list[Failure]:
        """Values of features that are counted already. `names`: of the columns; `times`: Unix ns of the events."""
        failures: list[Failure] = []
        begin = 0
        for bins, values, last in zip(self.reference.features, found.values.tolist(), found.last.tolist(), strict=True):
            end = begin + bins.counts_length
            window = self.windows.get(("feature", bins.name))
            if values and window is None:
                failures.append((bins.name, UNEXPECTED, values))
            elif values and window is not None:
                if last >= 0:
                    window.last_value = max(window.last_value, int(times[last]))
                failures += _added(window, found.counts[begin:end])
            begin = end
        others = zip(names, found.others.tolist(), strict=True)
        return failures + [(name, UNEXPECTED, values) for name, values in others if values]

    def _run_check(self, check: int) -> list[Failure]:
        """Scores of all columns at the end of a check's time."""
        progress, options = self.progress, self._options
        ends = (progress.check + 1) * round(options.check_interval * 1e9)
        self.ready = ends - progress.started >= options.warm_up_seconds * 1e9
        self.decisions, self.rows_at_check, self.rows_before = {}, {}, {}
        constant: set[Key] = set()
        for key, window in self.windows.items():
            # One after the other: what is compared takes more memory than the windows.
            found = self._compared(window)
            if found is not None:
                self.decisions[key] = self._decision(window, found)
                self.rows_at_check[key] = small(found.live_bins)
                if options.lag:
                    self.rows_before[key] = small(found.reference_bins)
            if _became_constant(window.comparison() if options.lag else found):
                constant.add(key)
        self.estimate = self._estimated()
        level = slow_change.alpha(
            options.false_pages_per_year, options.check_interval, options.window, len(self.windows)
        )
        self.slow_changes = self._slow_changes(level)
        failures = list(self._failures(check - progress.check, constant))
        progress.rows_at_check, progress.check = progress.rows, check
        self._checked = True
        return failures

    def _estimated(self) -> Estimate | None:
        calibration, window = self.reference.calibration, self.windows.get(key_of("score", ""))
        found = window.comparison() if calibration is not None and window is not None else None
        return calibration.estimate(found.live_cells) if calibration is not None and found is not None else None

    def _slow_changes(self, level: float) -> dict[Key, SlowChange]:
        """What the window of now, or the whole windows before it, say."""
        found: dict[Key, SlowChange] = {}
        trained = {key: self.windows[key].bins.bin_counts for key in self._past}
        ready = self.rows_at_check if self.ready else {}
        now = {key: [(1, rows.astype(np.int64))] for key, rows in ready.items() if key in self._past}
        for recent in (now, {key: past.recent() for key, past in self._past.items()}):
            columns = [
                slow_change.Windows(windows, trained[key], self.windows[key].bins.numeric)
                for key, windows in recent.items()
            ]
            for key, one in zip(recent, slow_change.find(columns, level), strict=True):
                if one is not None and (
                    key not in found or one.score / one.limit > found[key].score / found[key].limit
                ):
                    found[key] = one
        return {key: found[key] for key in self._past if key in found}

    def _compared(self, window: ColumnWindow) -> Comparison | None:
        lag = self._options.lag
        if not lag:
            return window.comparison()
        end = self.progress.sub_window - lag + 1
        return window.comparison(window.between(range(end - self._options.sub_windows, end)))

    def about(self, bins: ColumnBins) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names and values of the labels by which decisions on a column are told apart."""
        names, values = ["feature"], [label_of(bins)]
        own = self._options.features.get(bins.name) if bins.role == "feature" else None
        if own is not None and own.group is not None:
            names.append("feature_group")
            values.append(own.group)
        if self._options.lag:
            names.append("compared_with")
            values.append(self._options.compare_with)
        return tuple(names), tuple(values)

    def chi_squared_quantiles(self) -> list[float]:
        """What chance exceeds as seldom as one check of one column may be wrong, by degrees of freedom from 1."""
        most = max((window.bins.bins for window in self.windows.values()), default=1)
        return [chi_squared_quantile(self._alpha, freedom) for freedom in range(1, most)]

    @property
    def _alpha(self) -> float:
        return alpha(self._options.false_pages_per_year, self._options.check_interval, len(self.windows))

    def _decision(self, window: ColumnWindow, found: Comparison) -> Decision:
        own = self._options.features.get(window.bins.name) if window.bins.role == "feature" else None
        chosen = self._usable((own.method if own else None) or self._options.method, found.numeric)
        wanted = [
            one for one in self._methods if one.name in self._options.methods and (found.numeric or one.categories)
        ]
        scores = []
        for one in dict.fromkeys([chosen, *wanted]):
            threshold = own.threshold if own and one is chosen and own.threshold is not None else None
            limit = self._options.thresholds.get(one.name) if threshold is None else threshold
            scores.append(score(one, limit, found, self._alpha))
        return decide(scores, chosen.name, self.ready)

    def _usable(self, name: str, numeric: bool) -> DriftMethod:
        chosen = method(name, self._methods)
        return chosen if numeric or chosen.categories else method(_FALLBACK, self._methods)

    def _failures(self, checks: int, constant: set[Key]) -> Iterator[Failure]:
        """What is known only of a whole window or interval. `checks` have passed; these columns became `constant`."""
        rows = self.progress.rows - self.progress.rows_at_check
        minimum = self._options.min_rows
        if minimum:
            few = (rows < minimum) + checks - 1
            if few:
                yield ALL, "volume", few
        for key, window in self.windows.items():
            counters = window.counters()
            # Those of no bin among them: missing and invalid ones are the first two flags.
            counted = int(counters.totals.sum() + counters.flags[:2].sum())
            if rows and counted == self._counted_at_check.get(key, 0) and key[0] == "feature":
                yield label_of(window.bins), "absent", 1
            self._counted_at_check[key] = counted
            if key in constant:
                yield label_of(window.bins), "constant", 1

    def share(self) -> float | None:
        """Share of the features that have drifted; None before the first check."""
        features = [decision for (role, _), decision in self.decisions.items() if role == "feature"]
        return sum(decision.detected for decision in features) / len(features) if features else None

    def status(self) -> dict[str, Any]:
        """What the last check found."""
        detected = [key for key, decision in self.decisions.items() if decision.detected]
        slow = [key for key, change in self.slow_changes.items() if change.detected]
        few = sum(decision.insufficient for decision in self.decisions.values())
        return {
            "checked_columns": len(self.decisions),
            "insufficient_data": few,
            "detected": self._named(detected),
            "slow_changes": self._named(slow),
        }

    def memory_bytes(self) -> list[int]:
        """What each column takes now, about."""
        past = {key: one.memory_bytes() for key, one in self._past.items()}
        return [window.memory_bytes() + past.get(key, 0) for key, window in self.windows.items()]

    def _named(self, keys: Sequence[Key]) -> list[str]:
        return [label_of(self.windows[key].bins) for key in keys[:MAX_NAMED] if key in self.windows]

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, below the model's own key."""
        progress = json.dumps(asdict(self.progress)).encode()
        if progress != self._saved:
            self._saved = progress
            yield b"m", progress
        if self._checked:
            self._checked = False
            counted = _json([*key, n] for key, n in self._counted_at_check.items())
            decisions = _json([*key, decision.as_json()] for key, decision in self.decisions.items())
            yield b"v", f"[{counted},{decisions}]".encode()
            rows = _json([*key, counts.tolist()] for key, counts in self.rows_at_check.items())
            before = _json([*key, counts.tolist()] for key, counts in self.rows_before.items())
            estimate = None if self.estimate is None else astuple(self.estimate)
            yield b"b", f"[{json.dumps(self.ready)},{rows},{before},{json.dumps(estimate)}]".encode()
            slow = _json([*key, asdict(one)] for key, one in self.slow_changes.items())
            yield b"s", f"[{self._options.sub_windows},{slow}]".encode()
        for key, window in self.windows.items():
            name = pack_labels(key)
            past = self._past[key].checkpoint() if key in self._past else None
            if past is not None:
                yield b"p" + name, past
            for number, packed in window.checkpoint():
                yield (b"f" + name, packed) if number is None else (b"w%020d" % number + name, packed)

    def state_keys(self) -> Iterator[bytes]:
        """Keys below the model's own under which something may be kept."""
        yield from (b"m", b"v", b"b", b"s")
        for key, window in self.windows.items():
            name = pack_labels(key)
            yield from (b"f" + name, b"p" + name)
            yield from (b"w%020d" % number + name for number in window.kept())

    def restore(self, state: Mapping[bytes, bytes]) -> bool:
        """Take over what `checkpoint` gave; False for what is not from here, or of another version of the program."""
        try:
            if not self._restore_progress(state[b"m"]):
                return False
            rings: dict[bytes, dict[int, bytes]] = {}
            for key, value in state.items():
                if key[:1] == b"w":
                    rings.setdefault(key[21:], {})[int(key[1:21])] = value
            oldest = self.progress.sub_window - self._options.sub_windows + 1
            for own, window in self.windows.items():
                name = pack_labels(own)
                if b"f" + name in state and not window.restore(state[b"f" + name], rings.get(name, {}), oldest):
                    return False
            self._restore_decisions(state.get(b"v"))
            self._restore_rows(state.get(b"b"))
            self._restore_slow(state)
            self._saved = state[b"m"]
        except (KeyError, TypeError, ValueError):
            return False
        return True

    def _restore_progress(self, kept: bytes) -> bool:
        """Sub-windows of another length are not those of now, and cannot be told apart from them by their numbers."""
        progress, lengths = Progress(**json.loads(kept)), lengths_of(self._options)
        before = tuple(progress.lengths)
        if before[0] not in (0, lengths[0]):
            return False
        if before[1] not in (0, lengths[1]):
            progress.check = slot_of(self._options, progress.seen)[1]
        progress.lengths = lengths
        self.progress = progress
        return True

    def _restore_decisions(self, kept: bytes | None) -> None:
        counted, decisions = json.loads(kept) if kept is not None else ([], [])
        self._counted_at_check = {(role, name): n for role, name, n in counted}
        self.decisions = {(role, name): Decision.of_json(one) for role, name, one in decisions}

    def _restore_rows(self, kept: bytes | None) -> None:
        self.ready, rows, *others = json.loads(kept) if kept is not None else (False, [])
        self.rows_at_check = self._rows_of(rows)
        self.rows_before = self._rows_of(others[0]) if others and self._options.lag else {}
        self.estimate = Estimate(*others[1]) if others[1:] and others[1] is not None else None

    def _restore_slow(self, state: Mapping[bytes, bytes]) -> None:
        """Nothing of windows of another length."""
        sub_windows, slow = json.loads(state.get(b"s", b"[0, []]"))
        if sub_windows != self._options.sub_windows:
            return
        for key, past in self._past.items():
            kept = state.get(b"p" + pack_labels(key))
            if kept is not None:
                past.restore(kept, self.windows[key].bins.bins)
        self.slow_changes = {(role, name): SlowChange(**one) for role, name, one in slow if (role, name) in self._past}

    def _rows_of(self, kept: list[Any]) -> dict[Key, I64]:
        return {
            (role, name): small(np.array(counts, np.int64))
            for role, name, counts in kept
            if (window := self.windows.get((role, name))) is not None and len(counts) == window.bins.bins
        }


def _json(elements: Iterable[Any]) -> str:
    """As an array. Elements are made one by one: those of thousands of columns together would leave as much memory
    behind as their windows take."""
    return f"[{','.join(map(json.dumps, elements))}]"


def _added(window: ColumnWindow, counted: I64) -> list[Failure]:
    """Count values; what is wrong with them."""
    window.add(counted)
    flags = window.bins.flags_of(counted).tolist()
    if not any(flags):
        return []
    name = label_of(window.bins)
    return [(name, rule, n) for rule, n in zip(RULES, flags, strict=True) if n]


def _invalid(bins: ColumnBins, values: int) -> I64:
    """Counts of so many values that are of another type."""
    counted = np.zeros(bins.counts_length, np.int64)
    counted[bins.cells + INVALID] = values
    return counted


def _became_constant(found: Comparison | None) -> bool:
    """`found`: the window beside the reference."""
    if found is None or found.n < MIN_SAMPLES:
        return False
    # Values beyond the range and unseen categories may be any number of different ones.
    known = found.live_cells[1:-1] if found.numeric else found.live_cells[:-1]
    return _constant(found.live_cells) and bool(known.any()) and not _constant(found.reference_cells)


def _constant(cells: Any) -> bool:
    return int(np.count_nonzero(cells)) == 1
