//! JSON log lines (NDJSON) as an OTLP logs request. No line is lost: what is no log record is kept as text.

use std::borrow::Cow;

use crate::documents::text::{repair, without_colours};
use crate::logs::fields::{self as fields, Places, Slots};
use crate::logs::ids::{decimal_id, hex_id};
use crate::logs::json::{read_object, Json, KeyOrder, Object};
use crate::logs::severity::{from_name, from_number, guess, range_name};
use crate::logs::timestamps::{parse_time, seconds_and_nanoseconds};
use crate::logs::tracebacks::read_traceback;
use crate::logs::transcoded::{Payload, Request};
use crate::otlp::check::Check;
use crate::otlp::limits::{MAX_ATTRIBUTES, MAX_LINE_BYTES};

const UNPARSED: &str = "log.unparsed";
const TRUNCATED: &str = "log.truncated";
const MAX_LEVEL_DIGITS: usize = 2;
const MAX_ID_DIGITS: usize = 20;

/// The request and its check. `observed`: Unix ns for every record's observed time. Consecutive lines of one
/// service share a resource; blank lines are skipped, a byte order mark before a line is too. `anonymous`: content of the
/// Resource of lines that name no service.
///
/// The last part of the result has the lines that gave more than one record: number and records.
pub fn json_lines(body: &[u8], observed: u64, anonymous: &[u8]) -> (Payload, Check, Vec<(usize, usize)>) {
    let text = std::str::from_utf8(body).ok();
    let repaired = if text.is_some() { Vec::new() } else { repaired_lines(body) };
    let mut repaired = repaired.iter().peekable();
    let mut request = Request::new(observed, anonymous);
    let mut line = Line::default();
    let mut rows = Vec::new();
    for (number, bytes) in lines(body).enumerate() {
        let begin = bytes.as_ptr() as usize - body.as_ptr() as usize;
        let text = match (text, repaired.next_if(|(place, _)| *place == begin)) {
            (Some(text), _) => text.get(begin..begin + bytes.len()).unwrap_or_default(),
            (None, Some((_, text))) => text.as_str(),
            (None, None) => std::str::from_utf8(bytes).unwrap_or_default(),
        };
        if bytes.len() > MAX_LINE_BYTES {
            line.set_text(bytes, repair(cut(bytes)), TRUNCATED);
            request.add(&line);
        } else {
            let records = read_objects(bytes, text, &mut line, &mut request);
            if records > 1 {
                rows.push((number, records));
            }
        }
    }
    let (payload, check) = request.finish();
    (payload, check, rows)
}

/// A byte order mark stands where a file, a body or a program's output began; files put together have it inside.
fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

/// The lines that are not blank, without their ends.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr::memchr_iter(b'\n', body).chain([body.len()]).filter_map(move |end| {
        let line = without_mark(&body[begin..end]);
        begin = end + 1;
        let is_blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        (!is_blank).then(|| trim_returns(line))
    })
}

/// Place in the body and text of each line that is not UTF-8.
fn repaired_lines(body: &[u8]) -> Vec<(usize, String)> {
    let broken = lines(body).filter(|line| line.len() <= MAX_LINE_BYTES && std::str::from_utf8(line).is_err());
    broken.map(|line| (line.as_ptr() as usize - body.as_ptr() as usize, repair(line).into_owned())).collect()
}

/// Blanks, and the separator that stands before each record of a JSON text sequence (RFC 7464).
const BETWEEN: [char; 5] = [' ', '\t', '\r', '\n', '\u{1e}'];

/// The object that a line is, or each of a row of objects, as a record; else its text. How many records there are.
/// `bytes`: the same line as it came in.
fn read_objects<'a>(bytes: &'a [u8], text: &'a str, line: &mut Line<'a>, request: &mut Request<'a>) -> usize {
    let text = before_objects(text);
    match line.read(text).and_then(behind_object) {
        Some("") => {
            request.add(line);
            return 1;
        }
        Some(rest) if is_row(rest, line) => {
            let (mut rest, mut records) = (text, 0);
            while !rest.is_empty() {
                rest = line.read(rest).and_then(behind_object).unwrap_or_default();
                request.add(line);
                records += 1;
            }
            return records;
        }
        _ => {}
    }
    line.set_text(bytes, repair(bytes), UNPARSED);
    request.add(line);
    1
}

/// What is behind the bracket of an array, or the comma behind the line before.
#[inline]
fn before_objects(text: &str) -> &str {
    let text = text.trim_start_matches(BETWEEN);
    text.strip_prefix(['[', ',']).map_or(text, |rest| rest.trim_start_matches(BETWEEN))
}

/// The next object behind one, behind a comma or not; nothing at the end of the line, which may be that of an array.
/// None where something else is there.
#[inline]
fn behind_object(rest: &str) -> Option<&str> {
    if rest.is_empty() {
        return Some(rest);
    }
    let rest = behind_comma(rest.trim_start_matches(BETWEEN));
    match rest.strip_prefix(']') {
        Some(rest) => behind_comma(rest.trim_start_matches(BETWEEN)).is_empty().then_some(""),
        None => Some(rest),
    }
}

fn behind_comma(text: &str) -> &str {
    text.strip_prefix(',').map_or(text, |rest| rest.trim_start_matches(BETWEEN))
}

/// Whether objects within the limits are all that is left.
fn is_row<'a>(mut rest: &'a str, line: &mut Line<'a>) -> bool {
    while !rest.is_empty() {
        match line.read(rest).and_then(behind_object) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    true
}

fn trim_returns(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r'] = line {
        line = rest;
    }
    line
}

/// What a line says. Members of `object` that were understood are `Json::Taken`; the others are the attributes.
#[derive(Default)]
pub struct Line<'a> {
    pub body: Option<Cow<'a, str>>,
    object: Object<'a>,
    order: KeyOrder<'a>,
    places: Places,
    pub service: Cow<'a, str>,
    pub time: u64,
    pub severity_number: u8,
    pub severity_text: Cow<'a, str>,
    pub trace_id: Option<[u8; 16]>,
    pub span_id: Option<[u8; 8]>,
    pub flags: u8,
}

/// The first bytes up to the limit or up to three fewer, so that no character is cut through.
fn cut(line: &[u8]) -> &[u8] {
    let mut end = MAX_LINE_BYTES;
    while end > MAX_LINE_BYTES - 3 && line.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    &line[..end]
}

impl<'a> Line<'a> {
    fn clear(&mut self) {
        self.object.clear();
        self.body = None;
        self.service = Cow::Borrowed("");
        self.time = 0;
        (self.severity_number, self.severity_text) = (0, Cow::Borrowed(""));
        (self.trace_id, self.span_id, self.flags) = (None, None, 0);
    }

    /// A line of which no members are known.
    fn set_text(&mut self, bytes: &'a [u8], text: Cow<'a, str>, flag: &'static str) {
        self.clear();
        self.body = Some(text);
        (self.severity_number, self.severity_text) = guess(bytes);
        self.object.insert(Cow::Borrowed(flag), Json::Bool(true));
    }

    /// What is behind the JSON object that the text begins with; None if there is none within the limits.
    fn read(&mut self, text: &'a str) -> Option<&'a str> {
        self.clear();
        let object = &mut self.object;
        let rest = read_object(text, object, &mut self.order)?;
        if object.nested && !object.members.iter().all(|(_, value)| value.is_keepable()) {
            return None;
        }
        let expanded = object.nested && expand(object);
        if expanded || !(self.order.whole && self.order.known) {
            self.places.find(object.members.iter().map(|(key, _)| key.as_ref()));
            self.order.known = self.order.whole && !expanded;
        }
        self.interpret();
        (self.attributes().count() <= MAX_ATTRIBUTES).then_some(rest)
    }

    pub fn attributes(&self) -> impl Iterator<Item = &(Cow<'a, str>, Json<'a>)> {
        self.object.members.iter().filter(|(_, value)| !matches!(value, Json::Taken))
    }

    /// Take what is understood out of the members; what is left are the attributes.
    fn interpret(&mut self) {
        let mut rest = Rest { object: &mut self.object, present: self.places.present, places: &self.places };
        self.time = rest.take_time();
        (self.severity_number, self.severity_text) = rest.take_level();
        self.trace_id = rest.take_id::<16>(fields::TRACE_ID);
        self.span_id = rest.take_id::<8>(fields::SPAN_ID);
        if self.trace_id.is_none() {
            if let Some(parent) = rest.take_trace_parent() {
                self.trace_id = Some(parent.trace_id);
                self.span_id = self.span_id.or(Some(parent.span_id));
                self.flags = parent.flags;
            }
        }
        self.service = rest.take_text(fields::SERVICE, false).unwrap_or_default();
        self.body = rest.take_text(fields::BODY, true);
        rest.name_exception();
    }
}

/// Members of the well-known objects as `object.member`, at the object's place; those of objects in them too. Whether
/// there are any.
fn expand(object: &mut Object<'_>) -> bool {
    if !object.members.iter().any(|(key, value)| expands(key, value)) {
        return false;
    }
    let mut expanded = Object::default();
    for (key, value) in std::mem::take(&mut object.members) {
        match value {
            Json::Object(inner) if !inner.members.is_empty() && fields::is_object(&key) => {
                let mut own = Object::default();
                for (name, value) in inner.members {
                    own.insert(Cow::Owned(format!("{key}.{name}")), value);
                }
                expand(&mut own);
                for (name, value) in own.members {
                    expanded.insert(name, value);
                }
            }
            value => expanded.insert(key, value),
        }
    }
    *object = expanded;
    true
}

fn expands(key: &str, value: &Json<'_>) -> bool {
    matches!(value, Json::Object(inner) if !inner.members.is_empty()) && fields::is_object(key)
}

/// The members of a line that are not yet understood, by the slots of their names.
struct Rest<'r, 'a> {
    object: &'r mut Object<'a>,
    present: Slots,
    places: &'r Places,
}

/// The slots of a set, preferred ones first.
fn each(mut slots: Slots) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (slots != 0).then_some(slots.trailing_zeros() as usize)?;
        slots &= slots - 1;
        Some(slot)
    })
}

struct TraceParent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

impl<'a> Rest<'_, 'a> {
    fn has(&self, slot: usize) -> bool {
        self.present >> slot & 1 == 1
    }

    /// The value of a member that is present.
    fn value(&self, slot: usize) -> &Json<'a> {
        &self.object.members[self.places.of(slot)].1
    }

    fn text(&self, slot: usize) -> Option<&Cow<'a, str>> {
        match self.has(slot).then(|| self.value(slot)) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn take(&mut self, slot: usize) -> Json<'a> {
        self.present &= !(1 << slot);
        std::mem::replace(&mut self.object.members[self.places.of(slot)].1, Json::Taken)
    }

    /// The text of the first alias that holds text (`empty`: even empty text).
    fn take_text(&mut self, aliases: Slots, empty: bool) -> Option<Cow<'a, str>> {
        let slot =
            each(self.present & aliases).find(|&slot| self.text(slot).is_some_and(|text| empty || !text.is_empty()))?;
        match self.take(slot) {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    fn take_time(&mut self) -> u64 {
        for slot in each(self.present & fields::TIME) {
            if let Some(time) = parse_time(self.value(slot)) {
                self.take(slot);
                return time;
            }
        }
        self.take_time_pair()
    }

    /// Seconds and nanoseconds in members of their own.
    fn take_time_pair(&mut self) -> u64 {
        let (seconds, rest) = (fields::TIME_SECONDS, fields::TIME_NANOSECONDS);
        if !self.has(seconds) || !self.has(rest) {
            return 0;
        }
        match seconds_and_nanoseconds(self.value(seconds), self.value(rest), false) {
            Some(time) => {
                self.take(seconds);
                self.take(rest);
                time
            }
            None => 0,
        }
    }

    /// (severity number, text): text as written, or the number's range name. A name nobody knows gives number 0.
    fn take_level(&mut self) -> (u8, Cow<'a, str>) {
        for slot in each(self.present & fields::LEVEL) {
            let number = match self.value(slot) {
                Json::Int(number) => *number,
                Json::Text(text) => match without_colours(text) {
                    plain if plain.is_empty() => continue,
                    plain => match decimal::<i64>(&plain, MAX_LEVEL_DIGITS) {
                        Some(number) => number,
                        None => return (from_name(plain.as_bytes()), self.take_level_text(slot)),
                    },
                },
                _ => continue,
            };
            let severity = from_number(number, fields::levels(slot));
            if severity != 0 {
                self.take(slot);
                return (severity, Cow::Borrowed(range_name(severity, b"")));
            }
        }
        (0, Cow::Borrowed(""))
    }

    /// A level's name without the colours of terminals.
    fn take_level_text(&mut self, slot: usize) -> Cow<'a, str> {
        match self.take(slot) {
            Json::Text(Cow::Borrowed(text)) => without_colours(text),
            Json::Text(Cow::Owned(text)) => Cow::Owned(without_colours(&text).into_owned()),
            _ => Cow::Borrowed(""),
        }
    }

    /// The first alias that holds a usable id; others stay attributes.
    fn take_id<const N: usize>(&mut self, aliases: Slots) -> Option<[u8; N]> {
        for slot in each(self.present & aliases) {
            let found = match self.value(slot) {
                Json::Text(text) if slot == fields::GOOGLE_TRACE => text.rsplit('/').next().and_then(hex_id::<N>),
                Json::Text(text) => hex_id::<N>(text).or_else(|| {
                    let number = decimal::<u64>(text, MAX_ID_DIGITS)?;
                    decimal_id(number, slot)
                }),
                Json::Int(int) => u64::try_from(*int).ok().and_then(|number| decimal_id(number, slot)),
                _ => None,
            };
            if let Some(id) = found.filter(|id| *id != [0; N]) {
                self.take(slot);
                return Some(id);
            }
        }
        None
    }

    fn take_trace_parent(&mut self) -> Option<TraceParent> {
        if !self.has(fields::TRACEPARENT) {
            return None;
        }
        let mut parts = self.text(fields::TRACEPARENT)?.split('-');
        let mut part = || parts.next();
        let (version, trace_id, span_id, flags) = (part()?, part()?, part()?, part()?);
        if part().is_some() || matches!(version, "ff" | "FF") {
            return None;
        }
        hex_id::<1>(version)?;
        let parent = TraceParent {
            trace_id: hex_id(trace_id).filter(|id| *id != [0; 16])?,
            span_id: hex_id(span_id).filter(|id| *id != [0; 8])?,
            flags: hex_id::<1>(flags)?[0],
        };
        self.take(fields::TRACEPARENT);
        Some(parent)
    }

    /// Puts what the line says of an exception under the names of the semantic conventions. A member is renamed only
    /// where the line has not got one of the new name already.
    fn name_exception(&mut self) {
        if self.present & (fields::EXCEPTION_TYPE | fields::EXCEPTION_MESSAGE | fields::STACKTRACE) == 0 {
            return;
        }
        let (stacktrace, mut derived) = self.stacktrace();
        let structured = self.structured_exception();
        if let Some((kind, message)) = &structured {
            if derived.0.is_empty() {
                derived.0.clone_from(kind);
            }
            if derived.1.is_empty() {
                derived.1.clone_from(message);
            }
        }
        let kind = self.first_text(fields::EXCEPTION_TYPE);
        let message = self.first_text(fields::EXCEPTION_MESSAGE);
        self.rename(stacktrace, fields::EXCEPTION_STACKTRACE);
        let has_type = self.rename(kind, fields::EXCEPTION_TYPE_ITSELF);
        let has_message = self.rename(message, fields::EXCEPTION_MESSAGE_ITSELF);
        self.rename(structured.map(|_| fields::EXCEPTION), fields::EXCEPTION_STACKS);
        for (slot, has, text) in [
            (fields::EXCEPTION_TYPE_ITSELF, has_type, derived.0),
            (fields::EXCEPTION_MESSAGE_ITSELF, has_message, derived.1),
        ] {
            if !has && !text.is_empty() {
                self.object.members.push((Cow::Borrowed(fields::name_of(slot)), Json::Text(Cow::Owned(text))));
            }
        }
    }

    /// The first of these that holds text.
    fn first_text(&self, aliases: Slots) -> Option<usize> {
        each(self.present & aliases).find(|&slot| self.text(slot).is_some_and(|text| !text.is_empty()))
    }

    /// Gives a member the name of another slot unless that is present; whether there is one of that name then.
    fn rename(&mut self, from: Option<usize>, to: usize) -> bool {
        let Some(from) = from.filter(|_| !self.has(to)) else { return self.has(to) };
        self.object.members[self.places.of(from)].0 = Cow::Borrowed(fields::name_of(to));
        true
    }

    /// Slot of the first member that holds a stack trace, its exception's type and message.
    fn stacktrace(&self) -> (Option<usize>, (String, String)) {
        each(self.present & fields::STACKTRACE)
            .find_map(|slot| Some((Some(slot), read_traceback(self.text(slot)?)?)))
            .unwrap_or_else(|| (self.first_text(fields::SURE_STACKTRACE), Default::default()))
    }

    /// (type, message) of structlog's list of exceptions.
    fn structured_exception(&self) -> Option<(String, String)> {
        if !self.has(fields::EXCEPTION) {
            return None;
        }
        let Json::List(list) = self.value(fields::EXCEPTION) else { return None };
        let Some(Json::Object(first)) = list.first() else { return None };
        let text = |name: &str| match first.members.iter().find(|(key, _)| key == name) {
            Some((_, Json::Text(text))) => Some(text.clone().into_owned()),
            _ => None,
        };
        Some((text("exc_type")?, text("exc_value").unwrap_or_default()))
    }
}

/// The number of a text of at most so many decimal digits.
fn decimal<I: std::str::FromStr>(text: &str, most: usize) -> Option<I> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits {
        text.parse().ok()
    } else {
        None
    }
}
