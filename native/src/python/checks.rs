//! What is said of a payload before it is stored, and log lines as a payload.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::logs::json_record;
use crate::otlp::check::{self, Check};
use crate::otlp::decode_error;
use crate::otlp::log::Log;
use crate::otlp::span::Span;
use crate::python::malformed;

/// See `sidecar.decode.api.Check`.
#[pyclass(frozen, get_all, name = "Check", module = "sidecar_native")]
struct PayloadCheck {
    items: usize,
    events: usize,
    rejected: usize,
    errors: Vec<String>,
    timed: bool,
    suspect: bool,
}

impl From<Check> for PayloadCheck {
    fn from(check: Check) -> Self {
        let Check { items, events, rejected, errors, timed, suspect } = check;
        PayloadCheck { items, events, rejected, errors, timed, suspect }
    }
}

/// A payload of another encoding as a logs request, with its check.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct Transcoded {
    payload: Py<PyBytes>,
    check: Py<PayloadCheck>,
    /// Lines that gave more than one record: number and records.
    rows: Vec<(usize, usize)>,
}

#[pyfunction]
fn check_spans(py: Python<'_>, payload: &[u8]) -> PyResult<PayloadCheck> {
    let checked = py.detach(|| check::check::<Span>(payload, check::TRACES));
    checked.map(Into::into).map_err(|_| malformed(payload, decode_error::in_traces))
}

#[pyfunction]
fn check_logs(py: Python<'_>, payload: &[u8]) -> PyResult<PayloadCheck> {
    let checked = py.detach(|| check::check::<Log>(payload, check::LOGS));
    checked.map(Into::into).map_err(|_| malformed(payload, decode_error::in_logs))
}

#[pyfunction]
fn json_lines(py: Python<'_>, body: &[u8], observed: u64, anonymous: &[u8]) -> PyResult<Transcoded> {
    let (payload, check, rows) = py.detach(|| json_record::json_lines(body, observed, anonymous));
    let bytes = PyBytes::new_with(py, payload.len(), |out| {
        payload.write(out);
        Ok(())
    })?;
    payload.recycle();
    Ok(Transcoded { payload: bytes.unbind(), check: Py::new(py, PayloadCheck::from(check))?, rows })
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PayloadCheck>()?;
    module.add_class::<Transcoded>()?;
    module.add_function(wrap_pyfunction!(check_spans, module)?)?;
    module.add_function(wrap_pyfunction!(check_logs, module)?)?;
    module.add_function(wrap_pyfunction!(json_lines, module)?)
}
