//! The events of the zero-code instrumentation as columns, and their features counted.

use std::ops::Range;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::otlp::decode_error;
use crate::otlp::dimensions::Wanted;
use crate::predictions::event::{read_events, read_records_and_events, Events};
use crate::predictions::feature_blocks::Blocks;
use crate::predictions::feature_counter::{self, CategoryCells, Cells};
use crate::predictions::features::{Features, Limits};
use crate::predictions::number_cells::{NumberCells, Scale};
use crate::python::columns::LogColumns;
use crate::python::{f64_bytes, i64_bytes, over_payloads, raw_bytes, u32_bytes, u64_bytes};

/// See `sidecar.decode.api.PredictionBatch`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct PredictionColumns {
    payload: Py<PyBytes>,
    record: Py<PyBytes>,
    ends: Py<PyBytes>,
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

/// See `sidecar.decode.api.FeatureColumns`. What is asked for is that of the events from `first` to before `last`.
#[pyclass(frozen, module = "sidecar_native")]
struct FeatureColumns {
    features: Features,
}

#[pymethods]
impl FeatureColumns {
    #[getter]
    fn events(&self) -> usize {
        self.features.left_out.len()
    }

    #[getter]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.features.names())
    }

    #[getter]
    fn texts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.features.texts())
    }

    #[getter]
    fn left_out_names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.features.left_out_names)
    }

    /// Of each column its event, the number of its name, and where its values end.
    fn columns(&self, py: Python<'_>, first: usize, last: usize) -> PyResult<(Py<PyBytes>, Py<PyBytes>, Py<PyBytes>)> {
        let (first, last) = self.events_between(first, last)?;
        let found = self.features.columns(first, last);
        Ok((u32_bytes(py, &found.event)?, u32_bytes(py, &found.name)?, u32_bytes(py, &found.ends)?))
    }

    fn kind(&self, py: Python<'_>, first: usize, last: usize) -> PyResult<Py<PyBytes>> {
        Ok(raw_bytes(py, &self.features.kind[self.values(first, last)?]))
    }

    fn number(&self, py: Python<'_>, first: usize, last: usize) -> PyResult<Py<PyBytes>> {
        f64_bytes(py, &self.features.number[self.values(first, last)?])
    }

    fn left_out(&self, py: Python<'_>, first: usize, last: usize) -> PyResult<Py<PyBytes>> {
        self.events_between(first, last)?;
        u32_bytes(py, &self.features.left_out[first..last])
    }

    fn beyond(
        &self,
        py: Python<'_>,
        first: usize,
        group: PyBuffer<u32>,
        least: PyBuffer<f64>,
        greatest: PyBuffer<f64>,
        magnitude: f64,
    ) -> PyResult<FarValues> {
        let (group, least, greatest) = (group.to_vec(py)?, least.to_vec(py)?, greatest.to_vec(py)?);
        let (first, _) = self.events_between(first, first.saturating_add(group.len()))?;
        let limits = Limits { group: &group, least: &least, greatest: &greatest, magnitude };
        let found = py.detach(|| self.features.beyond(first, &limits));
        let found = found.ok_or_else(|| PyValueError::new_err("no limits for a column"))?;
        Ok(FarValues {
            event: u32_bytes(py, &found.event)?,
            name: u32_bytes(py, &found.name)?,
            row: u32_bytes(py, &found.row)?,
        })
    }
}

/// See `sidecar.decode.api.FarValues`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct FarValues {
    event: Py<PyBytes>,
    name: Py<PyBytes>,
    row: Py<PyBytes>,
}

impl FeatureColumns {
    fn events_between(&self, first: usize, last: usize) -> PyResult<(u32, u32)> {
        if first > last || last > self.events() {
            return Err(PyValueError::new_err("no such events"));
        }
        Ok((first as u32, last as u32))
    }

    fn values(&self, first: usize, last: usize) -> PyResult<Range<usize>> {
        let (first, last) = self.events_between(first, last)?;
        Ok(self.features.values(first, last))
    }
}

impl PredictionColumns {
    fn of(py: Python<'_>, mut events: Events<'_>) -> PyResult<Self> {
        let groups = events.groups().map(|texts| PyTuple::new(py, texts)).collect::<PyResult<Vec<_>>>()?;
        Ok(PredictionColumns {
            payload: u32_bytes(py, &events.payload)?,
            record: u32_bytes(py, &events.record)?,
            ends: u32_bytes(py, &events.ends)?,
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
            features: events.features.take().map(|features| Py::new(py, FeatureColumns { features })).transpose()?,
        })
    }
}

#[pyfunction]
fn predictions(
    py: Python<'_>,
    payloads: Vec<Bound<'_, PyBytes>>,
    names: Vec<Vec<u8>>,
    features: bool,
) -> PyResult<PredictionColumns> {
    let events = over_payloads(py, &payloads, decode_error::in_logs, |slices| read_events(slices, &names, features))?;
    PredictionColumns::of(py, events)
}

/// `logs` without dimensions, and `predictions`.
#[pyfunction]
fn logs_and_predictions(
    py: Python<'_>,
    payloads: Vec<Bound<'_, PyBytes>>,
    names: Vec<Vec<u8>>,
    features: bool,
) -> PyResult<(LogColumns, PredictionColumns)> {
    let wanted = Wanted::new(Vec::new(), Vec::new(), &[]);
    let (records, events) = over_payloads(py, &payloads, decode_error::in_logs, |slices| {
        read_records_and_events(slices, &wanted, &names, features)
    })?;
    Ok((LogColumns::of(py, &records)?, PredictionColumns::of(py, events)?))
}

/// See `sidecar.decode.api.NumberCells`.
#[derive(FromPyObject)]
struct NumberColumn {
    name: String,
    edges: Vec<f64>,
    bin_of_cell: Vec<u8>,
    center: f64,
    unit: f64,
    low: f64,
    high: f64,
    positive: bool,
}

/// See `sidecar.decode.api.CategoryCells`.
#[derive(FromPyObject)]
struct CategoryColumn {
    name: String,
    values: Vec<String>,
    numbers: Vec<(f64, u32)>,
    bins: usize,
    complete: bool,
}

#[derive(FromPyObject)]
enum Column {
    Numbers(NumberColumn),
    Categories(CategoryColumn),
}

impl Column {
    /// None where its parts contradict themselves.
    fn read(self) -> Option<(String, Cells)> {
        match self {
            Column::Numbers(column) => {
                let scale = Scale { center: column.center, by_unit: 1.0 / column.unit, positive: column.positive };
                let range = (column.low, column.high);
                let cells = NumberCells::new(&column.edges, column.bin_of_cell, scale, range)?;
                Some((column.name, Cells::Numbers(cells)))
            }
            Column::Categories(column) => {
                let rest = column.values.len() as u32;
                let cells = CategoryCells {
                    values: column.values.into_iter().zip(0..).collect(),
                    numbers: column.numbers,
                    bins: column.bins,
                    complete: column.complete,
                };
                let whole = cells.values.len() as u32 == rest && cells.numbers.iter().all(|(_, cell)| *cell < rest);
                whole.then_some((column.name, Cells::Categories(cells)))
            }
        }
    }
}

/// See `sidecar.decode.api.FeatureCounter`.
#[pyclass(frozen, module = "sidecar_native")]
struct FeatureCounter {
    counter: feature_counter::FeatureCounter,
}

/// See `sidecar.decode.api.FeatureCounts`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct FeatureCounts {
    counts: Py<PyBytes>,
    values: Py<PyBytes>,
    last: Py<PyBytes>,
    others: Py<PyBytes>,
}

/// Feature columns as the adapter has them.
#[derive(FromPyObject)]
struct GivenColumns {
    event: PyBuffer<u32>,
    name: PyBuffer<u32>,
    names: Vec<String>,
    ends: PyBuffer<u32>,
    kind: PyBuffer<u8>,
    number: PyBuffer<f64>,
    texts: Vec<String>,
}

#[pymethods]
impl FeatureCounter {
    #[new]
    fn new(columns: Vec<Column>) -> PyResult<Self> {
        let read = columns.into_iter().map(Column::read).collect::<Option<Vec<_>>>();
        let columns = read.ok_or_else(|| PyValueError::new_err("cells of a column contradict themselves"))?;
        Ok(FeatureCounter { counter: feature_counter::FeatureCounter::new(columns) })
    }

    /// Of the column of numbers in this place.
    fn edges(&self, py: Python<'_>, place: usize) -> PyResult<Py<PyBytes>> {
        let edges = self.counter.edges(place).ok_or_else(|| PyValueError::new_err("no column of numbers"))?;
        f64_bytes(py, &edges)
    }

    /// Columns are copied, so that the interpreter lock need not be held: that takes a fraction of what counting does.
    fn count(&self, py: Python<'_>, columns: GivenColumns, wanted: PyBuffer<u8>) -> PyResult<FeatureCounts> {
        let (kind, number) = (columns.kind.to_vec(py)?, columns.number.to_vec(py)?);
        let wanted = wanted.to_vec(py)?;
        let (names, texts) = (texts_of(&columns.names), texts_of(&columns.texts));
        let found = feature_counter::FeatureColumns {
            blocks: &columns.blocks(py)?.ok_or_else(contradiction)?,
            names: &names,
            kind: &kind,
            number: &number,
            texts: &texts,
            first: 0,
            last: u32::MAX,
        };
        self.counts(py, &found, &wanted)
    }

    /// The same of columns that were decoded here, without a copy.
    fn count_decoded(
        &self,
        py: Python<'_>,
        columns: &Bound<'_, FeatureColumns>,
        first: usize,
        last: usize,
        wanted: PyBuffer<u8>,
    ) -> PyResult<FeatureCounts> {
        let wanted = wanted.to_vec(py)?;
        let (first, last) = columns.get().events_between(first, last)?;
        let features = &columns.get().features;
        let (names, texts) = (features.names(), features.texts());
        let found = feature_counter::FeatureColumns {
            blocks: &features.blocks,
            names: &names,
            kind: &features.kind,
            number: &features.number,
            texts: &texts,
            first,
            last,
        };
        self.counts(py, &found, &wanted)
    }
}

impl GivenColumns {
    /// None where they contradict themselves.
    fn blocks(&self, py: Python<'_>) -> PyResult<Option<Blocks>> {
        let (events, names, ends) = (self.event.to_vec(py)?, self.name.to_vec(py)?, self.ends.to_vec(py)?);
        let mut blocks = Blocks::default();
        let mut begin = 0;
        for ((&event, name), &end) in events.iter().zip(names.chunks(1)).zip(&ends) {
            let Some(rows) = end.checked_sub(begin).filter(|_| event < u32::MAX) else { return Ok(None) };
            blocks.push(event, name, rows, begin as usize);
            begin = end;
        }
        Ok(Some(blocks))
    }
}

impl FeatureCounter {
    fn counts(
        &self,
        py: Python<'_>,
        found: &feature_counter::FeatureColumns<'_>,
        wanted: &[u8],
    ) -> PyResult<FeatureCounts> {
        let counted = py.detach(|| self.counter.count(found, wanted));
        let counts = counted.ok_or_else(contradiction)?;
        Ok(FeatureCounts {
            counts: i64_bytes(py, &counts.counts)?,
            values: u64_bytes(py, &counts.values)?,
            last: i64_bytes(py, &counts.last)?,
            others: u64_bytes(py, &counts.others)?,
        })
    }
}

fn contradiction() -> PyErr {
    PyValueError::new_err("feature columns contradict themselves")
}

fn texts_of(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PredictionColumns>()?;
    module.add_class::<FeatureColumns>()?;
    module.add_class::<FarValues>()?;
    module.add_class::<FeatureCounter>()?;
    module.add_class::<FeatureCounts>()?;
    module.add_function(wrap_pyfunction!(predictions, module)?)?;
    module.add_function(wrap_pyfunction!(logs_and_predictions, module)?)
}
