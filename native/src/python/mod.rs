//! The module as Python sees it. `sidecar_native.pyi` has its types; `ABI_VERSION` tells different shapes apart.
//!
//! Results have names. Columns are `bytes` of native byte order, so that the adapter (`sidecar.decode.native`) makes
//! arrays of them without a copy.

mod checks;
mod columns;
mod documents;
mod grpc;
mod predictions;
mod redaction;
mod search;
mod tables;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::otlp::decode_error::DecodeError;

pyo3::create_exception!(
    sidecar_native,
    Malformed,
    pyo3::exceptions::PyValueError,
    "The payload is malformed as a whole: (message, offset)."
);

const ABI_VERSION: u32 = 19;

type Locate = fn(&[u8]) -> Option<DecodeError>;

fn malformed(payload: &[u8], locate: Locate) -> PyErr {
    let error = locate(payload).unwrap_or(DecodeError { message: "malformed".to_owned(), offset: 0 });
    Malformed::new_err((error.message, error.offset))
}

/// Runs `read` over all payloads without the interpreter lock; its error is the index of the payload that is malformed.
fn over_payloads<T: Send>(
    py: Python<'_>,
    payloads: &[Bound<'_, PyBytes>],
    locate: Locate,
    read: impl FnOnce(&[&[u8]]) -> Result<T, usize> + Send,
) -> PyResult<T> {
    let slices: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    py.detach(|| read(&slices)).map_err(|index| malformed(slices[index], locate))
}

fn bytes_of<const N: usize, T: Copy>(py: Python<'_>, column: &[T], bytes: fn(T) -> [u8; N]) -> PyResult<Py<PyBytes>> {
    let made = PyBytes::new_with(py, N * column.len(), |out| {
        for (place, value) in out.chunks_exact_mut(N).zip(column) {
            place.copy_from_slice(&bytes(*value));
        }
        Ok(())
    });
    Ok(made?.unbind())
}

fn u64_bytes(py: Python<'_>, column: &[u64]) -> PyResult<Py<PyBytes>> {
    bytes_of(py, column, u64::to_ne_bytes)
}

fn i64_bytes(py: Python<'_>, column: &[i64]) -> PyResult<Py<PyBytes>> {
    bytes_of(py, column, i64::to_ne_bytes)
}

fn f64_bytes(py: Python<'_>, column: &[f64]) -> PyResult<Py<PyBytes>> {
    bytes_of(py, column, f64::to_ne_bytes)
}

fn u32_bytes(py: Python<'_>, column: &[u32]) -> PyResult<Py<PyBytes>> {
    bytes_of(py, column, u32::to_ne_bytes)
}

fn raw_bytes(py: Python<'_>, bytes: &[u8]) -> Py<PyBytes> {
    PyBytes::new(py, bytes).unbind()
}

#[pymodule]
fn sidecar_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ABI_VERSION", ABI_VERSION)?;
    module.add("Malformed", module.py().get_type::<Malformed>())?;
    checks::add_to(module)?;
    columns::add_to(module)?;
    predictions::add_to(module)?;
    documents::add_to(module)?;
    grpc::add_to(module)?;
    redaction::add_to(module)?;
    search::add_to(module)?;
    module.add_function(wrap_pyfunction!(tables::tables, module)?)
}
