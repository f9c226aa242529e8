//! The events of the zero-code instrumentation as columns, for metrics of models. Feature columns are read where they are
//! asked for, and else stepped over.

use crate::documents::text::cut;
use crate::otlp::columns::{find, service_name};
use crate::otlp::intern::{parts, push_part, Interner};
use crate::otlp::label;
use crate::otlp::limits::MAX_LABEL_CHARS;
use crate::otlp::log::Log;
use crate::otlp::rejection::Rejection;
use crate::otlp::request::{walk, Record, RecordIndex, Resource, Scope, Scopes, Visitor};
use crate::otlp::value::{elements, push_pairs, Any, Attribute};
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
    fn new(names: &'e [Vec<u8>], features: bool) -> Self {
        Events {
            names,
            payload: Vec::new(),
            record: Vec::new(),
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
            features: features.then(Features::default),
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
        let mut members = Vec::new();
        if let Any::Map(message) = log.body {
            push_pairs(message, &mut members);
        }
        self.rows.push(whole(find(&members, b"rows")));
        self.one_in.push(whole(find(&members, b"one_in")).max(1));
        self.counted.push(u8::from(!matches!(find(&members, b"counted"), Some(Any::Bool(false)))));
        self.add_classes(event, find(&members, b"class_counts"), count);
        self.score.add(event, find(&members, b"score"));
        self.value.add(event, find(&members, b"value"));
        if let Some(features) = &mut self.features {
            features.add(event, find(&members, b"features"), whole(find(&members, b"features_left_out")));
        }
    }

    /// Rows of each class, `left` in all at most.
    fn add_classes(&mut self, event: u32, classes: Option<Any<'_>>, mut left: u64) {
        let Some(Any::Map(message)) = classes else { return };
        for (name, Attribute { value, .. }) in label::first_of_each_key(message) {
            let rows = whole(Some(value)).min(left);
            if rows == 0 {
                continue;
            }
            left -= rows;
            let number = self.class_names.intern(cut(&name, MAX_LABEL_CHARS).as_bytes()).0;
            self.places.resize(self.class_names.len(), usize::MAX);
            let place = self.places[number as usize];
            // Two names may be one when they are cut.
            if self.class_event.get(place) == Some(&event) {
                self.class_rows[place] += rows;
                continue;
            }
            self.places[number as usize] = self.class_event.len();
            self.class_event.push(event);
            self.class_name.push(number);
            self.class_rows.push(rows);
        }
    }
}

impl Figures {
    /// The finite numbers of an array.
    fn add(&mut self, event: u32, column: Option<Any<'_>>) {
        let Some(Any::Array(message)) = column else { return };
        for element in elements(message) {
            let number = match element {
                Any::Double(double) if double.is_finite() => double,
                Any::Int(int) => int as f64,
                _ => continue,
            };
            self.event.push(event);
            self.number.push(number);
        }
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
    match read(payloads, Events::new(names, features), Scopes::Ahead) {
        Err((Stop::LateScope, _)) => read(payloads, Events::new(names, features), Scopes::Whole),
        other => other,
    }
    .map_err(|(_, index)| index)
}

fn read<'e>(payloads: &[&[u8]], mut events: Events<'e>, scopes: Scopes) -> Result<Events<'e>, (Stop, usize)> {
    for (index, payload) in payloads.iter().enumerate() {
        events.number = index as u32;
        walk::<Log, _>(payload, scopes, &mut events).map_err(|stop| (stop, index))?;
    }
    Ok(events)
}

impl<'a> Visitor<'a, Log<'a>> for Events<'_> {
    fn resource(&mut self, resource: &Resource<'a>, _: Option<Rejection>) {
        self.service.clear();
        self.service.push_str(&service_name(resource));
    }

    fn scope(&mut self, _: &Resource<'a>, _: &Scope<'a>, _: Option<Rejection>) {}

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, log: &Log<'a>) {
        if !log.event_name.is_empty() && self.names.iter().any(|name| name == log.event_name) {
            self.add(log);
        }
        self.accepted += 1;
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {}
}
