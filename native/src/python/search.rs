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
    /// Bytes of the longest.
    longest: usize,
}

/// Of a payload in which letters of either case are the same, so much is looked at at once: it stays in the processor's cache.
const PART: usize = 32 << 10;

#[pymethods]
impl Literals {
    #[new]
    fn new(mut literals: Vec<Vec<u8>>, fold: bool) -> Self {
        if fold {
            literals.iter_mut().for_each(|literal| literal.make_ascii_lowercase());
        }
        let together = (literals.len() > 2).then(|| packed::Searcher::new(&literals)).flatten();
        let finders = literals.iter().map(|literal| memmem::Finder::new(literal).into_owned()).collect();
        let longest = literals.iter().map(Vec::len).max().unwrap_or_default();
        Literals { finders, together, fold, longest }
    }

    /// Whether any of them is in the payload. One search for each is many times quicker than an automaton for all, which
    /// reads byte by byte where the literals have not much in common.
    fn any_in(&self, py: Python<'_>, payload: &[u8]) -> bool {
        py.detach(|| if self.fold { self.found_in_any_case(payload) } else { self.found(payload) })
    }
}

impl Literals {
    fn found(&self, payload: &[u8]) -> bool {
        if let Some(searcher) = &self.together {
            return searcher.find(payload).is_some();
        }
        self.finders.iter().any(|finder| finder.find(payload).is_some())
    }

    fn found_in_any_case(&self, payload: &[u8]) -> bool {
        let mut lower = Vec::with_capacity(payload.len().min(PART + self.longest));
        let mut begin = 0;
        loop {
            // What begins in one part may end in the next one.
            let end = payload.len().min(begin + PART + self.longest);
            lower.clear();
            lower.extend(payload[begin..end].iter().map(u8::to_ascii_lowercase));
            if self.found(&lower) {
                return true;
            }
            if end == payload.len() {
                return false;
            }
            begin += PART;
        }
    }
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Literals>()?;
    module.add_function(wrap_pyfunction!(span_terms, module)?)?;
    module.add_function(wrap_pyfunction!(digest, module)?)
}
