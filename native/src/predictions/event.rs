//! The events of the zero-code instrumentation as columns, for metrics of models. Feature columns are read where they are
//! asked for, and else stepped over.

use crate::documents::text::cut;
use crate::otlp::columns::{find, service_name, Builder, Columns};
use crate::otlp::dimensions::{Dimensions, Wanted};
use crate::otlp::intern::{parts, push_part, Interner};
use crate::otlp::label;
use crate::otlp::limits::MAX_LABEL_CHARS;
use crate::otlp::log::Log;
use crate::otlp::rejection::Rejection;
use crate::otlp::request::{walk, Record, RecordIndex, Resource, Scope, Scopes, Visitor};
use crate::otlp::value::{each_pair, elements, plain_elements, same, Any, Attribute};
use crate::otlp::wire::Stop;
use crate::predictions::features::Features;

/// A count of so many rows or more is none.
pub const MAX_ROWS: i64 = 1 << 40;
/// Attributes that make an event's group, between the event's name and its service.
pub const TEXTS: [&[u8]; 4] = [b"ml.model.name", b"ml.model.version", b"error.type", b"ml.stage"];

/// A column of numbers: the event of each, and each.
#[derive(Default)]
pub struct Figures {
    pub event: Vec<u32>,
    pub number: Vec<f64>,
}

pub struct Events<'e> {
    names: &'e [Vec<u8>],
    pub payload: Vec<u32>,
    pub record: Vec<u32>,
    /// How many records of each payload, and of those before it, were accepted.
    pub ends: Vec<u32>,
    pub time: Vec<u64>,
    pub group: Vec<u32>,
    groups: Interner,
    pub count: Vec<u64>,
    pub rows: Vec<u64>,
    pub one_in: Vec<u64>,
    pub counted: Vec<u8>,
    pub seconds: Vec<f64>,
    pub class_event: Vec<u32>,
    pub class_name: Vec<u32>,
    class_names: Interner,
    pub class_rows: Vec<u64>,
    pub score: Figures,
    pub value: Figures,
    /// None where they are not asked for.
    pub features: Option<Features>,
    /// For each class name where its last pair is.
    places: Vec<usize>,
    /// Number of the payload, and of accepted records before the one at hand.
    number: u32,
    accepted: u32,
    service: String,
    key: Vec<u8>,
}

impl<'e> Events<'e> {
    /// `features`: to collect them in.
    fn new(names: &'e [Vec<u8>], features: Option<Features>) -> Self {
        Events {
            names,
            payload: Vec::new(),
            record: Vec::new(),
            ends: Vec::new(),
            time: Vec::new(),
            group: Vec::new(),
            groups: Interner::new(),
            count: Vec::new(),
            rows: Vec::new(),
            one_in: Vec::new(),
            counted: Vec::new(),
            seconds: Vec::new(),
            class_event: Vec::new(),
            class_name: Vec::new(),
            class_names: Interner::new(),
            class_rows: Vec::new(),
            score: Figures::default(),
            value: Figures::default(),
            features,
            places: Vec::new(),
            number: 0,
            accepted: 0,
            service: String::new(),
            key: Vec::new(),
        }
    }

    /// Texts of each distinct group, in order of first appearance.
    pub fn groups(&self) -> impl Iterator<Item = Vec<&str>> {
        (0..self.groups.len()).map(|row| parts(self.groups.get(row)).map(text).collect())
    }

    pub fn class_names(&self) -> Vec<&str> {
        (0..self.class_names.len()).map(|row| text(self.class_names.get(row))).collect()
    }

    /// What follows is of the next payload.
    fn end_payload(&mut self) {
        self.number += 1;
        self.ends.push(self.accepted);
    }

    fn add(&mut self, log: &Log<'_>) {
        let own = &log.attributes.list;
        let event = self.time.len() as u32;
        self.payload.push(self.number);
        self.record.push(self.accepted);
        self.time.push(log.time());
        self.key.clear();
        push_part(&mut self.key, log.event_name);
        for name in TEXTS {
            push_part(&mut self.key, find(own, name).map(label::of).unwrap_or_default().as_bytes());
        }
        push_part(&mut self.key, self.service.as_bytes());
        self.group.push(self.groups.intern(&self.key).0);
        let count = whole(find(own, b"ml.prediction.count"));
        self.count.push(count);
        self.seconds.push(match find(own, b"ml.prediction.duration") {
            Some(Any::Double(seconds)) if (0.0..f64::INFINITY).contains(&seconds) => seconds,
            Some(Any::Int(seconds)) if seconds >= 0 => seconds as f64,
            _ => f64::NAN,
        });
        let members = Members::of(log.body);
        self.rows.push(whole(members.rows));
        self.one_in.push(whole(members.one_in).max(1));
        self.counted.push(u8::from(!matches!(members.counted, Some(Any::Bool(false)))));
        self.add_classes(event, members.class_counts, count);
        self.score.add(event, members.score);
        self.value.add(event, members.value);
        if let Some(features) = &mut self.features {
            features.add(event, members.features, whole(members.features_left_out));
        }
    }

    /// Rows of each class, `left` in all at most.
    fn add_classes(&mut self, event: u32, classes: Option<Any<'_>>, mut left: u64) {
        let Some(Any::Map(message)) = classes else { return };
        if let Some((name, value)) = only_class(message) {
            return self.add_class(event, name, whole(Some(value)).min(left));
        }
        for (name, Attribute { value, .. }) in label::first_of_each_key(message) {
            let rows = whole(Some(value)).min(left);
            left -= rows;
            self.add_class(event, cut(&name, MAX_LABEL_CHARS).as_bytes(), rows);
        }
    }

    fn add_class(&mut self, event: u32, name: &[u8], rows: u64) {
        if rows == 0 {
            return;
        }
        let number = self.class_names.intern(name).0;
        self.places.resize(self.class_names.len(), usize::MAX);
        let place = self.places[number as usize];
        // Two names may be one when they are cut.
        if self.class_event.get(place) == Some(&event) {
            self.class_rows[place] += rows;
            return;
        }
        self.places[number as usize] = self.class_event.len();
        self.class_event.push(event);
        self.class_name.push(number);
        self.class_rows.push(rows);
    }
}

/// What the body of an event holds.
#[derive(Default)]
struct Members<'a> {
    rows: Option<Any<'a>>,
    one_in: Option<Any<'a>>,
    counted: Option<Any<'a>>,
    class_counts: Option<Any<'a>>,
    score: Option<Any<'a>>,
    value: Option<Any<'a>>,
    features: Option<Any<'a>>,
    features_left_out: Option<Any<'a>>,
}

impl<'a> Members<'a> {
    #[inline(always)]
    fn of(body: Any<'a>) -> Self {
        let mut members = Members::default();
        let Any::Map(message) = body else { return members };
        each_pair(message, |key, value| {
            let place = match key {
                b"rows" => &mut members.rows,
                b"one_in" => &mut members.one_in,
                b"counted" => &mut members.counted,
                b"class_counts" => &mut members.class_counts,
                b"score" => &mut members.score,
                b"value" => &mut members.value,
                b"features" => &mut members.features,
                b"features_left_out" => &mut members.features_left_out,
                _ => return,
            };
            place.get_or_insert(value);
        });
        members
    }
}

/// The name and the value of the only pair of a map, where the name is one that is taken as it is.
#[inline(always)]
fn only_class(map: &[u8]) -> Option<(&[u8], Any<'_>)> {
    let mut pairs = 0;
    let mut only = None;
    each_pair(map, |key, value| {
        pairs += 1;
        only = Some((key, value));
    });
    only.filter(|(key, _)| pairs == 1 && key.len() <= MAX_LABEL_CHARS && key.is_ascii())
}

impl Figures {
    /// The finite numbers of an array.
    fn add(&mut self, event: u32, column: Option<Any<'_>>) {
        let Some(Any::Array(message)) = column else { return };
        let before = self.number.len();
        if plain_elements(message, |element| self.push(event, element)).is_none() {
            self.event.truncate(before);
            self.number.truncate(before);
            elements(message).for_each(|element| self.push(event, element));
        }
    }

    #[inline(always)]
    fn push(&mut self, event: u32, element: Any<'_>) {
        let number = match element {
            Any::Double(double) if double.is_finite() => double,
            Any::Int(int) => int as f64,
            _ => return,
        };
        self.event.push(event);
        self.number.push(number);
    }
}

/// What was text when it was put in.
fn text(key: &[u8]) -> &str {
    std::str::from_utf8(key).unwrap_or_default()
}

/// A count; a double counts as one where it is a whole number.
fn whole(value: Option<Any<'_>>) -> u64 {
    match value {
        Some(Any::Int(int)) if (0..MAX_ROWS).contains(&int) => int as u64,
        Some(Any::Double(double)) if (0.0..MAX_ROWS as f64).contains(&double) && double.fract() == 0.0 => double as u64,
        _ => 0,
    }
}

/// The accepted events of these names; an error has the index of the payload that is malformed.
pub fn read_events<'e>(payloads: &[&[u8]], names: &'e [Vec<u8>], features: bool) -> Result<Events<'e>, usize> {
    read(payloads, || Events::new(names, collector(payloads, features)), Events::end_payload)
}

/// What collects features, where they are asked for.
fn collector(payloads: &[&[u8]], features: bool) -> Option<Features> {
    features.then(|| Features::new(payloads.iter().map(|payload| payload.len()).sum()))
}

/// All accepted records as columns, and the events of these names, in one walk.
pub fn read_records_and_events<'e>(
    payloads: &[&[u8]],
    wanted: &Wanted,
    names: &'e [Vec<u8>],
    features: bool,
) -> Result<(Columns, Events<'e>), usize> {
    let new = || {
        let events = Events::new(names, collector(payloads, features));
        Both { records: Builder::new(Dimensions::new(wanted)), events }
    };
    let found = read(payloads, new, |both| both.events.end_payload())?;
    Ok((found.records.columns, found.events))
}

fn read<'a, V: Visitor<'a, Log<'a>>>(
    payloads: &[&'a [u8]],
    new: impl Fn() -> V,
    end_payload: impl Fn(&mut V),
) -> Result<V, usize> {
    let read = |scopes| {
        let mut found = new();
        for (number, payload) in payloads.iter().enumerate() {
            walk::<Log, _>(payload, scopes, &mut found).map_err(|stop| (stop, number))?;
            end_payload(&mut found);
        }
        Ok(found)
    };
    match read(Scopes::Ahead) {
        Err((Stop::LateScope, _)) => read(Scopes::Whole),
        other => other,
    }
    .map_err(|(_, number)| number)
}

/// What two visitors make of the same records.
struct Both<'a, 'd, 'e> {
    records: Builder<'a, 'd>,
    events: Events<'e>,
}

impl<'a> Visitor<'a, Log<'a>> for Both<'a, '_, '_> {
    fn resource(&mut self, resource: &Resource<'a>, rejection: Option<Rejection>) {
        Visitor::<Log>::resource(&mut self.records, resource, rejection);
        self.events.resource(resource, rejection);
    }

    fn scope(&mut self, _: &Resource<'a>, _: &Scope<'a>, _: Option<Rejection>) {}

    #[inline(always)]
    fn record(&mut self, place: RecordIndex, log: &Log<'a>) {
        self.records.record(place, log);
        self.events.record(place, log);
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {}
}

impl<'a> Visitor<'a, Log<'a>> for Events<'_> {
    fn resource(&mut self, resource: &Resource<'a>, _: Option<Rejection>) {
        self.service.clear();
        self.service.push_str(&service_name(resource));
    }

    fn scope(&mut self, _: &Resource<'a>, _: &Scope<'a>, _: Option<Rejection>) {}

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, log: &Log<'a>) {
        if !log.event_name.is_empty() && self.names.iter().any(|name| same(name, log.event_name)) {
            self.add(log);
        }
        self.accepted += 1;
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {}
}
