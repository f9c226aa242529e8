"""onnxruntime: `InferenceSession.run`. With `run_with_iobinding` the data is not in the arguments, and is not seen."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation, capture
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.instrumentor import FrameworkInstrumentor, Hooks, Operations, initialised
from model_sidecar_instrumentation.model_file import digest_of_bytes, of_file
from model_sidecar_instrumentation.patching import cover, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings
from model_sidecar_instrumentation.values import to_numpy

NAMES = ("version", "model_version")
"""Keys of a model's own metadata that name its version."""


def _feed(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    feed = args[1] if len(args) > 1 else kwargs.get("input_feed")
    return next(iter(feed.values())) if isinstance(feed, dict) and len(feed) == 1 else feed


def _known(session: Any) -> Known:
    """From the metadata of the model's file: a custom `version`, the model's version, the name of the file or graph."""
    meta = session.get_modelmeta()
    custom = dict(meta.custom_metadata_map)
    version = next((str(custom[name]) for name in NAMES if custom.get(name)), "")
    if not version and 0 < meta.version < 2**62:
        version = str(meta.version)
    file = of_file(getattr(session, "_model_path", None))
    content = getattr(session, "_model_bytes", None)
    version = version or file.version or (digest_of_bytes(content) if isinstance(content, bytes) else "")
    name = custom.get("name") or file.name or meta.graph_name
    return Known(name, version, extra={"outputs": [output.name for output in session.get_outputs()]})


def _result(session: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """The usual pair of converted classifiers, labels and probabilities (an array, or a map for each row), as class and
    scores; a single output as any network's; else outputs by their names."""
    names: Sequence[str] = capture().extra(session).get("outputs", ())
    if len(result) == 2 and _is_label(result[0]):
        scores = _scores(result[1], result[0])
        if scores is not None:
            array, classes = scores
            return {**outputs.probabilities(array, classes, sample, settings), **_classes(result[0], sample, settings)}
    if len(result) == 1:
        return outputs.network(result[0], sample, settings)
    made: dict[str, Any] = {}
    for number, value in enumerate(result[: settings.columns]):
        array = to_numpy(value)
        if array is not None and array.shape[:1] == (sample.rows,) and array.size == sample.rows:
            name = names[number] if len(names) == len(result) else str(number)
            made.update(outputs.outputs(array.reshape(-1, 1), sample, settings, [name])["outputs"])
    return {"outputs": made} if made else {}


def _classes(labels: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    array: Any = to_numpy(labels)
    return outputs.classified(array.reshape(-1), sample, settings)


def _is_label(value: Any) -> bool:
    array = to_numpy(value)
    return array is not None and array.dtype.kind in "iuOUS" and array.size == len(array)


def _scores(value: Any, labels: Any) -> tuple[Any, Sequence[Any] | None] | None:
    numpy = sys.modules["numpy"]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        classes = list(value[0])
        return numpy.array([[row[c] for c in classes] for row in value], dtype="float64"), classes
    array = to_numpy(value)
    if array is None or array.ndim != 2 or array.dtype.kind != "f" or len(array) != len(labels):
        return None
    return array, None


def _path(session: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Known:
    return Known()


def _cover(module: Any) -> None:
    cover(module.InferenceSession, {"run": "onnxruntime.run"})
    wrap_function(module.InferenceSession, "__init__", initialised("onnxruntime.run", _path))


class OnnxRuntimeInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {"onnxruntime.run": Operation("run", _feed, _result, known=_known, alone=True)}
    hooks: ClassVar[Hooks] = {"onnxruntime.capi.onnxruntime_inference_collection": _cover}
