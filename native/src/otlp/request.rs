//! The way from a request to its records: resources, scopes, records, and what is accepted of each.

use crate::otlp::limits::MAX_EXPANDED_BYTES;
use crate::otlp::rejection::{self, Reason, Rejection};
use crate::otlp::tags::{common, key_byte, resource, scope};
use crate::otlp::value::Attributes;
use crate::otlp::wire::{Broken, Reader, Stop, Value, Wire};

#[derive(Default)]
pub struct Resource<'a> {
    /// The message stands more than once.
    pub repeated: bool,
    /// The message that counts; with the schema URL it says all that follows.
    pub raw: &'a [u8],
    pub attributes: Attributes<'a>,
    pub dropped_attributes: u32,
    pub schema_url: &'a [u8],
}

#[derive(Default)]
pub struct Scope<'a> {
    /// The message stands more than once.
    pub repeated: bool,
    /// The message that counts; with the schema URL it says all that follows.
    pub raw: &'a [u8],
    pub name: &'a [u8],
    pub version: &'a [u8],
    pub attributes: Attributes<'a>,
    pub dropped_attributes: u32,
    pub schema_url: &'a [u8],
}

/// A span or a log record.
pub trait Record<'a>: Default {
    /// The field of a scope that lists these records.
    const LIST: &'static str;

    /// Reads a record over the one before, whose memory it keeps.
    fn read(&mut self, message: &'a [u8]) -> Result<(), Broken>;

    /// Why the record is refused.
    fn rejection(&self) -> Option<Rejection>;

    /// Whether the record, if it is accepted, may be in need of repair (see `repair` of the reference decoder).
    fn is_suspect(&self) -> bool;

    /// The record's own time, 0 if it has none.
    fn time(&self) -> u64;

    /// Span events in the record.
    fn events(&self) -> usize;
}

/// Where a record stands: index of its resource, its scope in that, and itself in that.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordIndex {
    pub resource: usize,
    pub scope: usize,
    pub record: usize,
}

/// What becomes of the records of a request, called in wire order.
pub trait Visitor<'a, R: Record<'a>> {
    fn resource(&mut self, resource: &Resource<'a>, rejection: Option<Rejection>);
    fn scope(&mut self, resource: &Resource<'a>, scope: &Scope<'a>, rejection: Option<Rejection>);
    fn record(&mut self, place: RecordIndex, record: &R);
    /// `rejection` is the record's own; resource and scope may have been refused before.
    fn refused(&mut self, place: RecordIndex, rejection: Option<Rejection>);
}

/// What a record counts towards MAX_EXPANDED_BYTES; `shared`: bytes of its resource and scope.
#[inline(always)]
pub fn expanded_bytes(record: usize, shared: usize, events: usize) -> usize {
    shared.saturating_mul(1 + events).saturating_add(record)
}

/// How scopes are read. Records may stand before their scope on the wire, and a scope's schema URL mostly stands behind
/// its records, but to look for what is behind them waits for memory at each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// What stands before the first record, and the schema URL that the message seems to end with. Where it turns out that
    /// there is another one, or a scope behind the records, the walk ends.
    Ahead,
    Whole,
}

/// Walks a request.
pub fn walk<'a, R: Record<'a>, V: Visitor<'a, R>>(
    payload: &'a [u8],
    scopes: Scopes,
    visitor: &mut V,
) -> Result<(), Stop> {
    let mut current = Current::<R>::default();
    let mut place = RecordIndex::default();
    let mut expanded = 0;
    let mut request = Reader::new(payload);
    while let Some((number, field)) = request.next()? {
        if let (common::RESOURCES, Value::Bytes(message)) = (number, field) {
            walk_resource(message, place, scopes, &mut expanded, &mut current, visitor)?;
            place.resource += 1;
        }
    }
    Ok(())
}

/// What is being read; each is read over the one before, whose memory it keeps.
#[derive(Default)]
struct Current<'a, R> {
    resource: Resource<'a>,
    scope: Scope<'a>,
    record: R,
}

fn walk_resource<'a, R: Record<'a>, V: Visitor<'a, R>>(
    message: &'a [u8],
    mut place: RecordIndex,
    scopes: Scopes,
    expanded: &mut usize,
    current: &mut Current<'a, R>,
    visitor: &mut V,
) -> Result<(), Stop> {
    let Current { resource, scope, record } = current;
    resource.read(message)?;
    let rejection = rejection::attributes(&resource.attributes).map(Rejection::from);
    visitor.resource(resource, rejection);
    let mut lists = Reader::new(message);
    while let Some((number, field)) = lists.next()? {
        if let (common::CHILDREN, Value::Bytes(message)) = (number, field) {
            scope.read(message, scopes)?;
            let own = rejection::attributes(&scope.attributes).map(Rejection::from);
            visitor.scope(resource, scope, own);
            let all_refused = rejection.is_some() || own.is_some();
            let shared = resource.size() + scope.size();
            let records = Records { message, schema_url: scope.schema_url, shared, all_refused };
            walk_records(records, place, scopes, expanded, record, visitor)?;
            place.scope += 1;
        }
    }
    Ok(())
}

/// The records of one scope.
struct Records<'a> {
    message: &'a [u8],
    /// What the scope's schema URL was taken to be.
    schema_url: &'a [u8],
    /// Bytes of resource and scope.
    shared: usize,
    all_refused: bool,
}

#[inline(always)]
fn walk_records<'a, R: Record<'a>, V: Visitor<'a, R>>(
    records: Records<'a>,
    mut place: RecordIndex,
    scopes: Scopes,
    expanded: &mut usize,
    record: &mut R,
    visitor: &mut V,
) -> Result<(), Stop> {
    let mut schema_url: &[u8] = b"";
    let mut list = Reader::new(records.message);
    while let Some((number, field)) = list.next()? {
        match (number, field) {
            (common::CHILDREN, Value::Bytes(message)) => {
                record.read(message)?;
                let rejection = record.rejection();
                if records.all_refused || rejection.is_some() {
                    visitor.refused(place, rejection);
                } else {
                    *expanded = expanded.saturating_add(expanded_bytes(message.len(), records.shared, record.events()));
                    if *expanded <= MAX_EXPANDED_BYTES {
                        visitor.record(place, record);
                    } else {
                        visitor.refused(place, Some(Rejection::from(Reason::TooLarge)));
                    }
                }
                place.record += 1;
            }
            (common::HEAD, Value::Bytes(_)) if scopes == Scopes::Ahead && place.record > 0 => {
                return Err(Stop::LateScope)
            }
            (common::SCHEMA_URL, Value::Bytes(url)) => schema_url = url,
            _ => {}
        }
    }
    if schema_url != records.schema_url {
        return Err(Stop::LateScope);
    }
    Ok(())
}

const SCHEMA_URL: u8 = key_byte(common::SCHEMA_URL, Wire::Len);
/// Bytes of a field with a length of one byte, at most.
const SHORT_FIELD: usize = 2 + 0x7f;

/// The schema URL that a message of a scope seems to end with.
#[inline(always)]
fn url_at_end(message: &[u8]) -> Option<&[u8]> {
    let end = &message[message.len().saturating_sub(SHORT_FIELD)..];
    let place = memchr::memrchr(SCHEMA_URL, end)?;
    let (length, url) = end[place + 1..].split_first()?;
    (usize::from(*length) == url.len() && url.starts_with(b"http")).then_some(url)
}

/// Reads the messages of a list's resource or scope, of which the last counts. Whether there are several, and the schema URL.
#[inline(always)]
fn read_heads<'a>(
    message: &'a [u8],
    scopes: Scopes,
    mut read: impl FnMut(&'a [u8]) -> Result<(), Broken>,
) -> Result<(bool, &'a [u8]), Broken> {
    let mut schema_url: &[u8] = b"";
    let mut heads = 0;
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (common::CHILDREN, Value::Bytes(_)) if scopes == Scopes::Ahead => {
                schema_url = url_at_end(message).unwrap_or(schema_url);
                break;
            }
            (common::HEAD, Value::Bytes(head)) => {
                read(head)?;
                heads += 1;
            }
            (common::SCHEMA_URL, Value::Bytes(url)) => schema_url = url,
            _ => {}
        }
    }
    Ok((heads > 1, schema_url))
}

impl<'a> Resource<'a> {
    /// Bytes of the message and of the schema URL.
    fn size(&self) -> usize {
        self.raw.len() + self.schema_url.len()
    }

    fn clear(&mut self) {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Resource { attributes, ..Resource::default() };
    }

    /// Reads what a ResourceSpans or ResourceLogs says of its resource.
    fn read(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.clear();
        (self.repeated, self.schema_url) = read_heads(message, Scopes::Whole, |head| self.read_head(head))?;
        Ok(())
    }

    fn read_head(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.clear();
        self.raw = message;
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (resource::ATTRIBUTES, Value::Bytes(message)) => self.attributes.read(message)?,
                (resource::DROPPED_ATTRIBUTES_COUNT, Value::Varint(count)) => self.dropped_attributes = count as u32,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Scope<'a> {
    /// Bytes of the message and of the schema URL.
    fn size(&self) -> usize {
        self.raw.len() + self.schema_url.len()
    }

    fn clear(&mut self) {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Scope { attributes, ..Scope::default() };
    }

    /// Reads what a ScopeSpans or ScopeLogs says of its scope.
    fn read(&mut self, message: &'a [u8], scopes: Scopes) -> Result<(), Broken> {
        self.clear();
        (self.repeated, self.schema_url) = read_heads(message, scopes, |head| self.read_head(head))?;
        Ok(())
    }

    fn read_head(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        self.clear();
        self.raw = message;
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (scope::NAME, Value::Bytes(name)) => self.name = name,
                (scope::VERSION, Value::Bytes(version)) => self.version = version,
                (scope::ATTRIBUTES, Value::Bytes(message)) => self.attributes.read(message)?,
                (scope::DROPPED_ATTRIBUTES_COUNT, Value::Varint(count)) => self.dropped_attributes = count as u32,
                _ => {}
            }
        }
        Ok(())
    }
}
