//! Which members of a JSON log line mean what; the same lists as the reference decoder's `fields`.
//!
//! Every name has a slot. Slots of one role follow each other in order of preference, so that a set of slots is a bit
//! mask and the preferred member of a role its lowest bit.

pub type Slots = u128;

const TIME_NAMES: &[&str] = &[
    "timestamp",
    "ts",
    "time",
    "@timestamp",
    "asctime",
    "datetime",
    "@t",
    "timeMillis",
    "record.time.timestamp",
    "Timestamp",
    "instant",
    "written_at",
];
const LEVEL_NAMES: &[&str] = &[
    "level",
    "severity",
    "levelname",
    "log.level",
    "loglevel",
    "log_level",
    "lvl",
    "severity_text",
    "severityText",
    "SeverityText",
    "@l",
    "severity_number",
    "severityNumber",
    "SeverityNumber",
    "levelno",
    "level_number",
    "record.level.name",
    "priority",
    "PRIORITY",
];
const TRACE_ID_NAMES: &[&str] = &[
    "trace_id",
    "trace.id",
    "traceId",
    "otelTraceID",
    "TraceId",
    "traceID",
    "dd.trace_id",
    "mdc.trace_id",
    "mdc.traceId",
    "contextMap.trace_id",
    "contextMap.traceId",
    "record.extra.trace_id",
    "record.extra.otelTraceID",
    "logging.googleapis.com/trace",
    "span.trace_id",
    "_trace_id",
];
const SPAN_ID_NAMES: &[&str] = &[
    "span_id",
    "span.id",
    "spanId",
    "otelSpanID",
    "SpanId",
    "spanID",
    "dd.span_id",
    "mdc.span_id",
    "mdc.spanId",
    "contextMap.span_id",
    "contextMap.spanId",
    "record.extra.span_id",
    "record.extra.otelSpanID",
    "logging.googleapis.com/spanId",
    "span.span_id",
    "_span_id",
];
const SERVICE_NAMES: &[&str] =
    &["service", "service.name", "service_name", "otelServiceName", "serviceName", "dd.service"];
const BODY_NAMES: &[&str] = &[
    "message",
    "msg",
    "event",
    "log",
    "record.message",
    "text",
    "@m",
    "@mt",
    "fields.message",
    "short_message",
    "MESSAGE",
    "Body",
    "body",
    "message_type",
];
const EXCEPTION_TYPE_NAMES: &[&str] = &[
    "exception.type",
    "error.type",
    "err.type",
    "error.kind",
    "exc_type",
    "throwable.className",
    "record.exception.type",
    "thrown.name",
    "exception.exception_class",
    "_exception.class",
];
const EXCEPTION_MESSAGE_NAMES: &[&str] = &[
    "exception.message",
    "error.message",
    "err.message",
    "exc_message",
    "throwable.message",
    "record.exception.value",
    "thrown.message",
    "exception.exception_message",
    "_exception.message",
    "error",
    "err",
];
const STACKTRACE_NAMES: &[&str] = &[
    "exception.stacktrace",
    "error.stack_trace",
    "error.stack",
    "err.stack",
    "exception",
    "exc_info",
    "exc_text",
    "stack",
    "stacktrace",
    "stack_trace",
    "traceback",
    "@x",
    "_exception.stackTrace",
    "full_message",
];
const OTHER_NAMES: &[&str] = &["traceparent", "exception.stacks", "timestampSeconds", "timestampNanos"];

pub const ROLES: [&[&str]; 10] = [
    TIME_NAMES,
    LEVEL_NAMES,
    TRACE_ID_NAMES,
    SPAN_ID_NAMES,
    SERVICE_NAMES,
    BODY_NAMES,
    EXCEPTION_TYPE_NAMES,
    EXCEPTION_MESSAGE_NAMES,
    STACKTRACE_NAMES,
    OTHER_NAMES,
];

/// Names of the roles, as the reference decoder's lists are called; of the last one every name is for itself.
pub const ROLE_NAMES: [&str; 9] =
    ["TIME", "LEVEL", "TRACE_ID", "SPAN_ID", "SERVICE", "BODY", "EXCEPTION_TYPE", "EXCEPTION_MESSAGE", "STACKTRACE"];

const fn first_slot(role: usize) -> usize {
    let mut slot = 0;
    let mut before = 0;
    while before < role {
        slot += ROLES[before].len();
        before += 1;
    }
    slot
}

const fn role(role: usize) -> Slots {
    ((1 << ROLES[role].len()) - 1) << first_slot(role)
}

pub const TIME: Slots = role(0);
pub const LEVEL: Slots = role(1);
pub const TRACE_ID: Slots = role(2);
pub const SPAN_ID: Slots = role(3);
pub const SERVICE: Slots = role(4);
pub const BODY: Slots = role(5);
pub const EXCEPTION_TYPE: Slots = role(6);
pub const EXCEPTION_MESSAGE: Slots = role(7);
pub const STACKTRACE: Slots = role(8);

pub const COUNT: usize = first_slot(ROLES.len());
const _: () = assert!(COUNT <= Slots::BITS as usize, "a slot has no bit");
pub const TIME_SECONDS: usize = named("timestampSeconds");
pub const TIME_NANOSECONDS: usize = named("timestampNanos");
pub const TRACEPARENT: usize = named("traceparent");
pub const EXCEPTION: usize = named("exception");
pub const EXCEPTION_STACKS: usize = named("exception.stacks");
pub const EXCEPTION_STACKTRACE: usize = named("exception.stacktrace");
pub const EXCEPTION_TYPE_ITSELF: usize = named("exception.type");
pub const EXCEPTION_MESSAGE_ITSELF: usize = named("exception.message");

/// Its value is `projects/PROJECT/traces/ID`.
pub const GOOGLE_TRACE: usize = named("logging.googleapis.com/trace");

/// Names whose text is a stack trace even if it is not of a form that is known.
pub const SURE_STACKTRACE: Slots = 1 << named("exception.stacktrace")
    | 1 << named("error.stack_trace")
    | 1 << named("error.stack")
    | 1 << named("err.stack")
    | 1 << named("stacktrace")
    | 1 << named("stack_trace");

/// Names whose ids are 64-bit decimal numbers.
pub const DECIMAL_IDS: Slots = 1 << named("dd.trace_id") | 1 << named("dd.span_id");

/// What a number means as a level.
#[derive(Clone, Copy)]
pub enum Levels {
    JavaScript,
    Python,
    Otlp,
}

const PYTHON_LEVELS: Slots =
    1 << named("levelname") | 1 << named("levelno") | 1 << named("level_number") | 1 << named("record.level.name");
const OTLP_LEVELS: Slots = 1 << named("severity_text")
    | 1 << named("severityText")
    | 1 << named("SeverityText")
    | 1 << named("severity_number")
    | 1 << named("severityNumber")
    | 1 << named("SeverityNumber");

pub fn levels(slot: usize) -> Levels {
    if PYTHON_LEVELS >> slot & 1 == 1 {
        Levels::Python
    } else if OTLP_LEVELS >> slot & 1 == 1 {
        Levels::Otlp
    } else {
        Levels::JavaScript
    }
}

/// Objects whose members are read like members of the line, as `object.member`: as data, and as a match.
macro_rules! objects {
    ($($name:literal)|+) => {
        pub const OBJECTS: &[&str] = &[$($name),+];

        pub fn is_object(key: &str) -> bool {
            matches!(key, $($name)|+)
        }
    };
}

objects!(
    "log"
        | "trace"
        | "span"
        | "service"
        | "error"
        | "err"
        | "dd"
        | "fields"
        | "mdc"
        | "contextMap"
        | "throwable"
        | "thrown"
        | "exception"
        | "_exception"
        | "record"
        | "record.level"
        | "record.time"
        | "record.exception"
        | "record.extra"
);

/// The slots of a set.
pub fn slots(set: Slots) -> impl Iterator<Item = usize> {
    (0..COUNT).filter(move |slot| set >> slot & 1 == 1)
}

/// The names of a set of slots.
pub fn names_in(set: Slots) -> Vec<&'static str> {
    slots(set).map(name_of).collect()
}

const BUCKETS: usize = 512;
const NONE: u8 = u8::MAX;

/// Slots by hash of their names, open addressing.
const TABLE: [u8; BUCKETS] = {
    let mut table = [NONE; BUCKETS];
    let mut slot = 0;
    while slot < COUNT {
        let mut bucket = hash(name(slot).as_bytes());
        while table[bucket] != NONE {
            bucket = (bucket + 1) % BUCKETS;
        }
        table[bucket] = slot as u8;
        slot += 1;
    }
    table
};

const NAMES: [&str; COUNT] = {
    let mut names = [""; COUNT];
    let mut slot = 0;
    while slot < COUNT {
        names[slot] = name(slot);
        slot += 1;
    }
    names
};

const fn name(slot: usize) -> &'static str {
    let mut role = 0;
    while slot >= first_slot(role + 1) {
        role += 1;
    }
    ROLES[role][slot - first_slot(role)]
}

const fn named(wanted: &str) -> usize {
    let mut slot = 0;
    while !equal(name(slot).as_bytes(), wanted.as_bytes()) {
        slot += 1;
    }
    slot
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

pub fn name_of(slot: usize) -> &'static str {
    NAMES[slot]
}

/// `name` is not empty.
const fn hash(name: &[u8]) -> usize {
    let first = name[0] as usize;
    let middle = name[name.len() / 2] as usize;
    let last = name[name.len() - 1] as usize;
    (name.len() * 167 + first * 31 + middle * 59 + last * 97) % BUCKETS
}

/// The slot of a member's name.
#[inline]
pub fn slot(key: &str) -> Option<usize> {
    if key.is_empty() {
        return None;
    }
    let mut bucket = hash(key.as_bytes());
    loop {
        let slot = TABLE[bucket];
        if slot == NONE {
            return None;
        }
        if NAMES[slot as usize] == key {
            return Some(slot as usize);
        }
        bucket = (bucket + 1) % BUCKETS;
    }
}

/// Where the members of a line are whose names have a slot.
pub struct Places {
    pub present: Slots,
    places: [u32; COUNT],
}

impl Default for Places {
    fn default() -> Self {
        Places { present: 0, places: [0; COUNT] }
    }
}

impl Places {
    /// `names`: of all members, in order; no two are equal.
    pub fn find<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        self.present = 0;
        for (place, name) in names.enumerate() {
            if let Some(slot) = slot(name) {
                self.present |= 1 << slot;
                self.places[slot] = place as u32;
            }
        }
    }

    /// The place of a member that is present.
    #[inline(always)]
    pub fn of(&self, slot: usize) -> usize {
        self.places[slot] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_slot_and_nothing_else_does() {
        for slot in 0..COUNT {
            assert_eq!(super::slot(name_of(slot)), Some(slot));
        }
        for other in ["", "x", "Level", "message ", "dd"] {
            assert_eq!(super::slot(other), None);
        }
    }

    #[test]
    fn roles_share_no_slot() {
        let roles = [TIME, LEVEL, TRACE_ID, SPAN_ID, SERVICE, BODY, EXCEPTION_TYPE, EXCEPTION_MESSAGE, STACKTRACE];
        assert_eq!(
            roles.iter().map(|role| role.count_ones()).sum::<u32>(),
            roles.iter().fold(0, |all, role| all | role).count_ones()
        );
    }
}
