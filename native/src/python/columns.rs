//! Accepted spans and log records as columns.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::otlp::columns::{self, Tables};
use crate::otlp::decode_error;
use crate::otlp::dimensions::Wanted;
use crate::python::{f64_bytes, over_payloads, raw_bytes, u32_bytes, u64_bytes};

/// See `sidecar.decode.api.SpanBatch`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct SpanColumns {
    start: Py<PyBytes>,
    duration: Py<PyBytes>,
    adjusted_count: Py<PyBytes>,
    trace_ids: Py<PyBytes>,
    span_ids: Py<PyBytes>,
    parent_ids: Py<PyBytes>,
    group: Py<PyBytes>,
    groups: Py<PyList>,
    resource: Py<PyBytes>,
    resources: Py<PyList>,
    repaired: u64,
    numbers: Vec<Py<PyBytes>>,
}

/// See `sidecar.decode.api.LogBatch`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
pub struct LogColumns {
    time: Py<PyBytes>,
    trace_ids: Py<PyBytes>,
    span_ids: Py<PyBytes>,
    group: Py<PyBytes>,
    groups: Py<PyList>,
    resource: Py<PyBytes>,
    resources: Py<PyList>,
    repaired: u64,
    numbers: Vec<Py<PyBytes>>,
}

#[pyfunction]
fn spans(
    py: Python<'_>,
    payloads: Vec<Bound<'_, PyBytes>>,
    dimensions: Vec<String>,
    numbers: Vec<String>,
    measures: Vec<String>,
) -> PyResult<SpanColumns> {
    let wanted = Wanted::new(dimensions, numbers, &measures);
    let found = over_payloads(py, &payloads, decode_error::in_traces, |slices| columns::spans(slices, &wanted))?;
    Ok(SpanColumns {
        start: u64_bytes(py, &found.times)?,
        duration: u64_bytes(py, &found.durations)?,
        adjusted_count: f64_bytes(py, &found.adjusted_counts)?,
        trace_ids: raw_bytes(py, &found.trace_ids),
        span_ids: raw_bytes(py, &found.span_ids),
        parent_ids: raw_bytes(py, &found.parent_ids),
        group: u32_bytes(py, &found.group)?,
        groups: groups(py, &found.tables)?,
        resource: u32_bytes(py, &found.resource)?,
        resources: resources(py, &found.tables)?,
        repaired: found.tables.repaired,
        numbers: number_columns(py, &found.numbers)?,
    })
}

impl LogColumns {
    pub fn of(py: Python<'_>, found: &columns::Columns) -> PyResult<Self> {
        Ok(LogColumns {
            time: u64_bytes(py, &found.times)?,
            trace_ids: raw_bytes(py, &found.trace_ids),
            span_ids: raw_bytes(py, &found.span_ids),
            group: u32_bytes(py, &found.group)?,
            groups: groups(py, &found.tables)?,
            resource: u32_bytes(py, &found.resource)?,
            resources: resources(py, &found.tables)?,
            repaired: found.tables.repaired,
            numbers: number_columns(py, &found.numbers)?,
        })
    }
}

#[pyfunction]
fn logs(
    py: Python<'_>,
    payloads: Vec<Bound<'_, PyBytes>>,
    dimensions: Vec<String>,
    numbers: Vec<String>,
    measures: Vec<String>,
) -> PyResult<LogColumns> {
    let wanted = Wanted::new(dimensions, numbers, &measures);
    let found = over_payloads(py, &payloads, decode_error::in_logs, |slices| columns::logs(slices, &wanted))?;
    LogColumns::of(py, &found)
}

/// Rows of a table as tuples of text. Texts repeat from row to row, so the last one of each column is kept at hand.
fn groups(py: Python<'_>, tables: &Tables) -> PyResult<Py<PyList>> {
    let mut last: Vec<(&str, Bound<'_, PyString>)> = Vec::new();
    let mut rows = Vec::with_capacity(tables.groups().len());
    for texts in tables.groups() {
        for (column, text) in texts.into_iter().enumerate() {
            match last.get_mut(column) {
                Some((known, _)) if *known == text => {}
                Some(slot) => *slot = (text, PyString::new(py, text)),
                None => last.push((text, PyString::new(py, text))),
            }
        }
        rows.push(PyTuple::new(py, last.iter().map(|(_, text)| text))?);
    }
    Ok(PyList::new(py, rows)?.unbind())
}

fn resources(py: Python<'_>, tables: &Tables) -> PyResult<Py<PyList>> {
    let mut rows = Vec::with_capacity(tables.resources().len());
    for texts in tables.resources() {
        let pairs = texts.chunks_exact(2).map(|pair| PyTuple::new(py, pair)).collect::<PyResult<Vec<_>>>()?;
        rows.push(PyTuple::new(py, pairs)?);
    }
    Ok(PyList::new(py, rows)?.unbind())
}

fn number_columns(py: Python<'_>, columns: &[Vec<f64>]) -> PyResult<Vec<Py<PyBytes>>> {
    columns.iter().map(|column| f64_bytes(py, column)).collect()
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SpanColumns>()?;
    module.add_class::<LogColumns>()?;
    module.add_function(wrap_pyfunction!(spans, module)?)?;
    module.add_function(wrap_pyfunction!(logs, module)?)
}
