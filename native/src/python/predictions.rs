//! The events of the zero-code instrumentation as columns.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::otlp::decode_error;
use crate::predictions::event::read_events;
use crate::predictions::features::Features;
use crate::python::{f64_bytes, over_payloads, raw_bytes, u32_bytes, u64_bytes};

/// See `sidecar.decode.api.PredictionBatch`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct PredictionColumns {
    payload: Py<PyBytes>,
    record: Py<PyBytes>,
    time: Py<PyBytes>,
    group: Py<PyBytes>,
    groups: Py<PyList>,
    count: Py<PyBytes>,
    rows: Py<PyBytes>,
    one_in: Py<PyBytes>,
    counted: Py<PyBytes>,
    seconds: Py<PyBytes>,
    class_event: Py<PyBytes>,
    class_name: Py<PyBytes>,
    class_names: Py<PyList>,
    class_rows: Py<PyBytes>,
    score_event: Py<PyBytes>,
    score: Py<PyBytes>,
    value_event: Py<PyBytes>,
    value: Py<PyBytes>,
    features: Option<Py<FeatureColumns>>,
}

/// See `sidecar.decode.api.FeatureColumns`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct FeatureColumns {
    event: Py<PyBytes>,
    name: Py<PyBytes>,
    names: Py<PyList>,
    ends: Py<PyBytes>,
    kind: Py<PyBytes>,
    number: Py<PyBytes>,
    texts: Py<PyList>,
    left_out: Py<PyBytes>,
    left_out_names: Py<PyList>,
}

#[pyfunction]
fn predictions(
    py: Python<'_>,
    payloads: Vec<Bound<'_, PyBytes>>,
    names: Vec<Vec<u8>>,
    features: bool,
) -> PyResult<PredictionColumns> {
    let events = over_payloads(py, &payloads, decode_error::in_logs, |slices| read_events(slices, &names, features))?;
    let groups = events.groups().map(|texts| PyTuple::new(py, texts)).collect::<PyResult<Vec<_>>>()?;
    Ok(PredictionColumns {
        payload: u32_bytes(py, &events.payload)?,
        record: u32_bytes(py, &events.record)?,
        time: u64_bytes(py, &events.time)?,
        group: u32_bytes(py, &events.group)?,
        groups: PyList::new(py, groups)?.unbind(),
        count: u64_bytes(py, &events.count)?,
        rows: u64_bytes(py, &events.rows)?,
        one_in: u64_bytes(py, &events.one_in)?,
        counted: raw_bytes(py, &events.counted),
        seconds: f64_bytes(py, &events.seconds)?,
        class_event: u32_bytes(py, &events.class_event)?,
        class_name: u32_bytes(py, &events.class_name)?,
        class_names: PyList::new(py, events.class_names())?.unbind(),
        class_rows: u64_bytes(py, &events.class_rows)?,
        score_event: u32_bytes(py, &events.score.event)?,
        score: f64_bytes(py, &events.score.number)?,
        value_event: u32_bytes(py, &events.value.event)?,
        value: f64_bytes(py, &events.value.number)?,
        features: events.features.as_ref().map(|found| Py::new(py, feature_columns(py, found)?)).transpose()?,
    })
}

fn feature_columns(py: Python<'_>, features: &Features) -> PyResult<FeatureColumns> {
    Ok(FeatureColumns {
        event: u32_bytes(py, &features.event)?,
        name: u32_bytes(py, &features.name)?,
        names: PyList::new(py, features.names())?.unbind(),
        ends: u32_bytes(py, &features.ends)?,
        kind: raw_bytes(py, &features.kind),
        number: f64_bytes(py, &features.number)?,
        texts: PyList::new(py, features.texts())?.unbind(),
        left_out: u32_bytes(py, &features.left_out)?,
        left_out_names: PyList::new(py, &features.left_out_names)?.unbind(),
    })
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PredictionColumns>()?;
    module.add_class::<FeatureColumns>()?;
    module.add_function(wrap_pyfunction!(predictions, module)?)
}
