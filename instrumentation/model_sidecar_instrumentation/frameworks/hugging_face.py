"""transformers: pipelines, and `generate`, which calls the network once for every token. Texts are the users' content:
only their lengths are features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.instrumentor import FrameworkInstrumentor, Hooks, Operations, loading
from model_sidecar_instrumentation.patching import cover, cover_subclasses, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings
from model_sidecar_instrumentation.values import labels, plain


def _inputs(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A list of what is asked; of texts their lengths."""
    given: Any = args[0] if args else next(iter(kwargs.values()), None)
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    if items and all(isinstance(item, str) for item in items):
        return [{"text_length": len(str(item))} for item in items]
    return [""] * len(items)


def _is_lazy(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Of a generator or a data set the pipeline makes another, which runs when it is read."""
    given = args[0] if args else None
    return given is not None and not isinstance(given, (str, bytes, list, tuple, dict)) and hasattr(given, "__next__")


def _result(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """Rows with `label` and `score`, or for each row the list of all of them, best first."""
    rows = [_zero_shot(row) for row in (result if isinstance(result, list) else [result])]
    if sample.rows == 1 and len(rows) != 1:
        rows = [rows]
    best = [max(row, key=_score) if isinstance(row, list) and row and isinstance(row[0], dict) else row for row in rows]
    if len(best) != sample.rows or not all(isinstance(r, dict) and "label" in r and "score" in r for r in best):
        return {}
    kept = outputs.kept(best, sample)
    named = labels((row["label"] for row in best), settings.text)
    counts = {name: named.count(name) for name in dict.fromkeys(named)}
    made: dict[str, Any] = {
        "class": outputs.kept(named, sample),
        "score": [plain(float(row["score"]), settings.text) for row in kept],
    }
    return {**made, "class_counts": counts} if len(counts) <= settings.classes else made


def _zero_shot(row: Any) -> Any:
    """Candidate labels with scores, best first, as the other pipelines say it."""
    lists = isinstance(row, dict) and isinstance(row.get("labels"), list) and isinstance(row.get("scores"), list)
    if not lists or not row["labels"] or not row["scores"]:
        return row
    return {"label": row["labels"][0], "score": row["scores"][0]}


def _score(answer: Mapping[str, Any]) -> float:
    return float(answer.get("score", 0))


def _known(pipeline: Any) -> Known:
    """The name that the model was loaded by, and the commit of the hub's repository where there is one."""
    return of_config(getattr(getattr(pipeline, "model", pipeline), "config", None))


def of_config(config: Any) -> Known:
    """What the configuration of a model says, if it is one of transformers."""
    path = str(getattr(config, "_name_or_path", "") or "")
    return Known(path.rstrip("/").rpartition("/")[2], str(getattr(config, "_commit_hash", "") or "")[:12])


def _generated(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    return {}


def _generate_rows(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    ids = args[0] if args else kwargs.get("input_ids", kwargs.get("inputs"))
    shape = getattr(ids, "shape", None)
    return [""] * int(shape[0]) if shape is not None and len(shape) else None


def _cover_pipelines(module: Any) -> None:
    cover_subclasses(module.Pipeline, {"__call__": "transformers.pipeline"})


def _cover_generation(module: Any) -> None:
    cover(module.GenerationMixin, {"generate": "transformers.generate"})


def _cover_loader(module: Any) -> None:
    load = loading("transformers.pipeline", lambda *_: Known(), callable)
    wrap_function(module, "pipeline", load)


class TransformersInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {
        "transformers.pipeline": Operation(
            "pipeline", _inputs, _result, known=_known, skip=_is_lazy, framework="transformers", alone=True
        ),
        "transformers.generate": Operation(
            "generate", _generate_rows, _generated, known=_known, framework="transformers", alone=True
        ),
    }
    hooks: ClassVar[Hooks] = {
        "transformers.pipelines.base": _cover_pipelines,
        "transformers.generation.utils": _cover_generation,
        "transformers.pipelines": _cover_loader,
    }
