//! A span, its events and links, as they stand in the payload.

use crate::otlp::rejection::{self, Rejection};
use crate::otlp::request::Record;
use crate::otlp::tags::{event, key_byte, link, span, status};
use crate::otlp::value::Attributes;
use crate::otlp::wire::{Broken, Reader, Value, Wire};

const ATTRIBUTE: u8 = key_byte(span::ATTRIBUTES, Wire::Len);

#[derive(Default)]
pub struct Event<'a> {
    pub time: u64,
    pub name: &'a [u8],
    pub attributes: Attributes<'a>,
    pub dropped_attributes: u32,
}

#[derive(Default)]
pub struct Link<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub attributes: Attributes<'a>,
    pub dropped_attributes: u32,
    pub flags: u32,
}

#[derive(Default)]
pub struct Span<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub parent: &'a [u8],
    pub name: &'a [u8],
    pub kind: u8,
    pub start: u64,
    pub end: u64,
    pub attributes: Attributes<'a>,
    pub dropped_attributes: u32,
    /// The messages of the events and links, each of which was read once and is well-formed.
    pub events: Vec<&'a [u8]>,
    pub dropped_events: u32,
    pub links: Vec<&'a [u8]>,
    pub dropped_links: u32,
    pub status_code: u8,
    pub status_message: &'a [u8],
    pub flags: u32,
    /// Something in it may be in need of repair.
    suspect: bool,
    statuses: u32,
    refused_event: Option<Rejection>,
    refused_link: Option<Rejection>,
    event: Event<'a>,
    link: Link<'a>,
}

/// An enum's value (32 bit on the wire); 0 where the enum has no such value.
#[inline(always)]
pub fn enum_value(value: u64, values: u32) -> u8 {
    let value = value as u32;
    if value < values {
        value as u8
    } else {
        0
    }
}

impl<'a> Event<'a> {
    /// Reads an event over the one before, whose memory it keeps.
    #[inline]
    pub fn read(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.time = 0;
        self.name = b"";
        self.attributes.clear();
        self.dropped_attributes = 0;
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (event::TIME_UNIX_NANO, Value::Fixed64(time)) => self.time = time,
                (event::NAME, Value::Bytes(name)) => self.name = name,
                (event::ATTRIBUTES, Value::Bytes(message)) => self.attributes.read(message)?,
                (event::DROPPED_ATTRIBUTES_COUNT, Value::Varint(count)) => self.dropped_attributes = count as u32,
                _ => {}
            }
        }
        Ok(())
    }

    fn rejection(&self, index: usize) -> Option<Rejection> {
        let reason =
            rejection::time(self.time, "time_unix_nano").or_else(|| rejection::attributes(&self.attributes))?;
        Some(Rejection { part: Some(("events", index)), reason })
    }
}

impl<'a> Link<'a> {
    /// Reads a link over the one before, whose memory it keeps.
    #[inline]
    pub fn read(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.trace_id = b"";
        self.span_id = b"";
        self.trace_state = b"";
        self.attributes.clear();
        self.dropped_attributes = 0;
        self.flags = 0;
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (link::TRACE_ID, Value::Bytes(id)) => self.trace_id = id,
                (link::SPAN_ID, Value::Bytes(id)) => self.span_id = id,
                (link::TRACE_STATE, Value::Bytes(state)) => self.trace_state = state,
                (link::ATTRIBUTES, Value::Bytes(message)) => self.attributes.read(message)?,
                (link::DROPPED_ATTRIBUTES_COUNT, Value::Varint(count)) => self.dropped_attributes = count as u32,
                (link::FLAGS, Value::Fixed32(flags)) => self.flags = flags,
                _ => {}
            }
        }
        Ok(())
    }

    fn rejection(&self, index: usize) -> Option<Rejection> {
        let reason = rejection::sized_id(self.trace_id, 16, "trace_id")
            .or_else(|| rejection::sized_id(self.span_id, 8, "span_id"))
            .or_else(|| rejection::attributes(&self.attributes))?;
        Some(Rejection { part: Some(("links", index)), reason })
    }
}

impl<'a> Span<'a> {
    /// Nanoseconds; 0 where the end lies before the start, or there is no start.
    #[inline]
    pub fn duration(&self) -> u64 {
        if self.start == 0 {
            0
        } else {
            self.end.saturating_sub(self.start)
        }
    }

    /// When it began, else when it ended.
    #[inline]
    pub fn known_time(&self) -> u64 {
        if self.start == 0 {
            self.end
        } else {
            self.start
        }
    }

    #[inline(always)]
    fn clear(&mut self) {
        self.trace_id = b"";
        self.span_id = b"";
        self.trace_state = b"";
        self.parent = b"";
        self.name = b"";
        self.kind = 0;
        self.start = 0;
        self.end = 0;
        self.attributes.clear();
        self.dropped_attributes = 0;
        self.events.clear();
        self.dropped_events = 0;
        self.links.clear();
        self.dropped_links = 0;
        self.status_code = 0;
        self.status_message = b"";
        self.flags = 0;
        self.suspect = false;
        self.statuses = 0;
        self.refused_event = None;
        self.refused_link = None;
    }

    #[inline(never)]
    fn read_event(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.event.read(message)?;
        self.suspect |=
            self.event.attributes.notes.repeated || self.event.time == 0 || rejection::is_odd_time(self.event.time);
        if self.refused_event.is_none() {
            self.refused_event = self.event.rejection(self.events.len());
        }
        self.events.push(message);
        Ok(())
    }

    #[inline(never)]
    fn read_link(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.link.read(message)?;
        self.suspect |= self.link.attributes.notes.repeated
            || rejection::required_id::<16>(self.link.trace_id, "trace_id").is_some()
            || rejection::required_id::<8>(self.link.span_id, "span_id").is_some();
        if self.refused_link.is_none() {
            self.refused_link = self.link.rejection(self.links.len());
        }
        self.links.push(message);
        Ok(())
    }

    fn read_status(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.status_code = 0;
        self.status_message = b"";
        self.statuses += 1;
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (status::MESSAGE, Value::Bytes(text)) => self.status_message = text,
                (status::CODE, Value::Varint(code)) => self.status_code = enum_value(code, 3),
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Record<'a> for Span<'a> {
    const LIST: &'static str = "spans";

    #[inline(always)]
    fn read(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.clear();
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (span::TRACE_ID, Value::Bytes(id)) => self.trace_id = id,
                (span::SPAN_ID, Value::Bytes(id)) => self.span_id = id,
                (span::TRACE_STATE, Value::Bytes(state)) => self.trace_state = state,
                (span::PARENT_SPAN_ID, Value::Bytes(id)) => self.parent = id,
                (span::NAME, Value::Bytes(name)) => self.name = name,
                (span::KIND, Value::Varint(kind)) => self.kind = enum_value(kind, 6),
                (span::START_TIME_UNIX_NANO, Value::Fixed64(time)) => self.start = time,
                (span::END_TIME_UNIX_NANO, Value::Fixed64(time)) => self.end = time,
                (span::ATTRIBUTES, Value::Bytes(message)) => {
                    self.attributes.read_all(message, ATTRIBUTE, &mut reader)?
                }
                (span::DROPPED_ATTRIBUTES_COUNT, Value::Varint(count)) => self.dropped_attributes = count as u32,
                (span::EVENTS, Value::Bytes(message)) => self.read_event(message)?,
                (span::DROPPED_EVENTS_COUNT, Value::Varint(count)) => self.dropped_events = count as u32,
                (span::LINKS, Value::Bytes(message)) => self.read_link(message)?,
                (span::DROPPED_LINKS_COUNT, Value::Varint(count)) => self.dropped_links = count as u32,
                (span::STATUS, Value::Bytes(message)) => self.read_status(message)?,
                (span::FLAGS, Value::Fixed32(flags)) => self.flags = flags,
                _ => {}
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn rejection(&self) -> Option<Rejection> {
        rejection::required_id::<16>(self.trace_id, "trace_id")
            .or_else(|| rejection::required_id::<8>(self.span_id, "span_id"))
            .or_else(|| rejection::optional_id(self.parent, 8, "parent_span_id"))
            .or_else(|| rejection::time(self.start, "start_time_unix_nano"))
            .or_else(|| rejection::time(self.end, "end_time_unix_nano"))
            .or_else(|| rejection::attributes(&self.attributes))
            .map(Rejection::from)
            .or(self.refused_event)
            .or(self.refused_link)
    }

    fn is_suspect(&self) -> bool {
        self.suspect
            || self.attributes.notes.repeated
            || self.statuses > 1
            || self.known_time() == 0
            || rejection::is_odd_time(self.start)
            || rejection::is_odd_time(self.end)
    }

    fn time(&self) -> u64 {
        self.start
    }

    fn events(&self) -> usize {
        self.events.len()
    }
}
