//! Which records of a request are left: accepted ones that the filter takes.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::documents::otel::event_name;
use crate::documents::text::repair;
use crate::logs::severity::from_name;
use crate::otlp::columns::{find, UNKNOWN_SERVICE};
use crate::otlp::label;
use crate::otlp::log::Log;
use crate::otlp::rejection::Rejection;
use crate::otlp::request::{walk, Record, RecordIndex, Resource, Scope, Scopes, Visitor};
use crate::otlp::span::Span;
use crate::otlp::value::{Any, Attribute};
use crate::otlp::wire::Stop;
use crate::redaction::glob::Globs;
use crate::redaction::rules::{bits_of, Rules};

const ERROR: u8 = 2;

pub struct Filter {
    pub services: Globs,
    pub excluded: Globs,
    pub min_severity: u8,
    pub event_names: Globs,
    /// Traces whose hash is below this are kept; None keeps all.
    pub keep_below: Option<u64>,
    pub keep_errors: bool,
    pub min_duration: u64,
    pub keep_attributes: Vec<String>,
    pub seed: u64,
}

/// What becomes of one record.
#[derive(Clone, Copy, Default)]
pub struct Decision {
    pub accepted: bool,
    pub left: bool,
    /// Span events in it.
    pub events: usize,
    /// The key rules that count in it, a bit each.
    pub active: u128,
}

pub struct Decider<'f, 'a> {
    filter: &'f Filter,
    rules: &'f Rules,
    /// The key rules that count whatever the event.
    everywhere: u128,
    service_taken: bool,
    decisions: Vec<Decision>,
    /// Trace ids of the accepted spans with the places of their decisions, where a sample is taken.
    sampled: Vec<(usize, &'a [u8])>,
    kept: HashSet<&'a [u8]>,
}

/// The key rules that count whatever the event.
pub fn everywhere(rules: &Rules) -> u128 {
    bits_of(&rules.keys, |rule| rule.events.is_empty())
}

/// A decision for each record in wire order.
pub fn decide<'f, 'a, R: Record<'a>>(
    payload: &'a [u8],
    filter: &'f Filter,
    rules: &'f Rules,
) -> Result<Vec<Decision>, Stop>
where
    Decider<'f, 'a>: Visitor<'a, R>,
{
    match decide_with::<R>(payload, filter, rules, Scopes::Ahead) {
        Err(Stop::LateScope) => decide_with::<R>(payload, filter, rules, Scopes::Whole),
        other => other,
    }
}

fn decide_with<'f, 'a, R: Record<'a>>(
    payload: &'a [u8],
    filter: &'f Filter,
    rules: &'f Rules,
    scopes: Scopes,
) -> Result<Vec<Decision>, Stop>
where
    Decider<'f, 'a>: Visitor<'a, R>,
{
    let mut decider = Decider {
        filter,
        rules,
        everywhere: everywhere(rules),
        service_taken: true,
        decisions: Vec::new(),
        sampled: Vec::new(),
        kept: HashSet::new(),
    };
    walk::<R, _>(payload, scopes, &mut decider)?;
    Ok(decider.finish())
}

impl<'a> Decider<'_, 'a> {
    fn enter(&mut self, resource: &Resource<'a>) {
        let filter = self.filter;
        self.service_taken = true;
        if filter.services.is_empty() && filter.excluded.is_empty() {
            return;
        }
        let named = find(&resource.attributes.list, b"service.name").map(label::of).filter(|name| !name.is_empty());
        let service = named.as_deref().unwrap_or(UNKNOWN_SERVICE).to_ascii_lowercase();
        let included = filter.services.is_empty() || filter.services.matches(service.as_bytes());
        self.service_taken = included && !filter.excluded.matches(service.as_bytes());
    }

    fn finish(mut self) -> Vec<Decision> {
        let below = self.filter.keep_below.unwrap_or(u64::MAX);
        for (place, trace_id) in self.sampled {
            let in_sample = xxh3_64_with_seed(trace_id, self.filter.seed) < below;
            self.decisions[place].left &= in_sample || self.kept.contains(trace_id);
        }
        self.decisions
    }

    fn is_kept(&self, span: &Span<'a>) -> bool {
        let filter = self.filter;
        (filter.keep_errors && span.status_code == ERROR)
            || (filter.min_duration > 0 && span.duration() >= filter.min_duration)
            || filter.keep_attributes.iter().any(|name| is_true(&span.attributes.list, name.as_bytes()))
    }

    fn takes(&self, log: &Log<'a>) -> bool {
        let filter = self.filter;
        if filter.min_severity > 0 {
            let named = || from_name(log.severity_text);
            let severity = if log.severity_number == 0 { named() } else { log.severity_number };
            if 0 < severity && severity < filter.min_severity {
                return false;
            }
        }
        filter.event_names.is_empty()
            || filter.event_names.matches(repair(event_name(log)).to_ascii_lowercase().as_bytes())
    }
}

fn is_true(attributes: &[Attribute<'_>], name: &[u8]) -> bool {
    matches!(find(attributes, name), Some(Any::Bool(true) | Any::Text(b"true")))
}

impl<'a> Visitor<'a, Span<'a>> for Decider<'_, 'a> {
    fn resource(&mut self, resource: &Resource<'a>, _: Option<Rejection>) {
        self.enter(resource);
    }

    fn scope(&mut self, _: &Resource<'a>, _: &Scope<'a>, _: Option<Rejection>) {}

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, span: &Span<'a>) {
        if self.filter.keep_below.is_some() {
            self.sampled.push((self.decisions.len(), span.trace_id));
            if self.is_kept(span) {
                self.kept.insert(span.trace_id);
            }
        }
        self.decisions.push(Decision {
            accepted: true,
            left: self.service_taken,
            events: span.events.len(),
            active: self.everywhere,
        });
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {
        self.decisions.push(Decision::default());
    }
}

impl<'a> Visitor<'a, Log<'a>> for Decider<'_, 'a> {
    fn resource(&mut self, resource: &Resource<'a>, _: Option<Rejection>) {
        self.enter(resource);
    }

    fn scope(&mut self, _: &Resource<'a>, _: &Scope<'a>, _: Option<Rejection>) {}

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, log: &Log<'a>) {
        self.decisions.push(Decision {
            accepted: true,
            left: self.service_taken && self.takes(log),
            events: 0,
            active: self.rules.active_in(event_name(log), self.everywhere),
        });
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {
        self.decisions.push(Decision::default());
    }
}
