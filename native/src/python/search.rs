//! Byte strings in payloads, and the payload's digest.

use aho_corasick::packed;
use memchr::memmem;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::otlp::{decode_error, terms};
use crate::python::{malformed, u64_bytes};

/// Hashes of the pairs of key and value that a trace request's spans can be found by: distinct, in order.
#[pyfunction]
fn span_terms(py: Python<'_>, payload: &[u8]) -> PyResult<Py<PyBytes>> {
    let found = py.detach(|| terms::spans(payload)).map_err(|_| malformed(payload, decode_error::in_traces))?;
    u64_bytes(py, &found)
}

/// xxh3-128 of the payload, 16 bytes, canonical (big-endian).
#[pyfunction]
fn digest<'py>(py: Python<'py>, payload: &[u8], seed: u64) -> Bound<'py, PyBytes> {
    let value = py.detach(|| xxhash_rust::xxh3::xxh3_128_with_seed(payload, seed));
    PyBytes::new(py, &value.to_be_bytes())
}

/// A set of byte strings, made ready to be looked for in many payloads; `fold`: in any (ASCII) case.
#[pyclass(frozen, module = "sidecar_native")]
struct Literals {
    finders: Vec<memmem::Finder<'static>>,
    /// One search for all, where there are several and vector instructions for it.
    together: Option<packed::Searcher>,
    fold: bool,
}

#[pymethods]
impl Literals {
    #[new]
    fn new(literals: Vec<Vec<u8>>, fold: bool) -> Self {
        let together = (literals.len() > 2 && !fold).then(|| packed::Searcher::new(&literals)).flatten();
        let finder = |mut literal: Vec<u8>| {
            if fold {
                literal.make_ascii_lowercase();
            }
            memmem::Finder::new(&literal).into_owned()
        };
        Literals { finders: literals.into_iter().map(finder).collect(), together, fold }
    }

    /// Whether any of them is in the payload. One search for each is many times quicker than an automaton for all, which
    /// reads byte by byte where the literals have not much in common.
    fn any_in(&self, py: Python<'_>, payload: &[u8]) -> bool {
        py.detach(|| if self.fold { self.found(&payload.to_ascii_lowercase()) } else { self.found(payload) })
    }
}

impl Literals {
    fn found(&self, payload: &[u8]) -> bool {
        if let Some(searcher) = &self.together {
            return searcher.find(payload).is_some();
        }
        self.finders.iter().any(|finder| finder.find(payload).is_some())
    }
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Literals>()?;
    module.add_function(wrap_pyfunction!(span_terms, module)?)?;
    module.add_function(wrap_pyfunction!(digest, module)?)
}
