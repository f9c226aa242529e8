//! What is typed on both sides of the seam, so that a contract test can compare it with the reference decoder's.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::documents::otel;
use crate::logs::{fields, severity};
use crate::otlp::{columns, limits, tags, terms};
use crate::predictions::{event, feature_counter, features};
use crate::redaction::rules;

/// Tables by name: those of the protocol, of log records, of documents, of predictions, and limits.
#[pyfunction]
pub fn tables(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    all.set_item("fields", fields_of_messages(py)?)?;
    all.set_item("limits", numbers(py, LIMITS)?)?;
    all.set_item("span_kinds", tuple(py, &columns::KINDS)?)?;
    all.set_item("status_codes", tuple(py, &columns::STATUS_CODES)?)?;
    all.set_item("document_kinds", tuple(py, &otel::KINDS)?)?;
    all.set_item("document_statuses", tuple(py, &otel::STATUSES)?)?;
    all.set_item("beginnings", terms::BEGINNINGS.to_vec())?;
    all.set_item("unknown_service", columns::UNKNOWN_SERVICE)?;
    let roles = PyDict::new(py);
    for (role, names) in fields::ROLE_NAMES.iter().zip(fields::ROLES) {
        roles.set_item(role, tuple(py, names)?)?;
    }
    all.set_item("log_members", roles)?;
    let time_pair = [fields::TIME_SECONDS, fields::TIME_NANOSECONDS].map(fields::name_of);
    all.set_item("log_time_pair", tuple(py, &time_pair)?)?;
    all.set_item("log_objects", tuple(py, fields::OBJECTS)?)?;
    all.set_item("log_number_levels", number_levels(py)?)?;
    all.set_item("decimal_ids", tuple(py, &fields::names_in(fields::DECIMAL_IDS))?)?;
    all.set_item("sure_stacktraces", tuple(py, &fields::names_in(fields::SURE_STACKTRACE))?)?;
    all.set_item("severities", by_name(py, severity::NAMES)?)?;
    all.set_item("severity_spellings", by_name(py, severity::SPELLINGS)?)?;
    all.set_item("python_levels", severity::PYTHON)?;
    all.set_item("pino_levels", severity::PINO)?;
    all.set_item("syslog_levels", severity::SYSLOG.map(u32::from).to_vec())?;
    all.set_item("spoken_levels", tuple(py, &severity::SPOKEN)?)?;
    all.set_item("prefix_levels", tuple(py, &severity::PREFIXES)?)?;
    all.set_item("abbreviated_levels", tuple(py, &severity::ABBREVIATED)?)?;
    let texts = event::TEXTS.map(|name| String::from_utf8_lossy(name).into_owned());
    all.set_item("prediction_texts", texts.to_vec())?;
    all.set_item("feature_kinds", numbers(py, features::KINDS)?)?;
    all.set_item("feature_flags", tuple(py, &feature_counter::FLAGS)?)?;
    all.set_item("masked", rules::MASKED)?;
    all.set_item("cut", rules::CUT)?;
    Ok(all)
}

const LIMITS: &[(&str, u64)] = &[
    ("MAX_DEPTH", limits::MAX_DEPTH as u64),
    ("MAX_ATTRIBUTES", limits::MAX_ATTRIBUTES as u64),
    ("MAX_ERRORS", limits::MAX_ERRORS as u64),
    ("MAX_LINE_BYTES", limits::MAX_LINE_BYTES as u64),
    ("MAX_LABEL_CHARS", limits::MAX_LABEL_CHARS as u64),
    ("MAX_EXPANDED_BYTES", limits::MAX_EXPANDED_BYTES as u64),
    ("MAX_TIME_NS", limits::MAX_TIME_NS),
    ("MAX_FEATURES", limits::MAX_FEATURES as u64),
    ("MAX_FEATURE_CHARS", limits::MAX_FEATURE_CHARS as u64),
    ("MAX_FEATURE_VALUES", limits::MAX_FEATURE_VALUES as u64),
    ("MAX_LEFT_OUT_NAMES", limits::MAX_LEFT_OUT_NAMES as u64),
    ("MAX_ROWS", event::MAX_ROWS as u64),
    ("MAX_RULES", rules::MAX_RULES as u64),
    ("MAX_SEARCHES", rules::MAX_SEARCHES as u64),
    ("HASH_DIGITS", 2 * rules::HASH_BYTES as u64),
];

fn tuple<'py, T: AsRef<str>>(py: Python<'py>, texts: &[T]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, texts.iter().map(AsRef::as_ref))
}

fn numbers<'py, N: Copy + IntoPyObject<'py>>(py: Python<'py>, named: &[(&str, N)]) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    for &(name, number) in named {
        found.set_item(name, number)?;
    }
    Ok(found)
}

/// name -> what it stands for
fn by_name<'py, W: Copy + IntoPyObject<'py>>(py: Python<'py>, table: &[(W, &[&[u8]])]) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    for &(what, names) in table {
        for name in names {
            found.set_item(String::from_utf8_lossy(name), what)?;
        }
    }
    Ok(found)
}

/// message -> field -> (number, wire type)
fn fields_of_messages(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let messages = PyDict::new(py);
    for (message, list) in tags::MESSAGES {
        let fields = PyDict::new(py);
        for field in *list {
            fields.set_item(field.name.to_ascii_lowercase(), (field.number, field.wire as u8))?;
        }
        messages.set_item(message, fields)?;
    }
    Ok(messages)
}

/// member of a log line -> what a number means there as a level
fn number_levels(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = PyDict::new(py);
    for slot in fields::slots(fields::LEVEL) {
        let levels = match fields::levels(slot) {
            fields::Levels::JavaScript => "javascript",
            fields::Levels::Python => "python",
            fields::Levels::Otlp => "otlp",
        };
        found.set_item(fields::name_of(slot), levels)?;
    }
    Ok(found)
}
