//! The OTLP request that log lines become.

use std::borrow::Cow;
use std::cell::Cell;

use crate::check::Check;
use crate::encode::{open, push_bytes, push_fixed32, push_fixed64, push_pair, push_text_value, push_uint};
use crate::json::Json;
use crate::json_log::Line;

/// Memory of the last request that a thread wrote, kept up to this size: fresh pages cost more than the writing.
const KEPT_BYTES: usize = 8 << 20;

thread_local! {
    static RECORDS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A request in pieces: what opens each run of lines of one service, and the records of all runs.
pub struct Payload {
    records: Vec<u8>,
    /// Bytes that open a run, and where the run's records begin.
    runs: Vec<(Vec<u8>, usize)>,
}

impl Payload {
    pub fn len(&self) -> usize {
        self.records.len() + self.runs.iter().map(|(opening, _)| opening.len()).sum::<usize>()
    }

    /// Puts the pieces together; `out` has the payload's length.
    pub fn write(&self, out: &mut [u8]) {
        let mut rest = out;
        for (index, (opening, begin)) in self.runs.iter().enumerate() {
            let end = self.runs.get(index + 1).map_or(self.records.len(), |(_, begin)| *begin);
            for piece in [&opening[..], &self.records[*begin..end]] {
                let (place, behind) = rest.split_at_mut(piece.len());
                place.copy_from_slice(piece);
                rest = behind;
            }
        }
    }

    /// Gives the memory to the thread's next call.
    pub fn recycle(self) {
        let mut records = self.records;
        records.clear();
        records.shrink_to(KEPT_BYTES);
        RECORDS.set(records);
    }
}

/// Writes the request: one resource for each run of lines of one service.
pub struct Request {
    payload: Payload,
    record: Vec<u8>,
    service: Option<String>,
    begin: usize,
    observed: u64,
    items: usize,
    without_time: usize,
}

impl Request {
    pub fn new(observed: u64) -> Self {
        Request {
            payload: Payload { records: RECORDS.take(), runs: Vec::new() },
            record: Vec::new(),
            service: None,
            begin: 0,
            observed,
            items: 0,
            without_time: 0,
        }
    }

    pub fn add(&mut self, line: &Line<'_>) {
        if self.service.as_deref() != Some(&line.service) {
            self.end_run();
            self.service = Some(line.service.clone().into_owned());
        }
        self.items += 1;
        self.without_time += usize::from(line.time == 0);
        self.record.clear();
        push_record(&mut self.record, line, self.observed);
        push_bytes(&mut self.payload.records, 2, &self.record);
    }

    fn end_run(&mut self) {
        let Some(service) = &self.service else { return };
        let records = self.payload.records.len() - self.begin;
        let mut inner = Vec::new();
        if !service.is_empty() {
            let mut resource = Vec::new();
            push_pair(&mut resource, 1, "service.name", &Json::Text(Cow::Borrowed(service)));
            push_bytes(&mut inner, 1, &resource);
        }
        open(&mut inner, 2, records);
        let mut opening = Vec::new();
        open(&mut opening, 1, inner.len() + records);
        opening.extend_from_slice(&inner);
        self.payload.runs.push((opening, self.begin));
        self.begin = self.payload.records.len();
    }

    pub fn finish(mut self) -> (Payload, Check) {
        self.end_run();
        let timed = self.items > 0 && self.without_time == 0;
        (self.payload, Check { items: self.items, events: 0, rejected: 0, errors: Vec::new(), timed })
    }
}

/// The fields of a LogRecord in the order of their numbers, absent ones left out.
fn push_record(out: &mut Vec<u8>, line: &Line<'_>, observed: u64) {
    if line.time != 0 {
        push_fixed64(out, 1, line.time);
    }
    if line.severity_number != 0 {
        push_uint(out, 2, u64::from(line.severity_number));
    }
    if !line.severity_text.is_empty() {
        push_bytes(out, 3, line.severity_text.as_bytes());
    }
    if let Some(body) = &line.body {
        push_text_value(out, 5, body);
    }
    for (key, value) in line.attributes() {
        push_pair(out, 6, key, value);
    }
    if line.flags != 0 {
        push_fixed32(out, 8, u32::from(line.flags));
    }
    if let Some(id) = &line.trace_id {
        push_bytes(out, 9, id);
    }
    if let Some(id) = &line.span_id {
        push_bytes(out, 10, id);
    }
    push_fixed64(out, 11, observed);
}
