//! Accepted records as columns, with dictionary-encoded group texts and resources.
//!
//! A record's group is found by its raw bytes first (no text is made for a combination that was seen before); only a
//! new combination is rendered to text and encoded again, since different bytes may have the same text.

use std::borrow::Cow;

use crate::documents::text::repair;
use crate::logs::severity::range_name;
use crate::otlp::dimensions::{Dimensions, Wanted};
use crate::otlp::intern::{parts, push_part, Interner};
use crate::otlp::label;
use crate::otlp::log::Log;
use crate::otlp::recent::Recent;
use crate::otlp::rejection::Rejection;
use crate::otlp::request::{walk, Record, RecordIndex, Resource, Scope, Scopes, Visitor};
use crate::otlp::span::Span;
use crate::otlp::tracestate::adjusted_count;
use crate::otlp::value::{same, Any, Attribute};
use crate::otlp::wire::Stop;

pub const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
pub const STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
const SERVICE_NAME: &[u8] = b"service.name";
const EXCEPTION_TYPE: &[u8] = b"exception.type";
pub const UNKNOWN_SERVICE: &str = "unknown_service";

fn number(value: Option<Any<'_>>) -> f64 {
    value.map_or(f64::NAN, label::number)
}

#[inline]
pub fn find<'a>(attributes: &[Attribute<'a>], name: &[u8]) -> Option<Any<'a>> {
    attributes.iter().find(|attribute| same(attribute.key, name)).map(|attribute| attribute.value)
}

/// The resource's service name as label text.
pub fn service_name<'a>(resource: &Resource<'a>) -> Cow<'a, str> {
    let name = find(&resource.attributes.list, SERVICE_NAME).map(label::of).filter(|name| !name.is_empty());
    name.unwrap_or(Cow::Borrowed(UNKNOWN_SERVICE))
}

/// What the records of one resource have in common.
#[derive(Default)]
struct Context<'a> {
    /// The resource's message, from which all the rest comes.
    raw: &'a [u8],
    service: Cow<'a, str>,
    /// Texts of the resource's own dimensions, made once: they may be long and the groups many.
    inherited_texts: Vec<Cow<'a, str>>,
    inherited_numbers: Vec<f64>,
    attributes: Vec<Attribute<'a>>,
    /// Set with the first accepted record: number of the context (service and inherited dimensions) and of the resource.
    rows: Option<(u32, u32)>,
    /// How many of its texts were repaired, and whether that was counted for the resource at hand.
    repaired: u64,
    counted: bool,
}

/// The tables of one call.
pub struct Tables {
    raw: Interner,
    /// For each raw combination: row of `groups`, and how many of its texts were repaired.
    rows: Vec<(u32, u32)>,
    contexts: Interner,
    groups: Interner,
    resources: Interner,
    pub repaired: u64,
    key: Vec<u8>,
}

impl Tables {
    fn new() -> Self {
        Tables {
            raw: Interner::new(),
            rows: Vec::new(),
            contexts: Interner::new(),
            groups: Interner::new(),
            resources: Interner::new(),
            repaired: 0,
            key: Vec::new(),
        }
    }

    /// Texts of each distinct group, in order of first appearance.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = Vec<&str>> {
        (0..self.groups.len()).map(|row| texts(self.groups.get(row)))
    }

    /// Key, value, key, value ... of each distinct resource.
    pub fn resources(&self) -> impl ExactSizeIterator<Item = Vec<&str>> {
        (0..self.resources.len()).map(|row| texts(self.resources.get(row)))
    }

    fn enter(&mut self, context: &mut Context<'_>) -> (u32, u32) {
        if !context.counted {
            context.counted = true;
            self.repaired += context.repaired;
        }
        if let Some(rows) = context.rows {
            return rows;
        }
        self.key.clear();
        push_part(&mut self.key, context.service.as_bytes());
        for text in &context.inherited_texts {
            push_part(&mut self.key, text.as_bytes());
        }
        let number = self.contexts.intern(&self.key).0;
        self.key.clear();
        push_resource(&mut self.key, &context.attributes);
        let rows = (number, self.resources.intern(&self.key).0);
        context.rows = Some(rows);
        rows
    }

    /// The row of a group. `head` are the fixed texts as they stand in the payload, `found` the record's own dimensions.
    #[inline(always)]
    fn group(&mut self, context: &Context<'_>, number: u32, head: &Head<'_>, found: &[Option<Any<'_>>]) -> u32 {
        self.key.clear();
        self.key.extend_from_slice(&number.to_le_bytes());
        head.push_raw(&mut self.key);
        for value in found {
            push_raw(&mut self.key, *value);
        }
        let (raw, new) = self.raw.intern(&self.key);
        if new {
            self.add_group(context, head, found);
        }
        let (row, repaired) = self.rows[raw as usize];
        self.repaired += u64::from(repaired);
        row
    }

    #[inline(never)]
    fn add_group(&mut self, context: &Context<'_>, head: &Head<'_>, found: &[Option<Any<'_>>]) {
        let own = found.iter().flatten().filter(|&&value| label::is_repaired(value)).count();
        self.key.clear();
        push_part(&mut self.key, context.service.as_bytes());
        head.push_texts(&mut self.key);
        for (own, inherited) in found.iter().zip(&context.inherited_texts) {
            match own {
                Some(value) => push_part(&mut self.key, label::of(*value).as_bytes()),
                None => push_part(&mut self.key, inherited.as_bytes()),
            }
        }
        let row = self.groups.intern(&self.key).0;
        self.rows.push((row, own as u32 + u32::from(head.is_repaired())));
    }
}

fn texts(key: &[u8]) -> Vec<&str> {
    // The parts were text when they were put in.
    parts(key).map(|part| std::str::from_utf8(part).unwrap_or_default()).collect()
}

/// Attributes as text, sorted by key, without empty values.
fn push_resource(key: &mut Vec<u8>, attributes: &[Attribute<'_>]) {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        attributes.iter().map(|attribute| (repair(attribute.key), label::of(attribute.value))).collect();
    // A stable sort keeps the first of a duplicate key in front.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs.dedup_by(|later, first| later.0 == first.0);
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        push_part(key, name.as_bytes());
        push_part(key, value.as_bytes());
    }
}

/// The part of a group between service and dimensions.
enum Head<'a> {
    Span { name: &'a [u8], kind: u8, status: u8 },
    Log { severity: &'static str, exception: Option<Any<'a>> },
}

impl Head<'_> {
    #[inline(always)]
    fn push_raw(&self, key: &mut Vec<u8>) {
        match self {
            Head::Span { name, kind, status } => {
                key.extend_from_slice(&[*kind, *status]);
                push_part(key, name);
            }
            Head::Log { severity, exception } => {
                push_part(key, severity.as_bytes());
                push_raw(key, *exception);
            }
        }
    }

    fn push_texts(&self, key: &mut Vec<u8>) {
        match self {
            Head::Span { name, kind, status } => {
                push_part(key, label::of_text(name).as_bytes());
                push_part(key, KINDS[*kind as usize].as_bytes());
                push_part(key, STATUS_CODES[*status as usize].as_bytes());
            }
            Head::Log { severity, exception } => {
                push_part(key, severity.as_bytes());
                push_part(key, exception.map(label::of).unwrap_or_default().as_bytes());
            }
        }
    }

    fn is_repaired(&self) -> bool {
        match self {
            Head::Span { name, .. } => label::is_repaired_text(name),
            Head::Log { exception, .. } => exception.is_some_and(label::is_repaired),
        }
    }
}

/// A value as it stands in the payload, so that equal bytes give equal keys.
#[inline(always)]
fn push_raw(key: &mut Vec<u8>, value: Option<Any<'_>>) {
    match value {
        None => key.push(0),
        Some(Any::Empty) => key.push(1),
        Some(Any::Bool(bool)) => key.extend_from_slice(&[2, u8::from(bool)]),
        Some(Any::Int(int)) => {
            key.push(3);
            key.extend_from_slice(&int.to_le_bytes());
        }
        Some(Any::Double(double)) => {
            key.push(4);
            key.extend_from_slice(&double.to_bits().to_le_bytes());
        }
        Some(Any::Text(bytes)) => push_tagged(key, 5, bytes),
        Some(Any::Bytes(bytes)) => push_tagged(key, 6, bytes),
        Some(Any::Array(message)) => push_tagged(key, 7, message),
        Some(Any::Map(message)) => push_tagged(key, 8, message),
    }
}

#[inline(always)]
fn push_tagged(key: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    key.push(tag);
    push_part(key, bytes);
}

/// Columns that both signals have.
pub struct Columns {
    pub times: Vec<u64>,
    pub trace_ids: Vec<u8>,
    pub span_ids: Vec<u8>,
    /// Of spans only.
    pub parent_ids: Vec<u8>,
    pub group: Vec<u32>,
    pub resource: Vec<u32>,
    pub tables: Tables,
    /// Of spans only.
    pub durations: Vec<u64>,
    pub adjusted_counts: Vec<f64>,
    /// A column for each attribute that is wanted as a number.
    pub numbers: Vec<Vec<f64>>,
}

/// Puts the columns of one call together.
pub struct Builder<'a, 'd> {
    pub columns: Columns,
    dimensions: Dimensions<'d>,
    contexts: Recent<Context<'a>>,
    /// The place in `contexts` of the resource at hand; None where it is refused.
    context: Option<usize>,
    found: Vec<Option<Any<'a>>>,
}

/// The accepted spans of the payloads; an error has the index of the payload that is malformed.
pub fn spans(payloads: &[&[u8]], wanted: &Wanted) -> Result<Columns, usize> {
    build(payloads, wanted, walk::<Span, _>)
}

/// The accepted log records of the payloads; an error has the index of the payload that is malformed.
pub fn logs(payloads: &[&[u8]], wanted: &Wanted) -> Result<Columns, usize> {
    build(payloads, wanted, walk::<Log, _>)
}

fn build<'a, 'd>(payloads: &[&'a [u8]], wanted: &'d Wanted, walk: Walk<'a, 'd>) -> Result<Columns, usize> {
    match build_with(payloads, Dimensions::new(wanted), walk, Scopes::Ahead) {
        Err((Stop::LateScope, _)) => build_with(payloads, Dimensions::new(wanted), walk, Scopes::Whole),
        other => other,
    }
    .map_err(|(_, index)| index)
}

type Walk<'a, 'd> = fn(&'a [u8], Scopes, &mut Builder<'a, 'd>) -> Result<(), Stop>;

fn build_with<'a, 'd>(
    payloads: &[&'a [u8]],
    dimensions: Dimensions<'d>,
    walk: Walk<'a, 'd>,
    scopes: Scopes,
) -> Result<Columns, (Stop, usize)> {
    let mut builder = Builder::new(dimensions);
    for (index, payload) in payloads.iter().enumerate() {
        walk(payload, scopes, &mut builder).map_err(|stop| (stop, index))?;
    }
    Ok(builder.columns)
}

impl<'a, 'd> Builder<'a, 'd> {
    pub fn new(dimensions: Dimensions<'d>) -> Self {
        Builder {
            columns: Columns {
                times: Vec::new(),
                trace_ids: Vec::new(),
                span_ids: Vec::new(),
                parent_ids: Vec::new(),
                group: Vec::new(),
                resource: Vec::new(),
                tables: Tables::new(),
                durations: Vec::new(),
                adjusted_counts: Vec::new(),
                numbers: vec![Vec::new(); dimensions.names.len() - dimensions.wanted.grouping],
            },
            dimensions,
            contexts: Recent::default(),
            context: None,
            found: Vec::new(),
        }
    }

    fn begin_resource(&mut self, resource: &Resource<'a>, rejection: Option<Rejection>) {
        self.context = None;
        if rejection.is_some() {
            return;
        }
        let known = self.contexts.find(|context| same(context.raw, resource.raw));
        let place = known.unwrap_or_else(|| self.add_context(resource));
        self.contexts[place].counted = false;
        self.context = Some(place);
    }

    /// The place of a new context, perhaps that of one before.
    #[inline(never)]
    fn add_context(&mut self, resource: &Resource<'a>) -> usize {
        let mut inherited = Vec::new();
        self.dimensions.pick(&resource.attributes.list, &mut inherited);
        let inherited_numbers = inherited.split_off(self.dimensions.wanted.grouping).into_iter().map(number).collect();
        self.dimensions.leave_doubles(&mut inherited);
        let read = find(&resource.attributes.list, SERVICE_NAME).into_iter().chain(inherited.iter().copied().flatten());
        let context = Context {
            raw: resource.raw,
            repaired: read.filter(|&value| label::is_repaired(value)).count() as u64,
            counted: false,
            service: service_name(resource),
            inherited_texts: inherited.iter().map(|value| value.map(label::of).unwrap_or_default()).collect(),
            inherited_numbers,
            attributes: resource.attributes.list.clone(),
            rows: None,
        };
        let place = self.contexts.room();
        self.contexts[place] = context;
        place
    }

    #[inline(always)]
    fn add(&mut self, attributes: &[Attribute<'a>], head: &Head<'a>) {
        let Some(context) = self.context.map(|place| &mut self.contexts[place]) else { return };
        let tables = &mut self.columns.tables;
        let (number, resource) = tables.enter(context);
        self.dimensions.pick(attributes, &mut self.found);
        self.dimensions.leave_doubles(&mut self.found);
        let (own, figures) = self.found.split_at(self.dimensions.wanted.grouping);
        for ((column, value), inherited) in self.columns.numbers.iter_mut().zip(figures).zip(&context.inherited_numbers)
        {
            column.push(value.map_or(*inherited, |_| self::number(*value)));
        }
        self.columns.group.push(tables.group(context, number, head, own));
        self.columns.resource.push(resource);
    }
}

impl<'a> Visitor<'a, Span<'a>> for Builder<'a, '_> {
    fn resource(&mut self, resource: &Resource<'a>, rejection: Option<Rejection>) {
        self.begin_resource(resource, rejection);
    }

    fn scope(&mut self, _: &Resource<'a>, _: &Scope<'a>, _: Option<Rejection>) {}

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, span: &Span<'a>) {
        self.columns.times.push(span.start);
        self.columns.durations.push(span.end.saturating_sub(span.start));
        self.columns.adjusted_counts.push(adjusted_count(span.trace_state));
        self.columns.trace_ids.extend_from_slice(span.trace_id);
        self.columns.span_ids.extend_from_slice(span.span_id);
        push_id::<8>(&mut self.columns.parent_ids, span.parent);
        let head = Head::Span { name: span.name, kind: span.kind, status: span.status_code };
        self.add(&span.attributes.list, &head);
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {}
}

impl<'a> Visitor<'a, Log<'a>> for Builder<'a, '_> {
    fn resource(&mut self, resource: &Resource<'a>, rejection: Option<Rejection>) {
        self.begin_resource(resource, rejection);
    }

    fn scope(&mut self, _: &Resource<'a>, _: &Scope<'a>, _: Option<Rejection>) {}

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, log: &Log<'a>) {
        self.columns.times.push(log.time());
        push_id::<16>(&mut self.columns.trace_ids, log.trace_id);
        push_id::<8>(&mut self.columns.span_ids, log.span_id);
        let head = Head::Log {
            severity: range_name(log.severity_number, log.severity_text),
            exception: find(&log.attributes.list, EXCEPTION_TYPE),
        };
        self.add(&log.attributes.list, &head);
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {}
}

/// An id, or zeros where there is none.
fn push_id<const N: usize>(ids: &mut Vec<u8>, id: &[u8]) {
    match <&[u8; N]>::try_from(id) {
        Ok(id) => ids.extend_from_slice(id),
        Err(_) => ids.extend_from_slice(&[0; N]),
    }
}
