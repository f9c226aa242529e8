//! The OTLP request that log lines become.

use std::borrow::Cow;
use std::cell::Cell;

use crate::logs::json_record::Line;
use crate::otlp::check::{self, Check};
use crate::otlp::encode::{
    open, push_bytes, push_fixed32, push_fixed64, push_message, push_pair, push_text_pair, push_text_value, push_uint,
};
use crate::otlp::limits::MAX_EXPANDED_BYTES;
use crate::otlp::log::Log;
use crate::otlp::tags::{log_record, logs_request, resource, resource_logs, scope_logs};

/// Memory of the last request that a thread wrote, kept up to this size: fresh pages cost more than the writing.
const KEPT_BYTES: usize = 8 << 20;

thread_local! {
    static RECORDS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A request in pieces: what opens each run of lines of one service, and the records of all runs.
pub struct Payload {
    openings: Vec<u8>,
    records: Vec<u8>,
    /// Where the opening and the records of each run end.
    runs: Vec<(usize, usize)>,
}

impl Payload {
    pub fn len(&self) -> usize {
        self.openings.len() + self.records.len()
    }

    /// Puts the pieces together; `out` has the payload's length.
    pub fn write(&self, out: &mut [u8]) {
        let mut rest = out;
        let (mut opening, mut record) = (0, 0);
        for &(opening_end, record_end) in &self.runs {
            for piece in [&self.openings[opening..opening_end], &self.records[record..record_end]] {
                let (place, behind) = rest.split_at_mut(piece.len());
                place.copy_from_slice(piece);
                rest = behind;
            }
            (opening, record) = (opening_end, record_end);
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
pub struct Request<'a> {
    payload: Payload,
    resource: Vec<u8>,
    /// The attribute of a resource that names its service.
    pair: Vec<u8>,
    service: Option<Cow<'a, str>>,
    /// Content of the Resource of lines that name no service.
    anonymous: &'a [u8],
    begin: usize,
    observed: u64,
    items: usize,
    /// Items before the run at hand.
    items_before: usize,
    /// At least what the check counts towards MAX_EXPANDED_BYTES, without the run at hand.
    expanded: usize,
    without_time: usize,
}

impl<'a> Request<'a> {
    pub fn new(observed: u64, anonymous: &'a [u8]) -> Self {
        Request {
            payload: Payload { openings: Vec::new(), records: RECORDS.take(), runs: Vec::new() },
            resource: Vec::new(),
            pair: Vec::new(),
            service: None,
            anonymous,
            begin: 0,
            observed,
            items: 0,
            items_before: 0,
            expanded: 0,
            without_time: 0,
        }
    }

    pub fn add(&mut self, line: &Line<'a>) {
        if self.service.as_ref() != Some(&line.service) {
            self.end_run();
            self.service = Some(line.service.clone());
        }
        self.items += 1;
        self.without_time += usize::from(line.time == 0);
        let observed = self.observed;
        push_message(&mut self.payload.records, scope_logs::LOG_RECORDS, |out| push_record(out, line, observed));
    }

    fn end_run(&mut self) {
        let Some(service) = &self.service else { return };
        let Payload { openings, records, runs } = &mut self.payload;
        let length = records.len() - self.begin;
        self.resource.clear();
        if !service.is_empty() {
            self.pair.clear();
            push_text_pair(&mut self.pair, resource::ATTRIBUTES, "service.name", service);
            push_bytes(&mut self.resource, resource_logs::RESOURCE, &self.pair);
        } else if !self.anonymous.is_empty() {
            push_bytes(&mut self.resource, resource_logs::RESOURCE, self.anonymous);
        }
        let shared = self.resource.len().saturating_mul(self.items - self.items_before);
        self.expanded = self.expanded.saturating_add(shared).saturating_add(length);
        self.items_before = self.items;
        open(&mut self.resource, resource_logs::SCOPE_LOGS, length);
        open(openings, logs_request::RESOURCE_LOGS, self.resource.len() + length);
        openings.extend_from_slice(&self.resource);
        runs.push((openings.len(), records.len()));
        self.begin = records.len();
    }

    pub fn finish(mut self) -> (Payload, Check) {
        self.end_run();
        let timed = self.items > 0 && self.without_time == 0;
        let all = Check { items: self.items, events: 0, rejected: 0, errors: Vec::new(), timed, suspect: false };
        if self.expanded <= MAX_EXPANDED_BYTES {
            return (self.payload, all);
        }
        let mut whole = vec![0; self.payload.len()];
        self.payload.write(&mut whole);
        let checked = check::check::<Log>(&whole, check::LOGS).map(|check| Check { timed, ..check });
        (self.payload, checked.unwrap_or(all))
    }
}

/// The fields of a LogRecord in the order of their numbers, absent ones left out.
fn push_record(out: &mut Vec<u8>, line: &Line<'_>, observed: u64) {
    if line.time != 0 {
        push_fixed64(out, log_record::TIME_UNIX_NANO, line.time);
    }
    if line.severity_number != 0 {
        push_uint(out, log_record::SEVERITY_NUMBER, u64::from(line.severity_number));
    }
    if !line.severity_text.is_empty() {
        push_bytes(out, log_record::SEVERITY_TEXT, line.severity_text.as_bytes());
    }
    if let Some(body) = &line.body {
        push_text_value(out, log_record::BODY, body);
    }
    for (key, value) in line.attributes() {
        push_pair(out, log_record::ATTRIBUTES, key, value);
    }
    if line.flags != 0 {
        push_fixed32(out, log_record::FLAGS, u32::from(line.flags));
    }
    if let Some(id) = &line.trace_id {
        push_bytes(out, log_record::TRACE_ID, id);
    }
    if let Some(id) = &line.span_id {
        push_bytes(out, log_record::SPAN_ID, id);
    }
    push_fixed64(out, log_record::OBSERVED_TIME_UNIX_NANO, observed);
}
