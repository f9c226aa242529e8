//! A log record as it stands in the payload.

use crate::otlp::rejection::{self, Reason, Rejection};
use crate::otlp::request::Record;
use crate::otlp::span::enum_value;
use crate::otlp::tags::{key_byte, log_record};
use crate::otlp::value::{any, Any, Attributes, Notes};
use crate::otlp::wire::{Broken, Reader, Value, Wire};

const ATTRIBUTE: u8 = key_byte(log_record::ATTRIBUTES, Wire::Len);

pub struct Log<'a> {
    pub time: u64,
    pub observed: u64,
    pub severity_number: u8,
    pub severity_text: &'a [u8],
    pub body: Any<'a>,
    body_notes: Notes,
    bodies: u32,
    pub attributes: Attributes<'a>,
    pub dropped_attributes: u32,
    pub flags: u32,
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub event_name: &'a [u8],
}

impl Default for Log<'_> {
    fn default() -> Self {
        Log {
            time: 0,
            observed: 0,
            severity_number: 0,
            severity_text: b"",
            body: Any::Empty,
            body_notes: Notes::default(),
            bodies: 0,
            attributes: Attributes::default(),
            dropped_attributes: 0,
            flags: 0,
            trace_id: b"",
            span_id: b"",
            event_name: b"",
        }
    }
}

impl<'a> Record<'a> for Log<'a> {
    const LIST: &'static str = "log_records";

    #[inline(always)]
    fn read(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Log { attributes, ..Log::default() };
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (log_record::TIME_UNIX_NANO, Value::Fixed64(time)) => self.time = time,
                (log_record::SEVERITY_NUMBER, Value::Varint(number)) => self.severity_number = enum_value(number, 25),
                (log_record::SEVERITY_TEXT, Value::Bytes(text)) => self.severity_text = text,
                (log_record::BODY, Value::Bytes(message)) => {
                    (self.body, self.body_notes) = any(message, 1)?;
                    self.bodies += 1;
                }
                (log_record::ATTRIBUTES, Value::Bytes(message)) => {
                    self.attributes.read_all(message, ATTRIBUTE, &mut reader)?;
                }
                (log_record::DROPPED_ATTRIBUTES_COUNT, Value::Varint(count)) => self.dropped_attributes = count as u32,
                (log_record::FLAGS, Value::Fixed32(flags)) => self.flags = flags,
                (log_record::TRACE_ID, Value::Bytes(id)) => self.trace_id = id,
                (log_record::SPAN_ID, Value::Bytes(id)) => self.span_id = id,
                (log_record::OBSERVED_TIME_UNIX_NANO, Value::Fixed64(time)) => self.observed = time,
                (log_record::EVENT_NAME, Value::Bytes(name)) => self.event_name = name,
                _ => {}
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn rejection(&self) -> Option<Rejection> {
        rejection::optional_id(self.trace_id, 16, "trace_id")
            .or_else(|| rejection::optional_id(self.span_id, 8, "span_id"))
            .or_else(|| rejection::time(self.time, "time_unix_nano"))
            .or_else(|| rejection::time(self.observed, "observed_time_unix_nano"))
            .or_else(|| rejection::attributes(&self.attributes))
            .or_else(|| self.body_notes.too_deep.then_some(Reason::TooDeep { field: "body" }))
            .map(Rejection::from)
    }

    fn is_suspect(&self) -> bool {
        self.attributes.notes.repeated
            || self.body_notes.repeated
            || self.bodies > 1
            || self.time() == 0
            || rejection::is_odd_time(self.time)
            || rejection::is_odd_time(self.observed)
    }

    /// Time, else observed time, else 0.
    fn time(&self) -> u64 {
        if self.time != 0 {
            self.time
        } else {
            self.observed
        }
    }

    fn events(&self) -> usize {
        0
    }
}
