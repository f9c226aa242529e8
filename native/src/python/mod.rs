//! The module as Python sees it. `sidecar.decode.native` knows these shapes; `ABI_VERSION` tells them apart.

mod tables;

use memchr::memmem;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::documents::logstash_events::{Events, Form, Frame};
use crate::documents::otel::{self, Failure, Lines};
use crate::logs::json_record;
use crate::otlp::check::{self, Check};
use crate::otlp::columns::{self, Columns, Tables, Wanted};
use crate::otlp::decode_error::{self, Fault};
use crate::otlp::log::Log;
use crate::otlp::schema::Message;
use crate::otlp::span::Span;
use crate::otlp::wire::Stop;
use crate::predictions::event::{read_events, Figures};
use crate::predictions::features::Features;
use crate::redaction::engine::{self, Shaped};
use crate::redaction::entry;
use crate::redaction::filter::{self, Filter};
use crate::redaction::glob::Globs;
use crate::redaction::prefilter::Need;
use crate::redaction::rules::{Action, KeyRule, Rules, ValueSource};

pyo3::create_exception!(
    sidecar_native,
    Malformed,
    pyo3::exceptions::PyValueError,
    "The payload is malformed as a whole: (message, offset)."
);

const ABI_VERSION: u32 = 11;

type Locate = fn(&[u8]) -> Option<Fault>;
type Build = fn(&[&[u8]], &Wanted) -> Result<Columns, usize>;
type CheckTuple = (usize, usize, usize, Vec<String>, bool, bool);

fn malformed(payload: &[u8], locate: Locate) -> PyErr {
    let fault = locate(payload).unwrap_or(Fault { message: "malformed".to_owned(), offset: 0 });
    Malformed::new_err((fault.message, fault.offset))
}

fn check_tuple(check: Check) -> CheckTuple {
    (check.items, check.events, check.rejected, check.errors, check.timed, check.suspect)
}

/// (items, events, rejected, errors, timed, suspect) of a trace request.
#[pyfunction]
fn check_spans(py: Python<'_>, payload: &[u8]) -> PyResult<CheckTuple> {
    let checked = py.detach(|| check::check::<Span>(payload, check::TRACES));
    checked.map(check_tuple).map_err(|_| malformed(payload, decode_error::in_traces))
}

/// (items, events, rejected, errors, timed, suspect) of a logs request.
#[pyfunction]
fn check_logs(py: Python<'_>, payload: &[u8]) -> PyResult<CheckTuple> {
    let checked = py.detach(|| check::check::<Log>(payload, check::LOGS));
    checked.map(check_tuple).map_err(|_| malformed(payload, decode_error::in_logs))
}

fn u64_bytes<'py>(py: Python<'py>, column: &[u64]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, 8 * column.len(), |out| {
        for (place, value) in out.chunks_exact_mut(8).zip(column) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    })
}

fn f64_bytes<'py>(py: Python<'py>, column: &[f64]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, 8 * column.len(), |out| {
        for (place, value) in out.chunks_exact_mut(8).zip(column) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    })
}

fn u32_bytes<'py>(py: Python<'py>, column: &[u32]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, 4 * column.len(), |out| {
        for (place, value) in out.chunks_exact_mut(4).zip(column) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    })
}

/// Rows of a table as tuples of text. Texts repeat from row to row, so the last one of each column is kept at hand.
fn groups<'py>(py: Python<'py>, tables: &Tables) -> PyResult<Bound<'py, PyList>> {
    let mut last: Vec<(&str, Bound<'py, PyString>)> = Vec::new();
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
    PyList::new(py, rows)
}

fn resources<'py>(py: Python<'py>, tables: &Tables) -> PyResult<Bound<'py, PyList>> {
    let mut rows = Vec::with_capacity(tables.resources().len());
    for texts in tables.resources() {
        let pairs = texts.chunks_exact(2).map(|pair| PyTuple::new(py, pair)).collect::<PyResult<Vec<_>>>()?;
        rows.push(PyTuple::new(py, pairs)?);
    }
    PyList::new(py, rows)
}

fn figures<'py>(py: Python<'py>, columns: &[Vec<f64>]) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    columns.iter().map(|column| f64_bytes(py, column)).collect()
}

fn run_columns(
    py: Python<'_>,
    payloads: &[Bound<'_, PyBytes>],
    wanted: &Wanted,
    build: Build,
    locate: Locate,
) -> PyResult<Columns> {
    let slices: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    py.detach(|| build(&slices, wanted)).map_err(|index| malformed(slices[index], locate))
}

/// (start, duration, weight, trace ids, span ids, group, groups, resource, resources, repaired, numbers) of the accepted spans.
#[pyfunction]
fn spans<'py>(
    py: Python<'py>,
    payloads: Vec<Bound<'py, PyBytes>>,
    dimensions: Vec<String>,
    numbers: Vec<String>,
    measures: Vec<String>,
) -> PyResult<Bound<'py, PyTuple>> {
    let wanted = Wanted::new(dimensions, numbers, &measures);
    let columns = run_columns(py, &payloads, &wanted, columns::spans, decode_error::in_traces)?;
    (
        u64_bytes(py, &columns.times)?,
        u64_bytes(py, &columns.durations)?,
        f64_bytes(py, &columns.weights)?,
        PyBytes::new(py, &columns.trace_ids),
        PyBytes::new(py, &columns.span_ids),
        u32_bytes(py, &columns.group)?,
        groups(py, &columns.tables)?,
        u32_bytes(py, &columns.resource)?,
        resources(py, &columns.tables)?,
        columns.tables.repaired,
        figures(py, &columns.numbers)?,
    )
        .into_pyobject(py)
}

fn bytes_of<'py>(py: Python<'py>, figures: &Figures) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    Ok((u32_bytes(py, &figures.event)?, f64_bytes(py, &figures.number)?))
}

fn features_of<'py>(py: Python<'py>, features: &Features) -> PyResult<Bound<'py, PyTuple>> {
    (
        u32_bytes(py, &features.event)?,
        u32_bytes(py, &features.name)?,
        features.names(),
        u32_bytes(py, &features.ends)?,
        PyBytes::new(py, &features.kind),
        f64_bytes(py, &features.number)?,
        features.texts(),
        u32_bytes(py, &features.left_out)?,
        &features.left_out_names,
    )
        .into_pyobject(py)
}

/// (payload, record, time, group, groups, count, rows, one_in, counted, seconds, (class event, class name, class rows),
/// class names, (score event, score), (value event, value), features) of the accepted events of these names. Features,
/// where they are asked for, are (event, name, names, ends, kind, number, texts, left out, names left out).
#[pyfunction]
fn predictions<'py>(
    py: Python<'py>,
    payloads: Vec<Bound<'py, PyBytes>>,
    names: Vec<Vec<u8>>,
    features: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let slices: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    let found = py.detach(|| read_events(&slices, &names, features));
    let events = found.map_err(|index| malformed(slices[index], decode_error::in_logs))?;
    let groups = events.groups().map(|texts| PyTuple::new(py, texts)).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(
        py,
        [
            u32_bytes(py, &events.payload)?.into_any(),
            u32_bytes(py, &events.record)?.into_any(),
            u64_bytes(py, &events.time)?.into_any(),
            u32_bytes(py, &events.group)?.into_any(),
            PyList::new(py, groups)?.into_any(),
            u64_bytes(py, &events.count)?.into_any(),
            u64_bytes(py, &events.rows)?.into_any(),
            u64_bytes(py, &events.one_in)?.into_any(),
            PyBytes::new(py, &events.counted).into_any(),
            f64_bytes(py, &events.seconds)?.into_any(),
            (
                u32_bytes(py, &events.class_event)?,
                u32_bytes(py, &events.class_name)?,
                u64_bytes(py, &events.class_rows)?,
            )
                .into_pyobject(py)?
                .into_any(),
            PyList::new(py, events.class_names())?.into_any(),
            bytes_of(py, &events.score)?.into_pyobject(py)?.into_any(),
            bytes_of(py, &events.value)?.into_pyobject(py)?.into_any(),
            events.features.as_ref().map(|found| features_of(py, found)).transpose()?.into_pyobject(py)?.into_any(),
        ],
    )
}

/// (time, trace ids, span ids, group, groups, resource, resources, repaired, numbers) of the accepted log records.
#[pyfunction]
fn logs<'py>(
    py: Python<'py>,
    payloads: Vec<Bound<'py, PyBytes>>,
    dimensions: Vec<String>,
    numbers: Vec<String>,
    measures: Vec<String>,
) -> PyResult<Bound<'py, PyTuple>> {
    let wanted = Wanted::new(dimensions, numbers, &measures);
    let columns = run_columns(py, &payloads, &wanted, columns::logs, decode_error::in_logs)?;
    (
        u64_bytes(py, &columns.times)?,
        PyBytes::new(py, &columns.trace_ids),
        PyBytes::new(py, &columns.span_ids),
        u32_bytes(py, &columns.group)?,
        groups(py, &columns.tables)?,
        u32_bytes(py, &columns.resource)?,
        resources(py, &columns.tables)?,
        columns.tables.repaired,
        figures(py, &columns.numbers)?,
    )
        .into_pyobject(py)
}

type LineColumns<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Vec<usize>);

fn line_columns(py: Python<'_>, lines: Lines) -> PyResult<LineColumns<'_>> {
    if u32::try_from(lines.body.len()).is_err() {
        return Err(PyOverflowError::new_err("the documents do not fit 32-bit offsets"));
    }
    let columns = (
        PyBytes::new(py, &lines.body),
        u32_bytes(py, &lines.ends)?,
        PyBytes::new(py, &lines.event),
        lines.docs.clone(),
    );
    lines.recycle();
    Ok(columns)
}

/// (body, ends, event, docs): the `_bulk` line pairs of the accepted spans and their events.
#[pyfunction]
fn span_lines<'py>(py: Python<'py>, payloads: Vec<Bound<'py, PyBytes>>) -> PyResult<LineColumns<'py>> {
    let slices: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    let lines = py.detach(|| otel::span_lines(&slices));
    line_columns(py, lines.map_err(|index| malformed(slices[index], decode_error::in_traces))?)
}

/// (body, ends, event, docs): the `_bulk` line pairs of the accepted log records. `ordinals`: for each payload (or not
/// at all) native 32-bit numbers for its records' ids, or None.
#[pyfunction]
fn log_lines<'py>(
    py: Python<'py>,
    payloads: Vec<Bound<'py, PyBytes>>,
    id_prefixes: Vec<String>,
    ordinals: Vec<Option<Bound<'py, PyBytes>>>,
) -> PyResult<LineColumns<'py>> {
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
    let lines = py.detach(|| otel::log_lines(&slices, &id_prefixes, &ordinals));
    line_columns(
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

type KeySource = (Vec<String>, String, Vec<String>, bool, Vec<String>);
type ValueTuple = (String, String, String, Vec<Vec<u8>>, Vec<u8>, usize, String, bool);
type FilterTuple = (Vec<String>, Vec<String>, u8, Vec<String>, Option<u64>, bool, u64, Vec<String>);
type ShapedTuple<'py> = (Option<Bound<'py, PyBytes>>, usize, usize, Option<Bound<'py, PyBytes>>, usize);

/// One set of rules made ready. Made of (globs, action, events), (name, pattern, pattern without assertions, literals,
/// run, run length, action, luhn), the key of hashes, (key, value) to add, the size limit of a field, the filter's parts
/// and the seed of its sample.
#[pyclass(frozen)]
struct Shaper {
    rules: Rules,
    filter: Filter,
    everywhere: u128,
}

fn action(name: &str) -> PyResult<Action> {
    Action::parse(name).ok_or_else(|| PyValueError::new_err(format!("action {name:?}: drop, hash or mask")))
}

#[pymethods]
impl Shaper {
    #[new]
    fn new(
        keys: Vec<KeySource>,
        values: Vec<ValueTuple>,
        hash_key: &[u8],
        add: Vec<(String, String)>,
        limit: usize,
        filter: FilterTuple,
        seed: u64,
    ) -> PyResult<Self> {
        let key = |(globs, name, events, nested, beside): KeySource| {
            Ok(KeyRule { globs: Globs::new(&globs), action: action(&name)?, events, nested, beside })
        };
        let value = |(name, pattern, loose, literals, run, length, named, luhn): ValueTuple| {
            let need = Need { literals, run, length };
            Ok(ValueSource { name, pattern, loose, need, action: action(&named)?, luhn })
        };
        let keys = keys.into_iter().map(key).collect::<PyResult<Vec<_>>>()?;
        let values = values.into_iter().map(value).collect::<PyResult<Vec<_>>>()?;
        let add = add.into_iter().map(|(key, value)| (entry::attribute(&key, &value), key));
        let add = add.map(|(field, key)| (key, field)).collect();
        let rules = Rules::new(keys, values, hash_key, add, limit).map_err(PyValueError::new_err)?;
        let (services, excluded, min_severity, event_names, keep_below, keep_errors, min_duration, keep_attributes) =
            filter;
        let filter = Filter {
            services: Globs::new(&services),
            excluded: Globs::new(&excluded),
            min_severity,
            event_names: Globs::new(&event_names),
            keep_below,
            keep_errors,
            min_duration,
            keep_attributes,
            seed,
        };
        Ok(Shaper { everywhere: filter::everywhere(&rules), rules, filter })
    }

    /// (payload, items, events, ordinals, changed); the payload is None where nothing changed, the ordinals are None
    /// where all are left.
    fn spans<'py>(&self, py: Python<'py>, payload: &[u8]) -> PyResult<ShapedTuple<'py>> {
        let shaped = py.detach(|| {
            let decisions = filter::decide::<Span>(payload, &self.filter, &self.rules)?;
            Ok(engine::rewrite(payload, &self.rules, Message::Span, self.everywhere, decisions))
        });
        shaped_tuple(py, shaped.map_err(|_: Stop| malformed(payload, decode_error::in_traces))?)
    }

    fn logs<'py>(&self, py: Python<'py>, payload: &[u8]) -> PyResult<ShapedTuple<'py>> {
        let shaped = py.detach(|| {
            let decisions = filter::decide::<Log>(payload, &self.filter, &self.rules)?;
            Ok(engine::rewrite(payload, &self.rules, Message::Log, self.everywhere, decisions))
        });
        shaped_tuple(py, shaped.map_err(|_: Stop| malformed(payload, decode_error::in_logs))?)
    }
}

fn shaped_tuple(py: Python<'_>, shaped: Shaped) -> PyResult<ShapedTuple<'_>> {
    let payload = shaped.payload.map(|payload| PyBytes::new(py, &payload));
    let ordinals = shaped.ordinals.map(|ordinals| u32_bytes(py, &ordinals)).transpose()?;
    Ok((payload, shaped.items, shaped.events, ordinals, shaped.changed))
}

/// (payload, (items, events, rejected, errors, timed, suspect)): JSON log lines as a logs request.
#[pyfunction]
fn json_lines<'py>(
    py: Python<'py>,
    body: &[u8],
    observed: u64,
    anonymous: &[u8],
) -> PyResult<(Bound<'py, PyBytes>, CheckTuple)> {
    let (payload, check) = py.detach(|| json_record::json_lines(body, observed, anonymous));
    let bytes = PyBytes::new_with(py, payload.len(), |out| {
        payload.write(out);
        Ok(())
    })?;
    payload.recycle();
    Ok((bytes, check_tuple(check)))
}

/// xxh3-128 of the payload, 16 bytes, canonical (big-endian).
#[pyfunction]
fn digest<'py>(py: Python<'py>, payload: &[u8], seed: u64) -> Bound<'py, PyBytes> {
    let value = py.detach(|| xxhash_rust::xxh3::xxh3_128_with_seed(payload, seed));
    PyBytes::new(py, &value.to_be_bytes())
}

/// A set of byte strings, made ready to be looked for in many payloads; `fold`: in any (ASCII) case.
#[pyclass(frozen)]
struct Finder {
    needles: Vec<memmem::Finder<'static>>,
    fold: bool,
}

#[pymethods]
impl Finder {
    #[new]
    fn new(needles: Vec<Vec<u8>>, fold: bool) -> Self {
        let finder = |mut needle: Vec<u8>| {
            if fold {
                needle.make_ascii_lowercase();
            }
            memmem::Finder::new(&needle).into_owned()
        };
        Finder { needles: needles.into_iter().map(finder).collect(), fold }
    }

    /// Whether any of them stands in the payload. One search for each: that is many times quicker than an automaton for
    /// all, which reads byte by byte where the needles have not much in common.
    fn found(&self, py: Python<'_>, payload: &[u8]) -> bool {
        py.detach(|| {
            if !self.fold {
                return self.stands(payload);
            }
            self.stands(&payload.to_ascii_lowercase())
        })
    }
}

impl Finder {
    fn stands(&self, payload: &[u8]) -> bool {
        self.needles.iter().any(|needle| needle.find(payload).is_some())
    }
}

#[pymodule]
fn sidecar_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ABI_VERSION", ABI_VERSION)?;
    module.add("Malformed", module.py().get_type::<Malformed>())?;
    module.add_function(wrap_pyfunction!(check_spans, module)?)?;
    module.add_function(wrap_pyfunction!(check_logs, module)?)?;
    module.add_function(wrap_pyfunction!(predictions, module)?)?;
    module.add_function(wrap_pyfunction!(json_lines, module)?)?;
    module.add_function(wrap_pyfunction!(spans, module)?)?;
    module.add_function(wrap_pyfunction!(logs, module)?)?;
    module.add_function(wrap_pyfunction!(span_lines, module)?)?;
    module.add_function(wrap_pyfunction!(log_lines, module)?)?;
    module.add_function(wrap_pyfunction!(events, module)?)?;
    module.add_function(wrap_pyfunction!(digest, module)?)?;
    module.add_function(wrap_pyfunction!(tables::tables, module)?)?;
    module.add_class::<Shaper>()?;
    module.add_class::<Finder>()?;
    Ok(())
}
