//! Rules applied to payloads.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::otlp::decode_error;
use crate::otlp::log::Log;
use crate::otlp::schema::Message;
use crate::otlp::span::Span;
use crate::otlp::wire::Stop;
use crate::python::{malformed, raw_bytes, u32_bytes};
use crate::redaction::engine;
use crate::redaction::entry;
use crate::redaction::filter::{self, Filter};
use crate::redaction::glob::Globs;
use crate::redaction::prefilter::Need;
use crate::redaction::rules::{Action, KeyRule, Rules, ValueSource};

/// The attributes of `sidecar.decode.redaction.rules.KeyRule`.
#[derive(FromPyObject)]
struct KeyRuleSource {
    keys: Vec<String>,
    action: String,
    events: Vec<String>,
    nested: bool,
    beside: Vec<String>,
    json_texts: bool,
}

/// The attributes of `sidecar.decode.native.CompiledValueRule`.
#[derive(FromPyObject)]
struct ValueRuleSource {
    name: String,
    pattern: String,
    loose_pattern: String,
    literals: Vec<Vec<u8>>,
    run: Vec<u8>,
    run_length: usize,
    action: String,
    luhn: bool,
}

/// The attributes of `sidecar.decode.redaction.rules.Filter`.
#[derive(FromPyObject)]
struct FilterSource {
    services: Vec<String>,
    exclude_services: Vec<String>,
    min_severity: u8,
    event_names: Vec<String>,
    keep_below: Option<u64>,
    keep_errors: bool,
    min_duration_ns: u64,
    keep_attributes: Vec<String>,
}

fn action(name: &str) -> PyResult<Action> {
    Action::parse(name)
        .ok_or_else(|| PyValueError::new_err(format!("invalid action: {name:?}; expected drop, hash or mask")))
}

impl KeyRuleSource {
    fn rule(self) -> PyResult<KeyRule> {
        let KeyRuleSource { keys, action: name, events, nested, beside, json_texts } = self;
        Ok(KeyRule { globs: Globs::new(&keys), action: action(&name)?, events, nested, beside, json_texts })
    }
}

impl ValueRuleSource {
    fn source(self) -> PyResult<ValueSource> {
        let need = Need { literals: self.literals, run: self.run, length: self.run_length, card: self.luhn };
        Ok(ValueSource {
            name: self.name,
            pattern: self.pattern,
            loose: self.loose_pattern,
            need,
            action: action(&self.action)?,
            luhn: self.luhn,
        })
    }
}

impl FilterSource {
    fn filter(self, seed: u64) -> Filter {
        Filter {
            services: Globs::new(&self.services),
            excluded: Globs::new(&self.exclude_services),
            min_severity: self.min_severity,
            event_names: Globs::new(&self.event_names),
            keep_below: self.keep_below,
            keep_errors: self.keep_errors,
            min_duration: self.min_duration_ns,
            keep_attributes: self.keep_attributes,
            seed,
        }
    }
}

/// A payload as the rules leave it.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct Redacted {
    /// None where nothing changed.
    payload: Option<Py<PyBytes>>,
    items: usize,
    events: usize,
    /// Native 32-bit numbers; None where all records are left.
    ordinals: Option<Py<PyBytes>>,
    changed: usize,
}

/// One set of rules made ready.
#[pyclass(frozen, module = "sidecar_native")]
struct Redactor {
    rules: Rules,
    filter: Filter,
    everywhere: u128,
}

#[pymethods]
impl Redactor {
    #[new]
    #[pyo3(signature = (keys, values, *, hash_key, add, max_field_bytes, filter, sampling_seed))]
    fn new(
        keys: Vec<KeyRuleSource>,
        values: Vec<ValueRuleSource>,
        hash_key: &[u8],
        add: Vec<(String, String)>,
        max_field_bytes: usize,
        filter: FilterSource,
        sampling_seed: u64,
    ) -> PyResult<Self> {
        let keys = keys.into_iter().map(KeyRuleSource::rule).collect::<PyResult<Vec<_>>>()?;
        let values = values.into_iter().map(ValueRuleSource::source).collect::<PyResult<Vec<_>>>()?;
        let add = add.into_iter().map(|(key, value)| (entry::attribute(&key, &value), key));
        let add = add.map(|(field, key)| (key, field)).collect();
        let rules = Rules::new(keys, values, hash_key, add, max_field_bytes).map_err(PyValueError::new_err)?;
        Ok(Redactor { everywhere: filter::everywhere(&rules), rules, filter: filter.filter(sampling_seed) })
    }

    fn spans(&self, py: Python<'_>, payload: &[u8]) -> PyResult<Redacted> {
        let redacted = py.detach(|| {
            let decisions = filter::decide::<Span>(payload, &self.filter, &self.rules)?;
            Ok(engine::rewrite(payload, &self.rules, Message::Span, self.everywhere, decisions))
        });
        named(py, redacted.map_err(|_: Stop| malformed(payload, decode_error::in_traces))?)
    }

    fn logs(&self, py: Python<'_>, payload: &[u8]) -> PyResult<Redacted> {
        let redacted = py.detach(|| {
            let decisions = filter::decide::<Log>(payload, &self.filter, &self.rules)?;
            Ok(engine::rewrite(payload, &self.rules, Message::Log, self.everywhere, decisions))
        });
        named(py, redacted.map_err(|_: Stop| malformed(payload, decode_error::in_logs))?)
    }
}

fn named(py: Python<'_>, redacted: engine::Redacted) -> PyResult<Redacted> {
    Ok(Redacted {
        payload: redacted.payload.map(|payload| raw_bytes(py, &payload)),
        items: redacted.items,
        events: redacted.events,
        ordinals: redacted.ordinals.map(|ordinals| u32_bytes(py, &ordinals)).transpose()?,
        changed: redacted.changed,
    })
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Redactor>()?;
    module.add_class::<Redacted>()
}
