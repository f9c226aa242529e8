//! Accepted records as Elasticsearch documents, in `_bulk` line pairs. The shape is described in the reference decoder.

use crate::documents::document_header::Stream;
use crate::documents::hex::{hex, push_hex};
use crate::documents::json_members::Members;
use crate::documents::lines::Lines;
use crate::documents::text::{push_int, push_json};
use crate::logs::severity::{shown, LONGEST};
use crate::otlp::label;
use crate::otlp::log::Log;
use crate::otlp::recent::Recent;
use crate::otlp::rejection::Rejection;
use crate::otlp::request::{walk, Record, RecordIndex, Resource, Scope, Scopes, Visitor};
use crate::otlp::span::{Event, Link, Span};
use crate::otlp::value::{elements, same, Any, Attribute};
use crate::otlp::wire::Stop;

pub const KINDS: [&str; 6] = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
pub const STATUSES: [&str; 3] = ["Unset", "Ok", "Error"];

/// What the documents of one scope have in common.
#[derive(Default)]
struct Shared<'a> {
    /// Messages and schema URLs of resource and scope, from which all the rest comes.
    key: [&'a [u8]; 4],
    /// The attributes of scope and resource, which may name the data stream.
    scope: Vec<Attribute<'a>>,
    resource: Vec<Attribute<'a>>,
    spans: Stream,
    logs: Stream,
    /// `,"resource":{...},"scope":{...}`
    tail: Vec<u8>,
}

/// Writes the documents of one request after the other.
struct Writer<'a> {
    lines: Lines,
    members: Members<'a>,
    shared: Recent<Shared<'a>>,
    /// The place in `shared` of the scope whose records are written.
    scope: usize,
    resource_refused: bool,
    event: Event<'a>,
    link: Link<'a>,
    /// `"PREFIX-`, and the next ordinal, of the ids of log records.
    prefix: Vec<u8>,
    ordinal: usize,
    /// The ordinals to write instead, where they are given.
    given: Option<&'a [u32]>,
    only: Only<'a>,
}

/// Ids of the traces whose records are written; of all where there are none.
#[derive(Clone, Copy)]
pub struct Only<'a>(pub &'a [[u8; 16]]);

impl Only<'_> {
    #[inline(always)]
    fn has(self, trace_id: &[u8]) -> bool {
        self.0.is_empty() || self.0.iter().any(|id| id == trace_id)
    }
}

/// Why there are no documents, with the index of the payload.
pub enum Failure {
    Malformed(usize),
    /// Other ordinals were given than there are records.
    Ordinals(usize),
}

/// The documents of the accepted spans, each followed by those of its events; an error has the index of the payload
/// that is malformed.
pub fn span_lines(payloads: &[&[u8]], only: Only<'_>) -> Result<Lines, usize> {
    let mut writer = Writer::new(only);
    for (index, payload) in payloads.iter().enumerate() {
        writer.write_payload::<Span>(payload).map_err(|_| index)?;
        writer.end_payload();
    }
    Ok(writer.lines)
}

/// The documents of the accepted log records; ids are prefix, `-`, ordinal.
pub fn log_lines(
    payloads: &[&[u8]],
    id_prefixes: &[String],
    ordinals: &[Option<Vec<u32>>],
    only: Only<'_>,
) -> Result<Lines, Failure> {
    let mut writer = Writer::new(only);
    for (index, (payload, prefix)) in payloads.iter().zip(id_prefixes).enumerate() {
        writer.begin_ids(prefix);
        writer.given = ordinals.get(index).and_then(Option::as_deref);
        writer.write_payload::<Log>(payload).map_err(|_| Failure::Malformed(index))?;
        if writer.given.is_some_and(|given| given.len() != writer.ordinal) {
            return Err(Failure::Ordinals(index));
        }
        writer.end_payload();
    }
    Ok(writer.lines)
}

impl<'a> Writer<'a> {
    fn new(only: Only<'a>) -> Self {
        Writer {
            lines: Lines::new(),
            members: Members::default(),
            shared: Recent::default(),
            scope: 0,
            resource_refused: false,
            event: Event::default(),
            link: Link::default(),
            prefix: Vec::new(),
            ordinal: 0,
            given: None,
            only,
        }
    }

    fn begin_ids(&mut self, prefix: &str) {
        self.prefix.clear();
        push_json(&mut self.prefix, prefix.as_bytes());
        self.prefix.pop();
        self.prefix.push(b'-');
        self.ordinal = 0;
    }

    fn write_payload<R: Record<'a>>(&mut self, payload: &'a [u8]) -> Result<(), Stop>
    where
        Self: Visitor<'a, R>,
    {
        let documents = self.lines.ends.len();
        match walk::<R, _>(payload, Scopes::Ahead, self) {
            Err(Stop::LateScope) => {
                self.lines.truncate(documents);
                self.ordinal = 0;
                walk::<R, _>(payload, Scopes::Whole, self)
            }
            other => other,
        }
    }

    fn end_payload(&mut self) {
        let before: usize = self.lines.docs.iter().sum();
        self.lines.docs.push(self.lines.ends.len() - before);
    }

    fn end_document(&mut self, event: bool) {
        self.lines.body.extend_from_slice(b"}\n");
        self.lines.ends.push(self.lines.body.len() as u32);
        self.lines.event.push(u8::from(event));
    }

    fn begin_scope(&mut self, resource: &Resource<'a>, scope: &Scope<'a>) {
        let key = [resource.raw, scope.raw, resource.schema_url, scope.schema_url];
        if let Some(known) = self.shared.find(|shared| shared.key.iter().zip(key).all(|(a, b)| same(a, b))) {
            self.scope = known;
            return;
        }
        self.scope = self.shared.room();
        let shared = &mut self.shared[self.scope];
        shared.key = key;
        shared.scope.clone_from(&scope.attributes.list);
        shared.resource.clone_from(&resource.attributes.list);
        let sources = [&shared.scope[..], &shared.resource[..]];
        shared.spans.name("traces", &sources);
        shared.logs.name("logs", &sources);
        let out = &mut shared.tail;
        out.clear();
        out.extend_from_slice(b",\"resource\":{");
        push_text(out, "schema_url", resource.schema_url);
        self.members.push_attributes(out, &resource.attributes.list, None);
        push_count(out, "dropped_attributes_count", resource.dropped_attributes);
        out.extend_from_slice(b"},\"scope\":{");
        push_text(out, "schema_url", scope.schema_url);
        push_text(out, "name", scope.name);
        push_text(out, "version", scope.version);
        self.members.push_attributes(out, &scope.attributes.list, None);
        push_count(out, "dropped_attributes_count", scope.dropped_attributes);
        out.push(b'}');
    }

    #[inline(always)]
    fn write_span(&mut self, span: &Span<'a>) {
        let shared = &self.shared[self.scope];
        let own = shared.own_stream("traces", &span.attributes.list);
        let stream = own.as_ref().unwrap_or(&shared.spans);
        let ids = Ids::new(span);
        let out = &mut self.lines.body;
        out.extend_from_slice(&stream.action);
        out.push(b'"');
        out.extend_from_slice(&ids.both);
        out.extend_from_slice(&[b'0' + span.kind]);
        out.extend_from_slice(b"\"}}\n{\"@timestamp\":");
        push_time(out, span.known_time());
        out.extend_from_slice(&stream.member);
        ids.push(out);
        push_text(out, "trace_state", span.trace_state);
        push_id(out, "parent_span_id", span.parent);
        push_text(out, "name", span.name);
        out.extend_from_slice(b",\"kind\":\"");
        out.extend_from_slice(KINDS[span.kind as usize].as_bytes());
        out.extend_from_slice(b"\",\"duration\":");
        push_int(out, span.duration());
        self.members.push_attributes(out, &span.attributes.list, None);
        push_count(out, "dropped_attributes_count", span.dropped_attributes);
        push_count(out, "dropped_events_count", span.dropped_events);
        if !span.links.is_empty() {
            push_links(out, &mut self.members, &mut self.link, &span.links);
        }
        push_count(out, "dropped_links_count", span.dropped_links);
        out.extend_from_slice(b",\"status\":{");
        push_text(out, "message", span.status_message);
        push_key(out, "code");
        out.push(b'"');
        out.extend_from_slice(STATUSES[span.status_code as usize].as_bytes());
        out.extend_from_slice(b"\"}");
        out.extend_from_slice(&shared.tail);
        self.end_document(false);
        for (ordinal, message) in span.events.iter().enumerate() {
            self.write_event(span.kind, &ids, ordinal, message);
        }
    }

    #[inline(never)]
    fn write_event(&mut self, kind: u8, ids: &Ids, ordinal: usize, message: &'a [u8]) {
        // The message was read when the span was, so that no error is left to meet.
        if self.event.read(message).is_err() {
            return;
        }
        let event = &self.event;
        let shared = &self.shared[self.scope];
        let own = shared.own_stream("logs", &event.attributes.list);
        let stream = own.as_ref().unwrap_or(&shared.logs);
        let out = &mut self.lines.body;
        out.extend_from_slice(&stream.action);
        out.push(b'"');
        out.extend_from_slice(&ids.both);
        out.extend_from_slice(&[b'0' + kind, b'e']);
        push_int(out, ordinal);
        out.extend_from_slice(b"\"}}\n{\"@timestamp\":");
        push_time(out, event.time);
        out.extend_from_slice(&stream.member);
        ids.push(out);
        push_count(out, "dropped_attributes_count", event.dropped_attributes);
        push_text(out, "event_name", event.name);
        self.members.push_attributes(out, &event.attributes.list, Some(event.name));
        out.extend_from_slice(&shared.tail);
        self.end_document(true);
    }

    #[inline(always)]
    fn write_log(&mut self, log: &Log<'a>) {
        let shared = &self.shared[self.scope];
        let own = shared.own_stream("logs", &log.attributes.list);
        let stream = own.as_ref().unwrap_or(&shared.logs);
        let out = &mut self.lines.body;
        out.extend_from_slice(&stream.action);
        out.extend_from_slice(&self.prefix);
        match self.given.and_then(|given| given.get(self.ordinal)) {
            Some(&ordinal) => push_int(out, ordinal),
            None => push_int(out, self.ordinal),
        }
        out.extend_from_slice(b"\"}}\n{\"@timestamp\":");
        push_time(out, log.time());
        if log.observed != 0 {
            out.extend_from_slice(b",\"observed_timestamp\":");
            push_time(out, log.observed);
        }
        out.extend_from_slice(&stream.member);
        push_text(out, "severity_text", shown(log.severity_text, &mut [0; LONGEST]));
        push_count(out, "severity_number", u32::from(log.severity_number));
        push_id(out, "trace_id", log.trace_id);
        push_id(out, "span_id", log.span_id);
        self.members.push_attributes(out, &log.attributes.list, None);
        push_count(out, "dropped_attributes_count", log.dropped_attributes);
        push_text(out, "event_name", event_name(log));
        out.extend_from_slice(&shared.tail);
        push_body(out, &mut self.members, log.body);
        self.end_document(false);
    }
}

impl<'a> Visitor<'a, Span<'a>> for Writer<'a> {
    fn resource(&mut self, _: &Resource<'a>, rejection: Option<Rejection>) {
        self.resource_refused = rejection.is_some();
    }

    fn scope(&mut self, resource: &Resource<'a>, scope: &Scope<'a>, rejection: Option<Rejection>) {
        if !self.resource_refused && rejection.is_none() {
            self.begin_scope(resource, scope);
        }
    }

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, span: &Span<'a>) {
        if self.only.has(span.trace_id) {
            self.write_span(span);
        }
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {}
}

impl<'a> Visitor<'a, Log<'a>> for Writer<'a> {
    fn resource(&mut self, _: &Resource<'a>, rejection: Option<Rejection>) {
        self.resource_refused = rejection.is_some();
    }

    fn scope(&mut self, resource: &Resource<'a>, scope: &Scope<'a>, rejection: Option<Rejection>) {
        if !self.resource_refused && rejection.is_none() {
            self.begin_scope(resource, scope);
        }
    }

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, log: &Log<'a>) {
        if self.only.has(log.trace_id) {
            self.write_log(log);
        }
        self.ordinal += 1;
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {}
}

impl<'a> Shared<'a> {
    /// The data stream of a record whose own attributes name it.
    #[inline(always)]
    fn own_stream(&self, kind: &str, attributes: &[Attribute<'a>]) -> Option<Stream> {
        if !Stream::is_named_by(attributes) {
            return None;
        }
        let mut stream = Stream::default();
        stream.name(kind, &[attributes, &self.scope, &self.resource]);
        Some(stream)
    }
}

/// The ids of a span in hex, side by side.
struct Ids {
    both: [u8; 48],
}

impl Ids {
    fn new(span: &Span<'_>) -> Self {
        let mut raw = [0; 24];
        // Accepted spans have ids of these lengths.
        if let (Ok(trace_id), Ok(span_id)) = (<&[u8; 16]>::try_from(span.trace_id), <&[u8; 8]>::try_from(span.span_id))
        {
            raw[..16].copy_from_slice(trace_id);
            raw[16..].copy_from_slice(span_id);
        }
        Ids { both: hex(&raw) }
    }

    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"trace_id\":\"");
        out.extend_from_slice(&self.both[..32]);
        out.extend_from_slice(b"\",\"span_id\":\"");
        out.extend_from_slice(&self.both[32..]);
        out.push(b'"');
    }
}

/// The key of the next member of an object that was opened.
#[inline(always)]
fn push_key(out: &mut Vec<u8>, key: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A text member, left out where it is empty.
#[inline(always)]
fn push_text(out: &mut Vec<u8>, key: &str, text: &[u8]) {
    if !text.is_empty() {
        push_key(out, key);
        push_json(out, text);
    }
}

/// A number, left out where it is 0.
#[inline(always)]
fn push_count(out: &mut Vec<u8>, key: &str, count: u32) {
    if count != 0 {
        push_key(out, key);
        push_int(out, count);
    }
}

/// Hex, left out where there is none or only zeros.
#[inline(always)]
fn push_id(out: &mut Vec<u8>, key: &str, id: &[u8]) {
    if id.iter().all(|&byte| byte == 0) {
        return;
    }
    push_key(out, key);
    out.push(b'"');
    push_hex(out, id);
    out.push(b'"');
}

/// Milliseconds and, behind the point, the six digits below them.
#[inline(always)]
fn push_time(out: &mut Vec<u8>, nanoseconds: u64) {
    out.push(b'"');
    push_int(out, nanoseconds / 1_000_000);
    let mut below = (nanoseconds % 1_000_000) as u32;
    let mut digits = *b".000000\"";
    for digit in digits[1..7].iter_mut().rev() {
        *digit = b'0' + (below % 10) as u8;
        below /= 10;
    }
    out.extend_from_slice(&digits);
}

fn push_links<'a>(out: &mut Vec<u8>, members: &mut Members<'a>, link: &mut Link<'a>, links: &[&'a [u8]]) {
    push_key(out, "links");
    out.push(b'[');
    for (index, message) in links.iter().enumerate() {
        // The message was read when the span was, so that no error is left to meet.
        if link.read(message).is_err() {
            continue;
        }
        if index > 0 {
            out.push(b',');
        }
        out.push(b'{');
        push_id(out, "trace_id", link.trace_id);
        push_id(out, "span_id", link.span_id);
        push_text(out, "trace_state", link.trace_state);
        members.push_attributes(out, &link.attributes.list, None);
        push_count(out, "dropped_attributes_count", link.dropped_attributes);
        out.push(b'}');
    }
    out.push(b']');
}

/// The record's event name, or the text attribute that older clients put it in.
pub fn event_name<'a>(log: &Log<'a>) -> &'a [u8] {
    if !log.event_name.is_empty() {
        return log.event_name;
    }
    match log.attributes.list.iter().find(|attribute| attribute.key == b"event.name") {
        Some(Attribute { value: Any::Text(name), .. }) => name,
        _ => b"",
    }
}

fn push_body<'a>(out: &mut Vec<u8>, members: &mut Members<'a>, body: Any<'a>) {
    match body {
        Any::Empty => return,
        Any::Map(_) => {
            out.extend_from_slice(b",\"body\":{\"structured\":");
            members.push_value(out, body);
        }
        Any::Array(list) if elements(list).all(|element| matches!(element, Any::Map(_))) => {
            out.extend_from_slice(b",\"body\":{\"structured\":");
            members.push_value(out, body);
        }
        Any::Array(_) => {
            out.extend_from_slice(b",\"body\":{\"structured\":{\"value\":");
            members.push_value(out, body);
            out.push(b'}');
        }
        Any::Bytes(_) => {
            out.extend_from_slice(b",\"body\":{\"text\":");
            members.push_value(out, body);
        }
        Any::Text(text) => {
            out.extend_from_slice(b",\"body\":{\"text\":");
            push_json(out, text);
        }
        _ => {
            out.extend_from_slice(b",\"body\":{\"text\":");
            push_json(out, label::full(body).as_bytes());
        }
    }
    out.push(b'}');
}
