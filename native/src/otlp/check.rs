//! What is said of a payload before it is stored.

use crate::otlp::limits::MAX_ERRORS;
use crate::otlp::rejection::Rejection;
use crate::otlp::request::{walk, Record, RecordIndex, Resource, Scope, Scopes, Visitor};
use crate::otlp::wire::Stop;

pub struct Check {
    pub items: usize,
    pub events: usize,
    pub rejected: usize,
    pub errors: Vec<String>,
    /// Every accepted record has a time of its own; false when there is none.
    pub timed: bool,
    /// Something may be in need of repair.
    pub suspect: bool,
}

/// Names of the repeated fields on the way to a record.
#[derive(Clone, Copy)]
pub struct Path {
    pub resources: &'static str,
    pub scopes: &'static str,
}

pub const TRACES: Path = Path { resources: "resource_spans", scopes: "scope_spans" };
pub const LOGS: Path = Path { resources: "resource_logs", scopes: "scope_logs" };

struct Tally {
    path: Path,
    items: usize,
    events: usize,
    rejected: usize,
    without_time: usize,
    suspect: bool,
    errors: Vec<String>,
    resource: Option<Rejection>,
    scope: Option<Rejection>,
}

/// Reads the whole payload once; nothing is allocated for a record that is accepted.
pub fn check<'a, R: Record<'a>>(payload: &'a [u8], path: Path) -> Result<Check, Stop> {
    match check_with::<R>(payload, path, Scopes::Ahead) {
        Err(Stop::LateScope) => check_with::<R>(payload, path, Scopes::Whole),
        other => other,
    }
}

fn check_with<'a, R: Record<'a>>(payload: &'a [u8], path: Path, scopes: Scopes) -> Result<Check, Stop> {
    let mut tally = Tally {
        path,
        items: 0,
        events: 0,
        rejected: 0,
        without_time: 0,
        suspect: false,
        errors: Vec::new(),
        resource: None,
        scope: None,
    };
    walk::<R, _>(payload, scopes, &mut tally)?;
    Ok(Check {
        items: tally.items,
        events: tally.events,
        rejected: tally.rejected,
        timed: tally.items > 0 && tally.without_time == 0,
        suspect: tally.suspect || tally.rejected > 0,
        errors: tally.errors,
    })
}

impl<'a, R: Record<'a>> Visitor<'a, R> for Tally {
    fn resource(&mut self, resource: &Resource<'a>, rejection: Option<Rejection>) {
        self.suspect |= rejection.is_some() || resource.repeated || resource.attributes.notes.repeated;
        self.resource = rejection;
    }

    fn scope(&mut self, _: &Resource<'a>, scope: &Scope<'a>, rejection: Option<Rejection>) {
        self.suspect |= rejection.is_some() || scope.repeated || scope.attributes.notes.repeated;
        self.scope = rejection;
    }

    #[inline(always)]
    fn record(&mut self, _: RecordIndex, record: &R) {
        self.items += 1;
        self.events += record.events();
        self.without_time += usize::from(record.time() == 0);
        self.suspect |= record.is_suspect();
    }

    #[inline(never)]
    fn refused(&mut self, place: RecordIndex, rejection: Option<Rejection>) {
        self.rejected += 1;
        if self.errors.len() >= MAX_ERRORS {
            return;
        }
        let message = self.message::<R>(place, rejection);
        if !self.errors.contains(&message) {
            self.errors.push(message);
        }
    }
}

impl Tally {
    fn message<'a, R: Record<'a>>(&self, place: RecordIndex, own: Option<Rejection>) -> String {
        let resource = format!("{}[{}]", self.path.resources, place.resource);
        let scope = format!("{resource}.{}[{}]", self.path.scopes, place.scope);
        if let Some(rejection) = self.resource {
            return rejection.message(&format!("{resource}.resource"));
        }
        if let Some(rejection) = self.scope {
            return rejection.message(&format!("{scope}.scope"));
        }
        let path = format!("{scope}.{}[{}]", R::LIST, place.record);
        own.map(|rejection| rejection.message(&path)).unwrap_or_default()
    }
}
