//! Accepted records as documents, and documents as Logstash events.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::documents::lines::Lines;
use crate::documents::logstash_events::{Events, Form, Frame};
use crate::documents::otel::{self, Failure, Only};
use crate::otlp::decode_error;
use crate::python::{malformed, over_payloads, raw_bytes, u32_bytes};

/// See `sidecar.decode.api.Lines`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct DocumentLines {
    body: Py<PyBytes>,
    ends: Py<PyBytes>,
    event: Py<PyBytes>,
    docs: Vec<usize>,
}

fn document_lines(py: Python<'_>, lines: Lines) -> PyResult<DocumentLines> {
    if u32::try_from(lines.body.len()).is_err() {
        return Err(PyOverflowError::new_err("the documents do not fit 32-bit offsets"));
    }
    let columns = DocumentLines {
        body: raw_bytes(py, &lines.body),
        ends: u32_bytes(py, &lines.ends)?,
        event: raw_bytes(py, &lines.event),
        docs: lines.docs.clone(),
    };
    lines.recycle();
    Ok(columns)
}

/// `traces`: ids of 16 bytes each, of the traces whose documents are wanted; of all where it is empty.
#[pyfunction]
fn span_lines(py: Python<'_>, payloads: Vec<Bound<'_, PyBytes>>, traces: &[u8]) -> PyResult<DocumentLines> {
    let (ids, _) = traces.as_chunks::<16>();
    let read = |slices: &[&[u8]]| otel::span_lines(slices, Only(ids));
    document_lines(py, over_payloads(py, &payloads, decode_error::in_traces, read)?)
}

/// `ordinals`: for each payload (or not at all) native 32-bit numbers for its records' ids, or None. `traces`: as of
/// `span_lines`.
#[pyfunction]
fn log_lines(
    py: Python<'_>,
    payloads: Vec<Bound<'_, PyBytes>>,
    id_prefixes: Vec<String>,
    ordinals: Vec<Option<Bound<'_, PyBytes>>>,
    traces: &[u8],
) -> PyResult<DocumentLines> {
    if payloads.len() != id_prefixes.len() || !(ordinals.is_empty() || ordinals.len() == payloads.len()) {
        return Err(PyValueError::new_err(
            "there must be one id prefix for each payload, and ordinals for all or none",
        ));
    }
    let slices: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    let numbers = |bytes: &Bound<'_, PyBytes>| {
        let (words, _) = bytes.as_bytes().as_chunks::<4>();
        words.iter().map(|word| u32::from_ne_bytes(*word)).collect::<Vec<u32>>()
    };
    let ordinals: Vec<Option<Vec<u32>>> = ordinals.iter().map(|given| given.as_ref().map(numbers)).collect();
    let (ids, _) = traces.as_chunks::<16>();
    let lines = py.detach(|| otel::log_lines(&slices, &id_prefixes, &ordinals, Only(ids)));
    document_lines(
        py,
        lines.map_err(|failure| match failure {
            Failure::Malformed(index) => malformed(slices[index], decode_error::in_logs),
            Failure::Ordinals(index) => {
                PyValueError::new_err(format!("payload {index} has another number of records than of ordinals"))
            }
        })?,
    )
}

/// The line pairs of `body` as Logstash events: lumberjack data frames, or one JSON array. `ends`: native 32-bit numbers.
#[pyfunction]
fn events<'py>(
    py: Python<'py>,
    body: &[u8],
    ends: &[u8],
    framed: bool,
    begin: &[u8],
    middle: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let form = if framed { Form::Frames } else { Form::Array };
    let events = py.detach(|| Events::new(body, ends, Frame { begin, middle }, form));
    let events = events.map_err(|index| PyValueError::new_err(format!("document {index} is not a line pair")))?;
    PyBytes::new_with(py, events.len(), |out| {
        py.detach(|| events.write(out));
        Ok(())
    })
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<DocumentLines>()?;
    module.add_function(wrap_pyfunction!(span_lines, module)?)?;
    module.add_function(wrap_pyfunction!(log_lines, module)?)?;
    module.add_function(wrap_pyfunction!(events, module)?)
}
