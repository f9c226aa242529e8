//! The OTLP messages that this core reads and writes, as data: the numbers and wire types of their fields, named once.
//!
//! `sidecar/decode/otlp/schema.py` has the same names and numbers; a contract test compares the two.

use crate::otlp::wire::Wire;

pub struct Field {
    /// As in the `opentelemetry-proto` definitions, in upper case.
    pub name: &'static str,
    pub number: u32,
    pub wire: Wire,
}

/// The messages, each as a module with a constant for each field, and all as `MESSAGES`: name and fields.
macro_rules! messages {
    ($($module:ident $message:literal { $($field:ident = $number:literal $wire:ident,)* })*) => {
        $(pub mod $module {
            #![allow(dead_code, reason = "the tables are whole, the readers need not be")]
            $(pub const $field: u32 = $number;)*
        })*
        pub const MESSAGES: &[(&str, &[Field])] = &[
            $(($message, &[$(Field { name: stringify!($field), number: $number, wire: Wire::$wire },)*]),)*
        ];
    };
}

messages! {
    request "ExportTraceServiceRequest" { RESOURCE_SPANS = 1 Len, }
    logs_request "ExportLogsServiceRequest" { RESOURCE_LOGS = 1 Len, }
    resource_spans "ResourceSpans" { RESOURCE = 1 Len, SCOPE_SPANS = 2 Len, SCHEMA_URL = 3 Len, }
    resource_logs "ResourceLogs" { RESOURCE = 1 Len, SCOPE_LOGS = 2 Len, SCHEMA_URL = 3 Len, }
    scope_spans "ScopeSpans" { SCOPE = 1 Len, SPANS = 2 Len, SCHEMA_URL = 3 Len, }
    scope_logs "ScopeLogs" { SCOPE = 1 Len, LOG_RECORDS = 2 Len, SCHEMA_URL = 3 Len, }
    resource "Resource" { ATTRIBUTES = 1 Len, DROPPED_ATTRIBUTES_COUNT = 2 Varint, }
    scope "InstrumentationScope" {
        NAME = 1 Len,
        VERSION = 2 Len,
        ATTRIBUTES = 3 Len,
        DROPPED_ATTRIBUTES_COUNT = 4 Varint,
    }
    span "Span" {
        TRACE_ID = 1 Len,
        SPAN_ID = 2 Len,
        TRACE_STATE = 3 Len,
        PARENT_SPAN_ID = 4 Len,
        NAME = 5 Len,
        KIND = 6 Varint,
        START_TIME_UNIX_NANO = 7 Fixed64,
        END_TIME_UNIX_NANO = 8 Fixed64,
        ATTRIBUTES = 9 Len,
        DROPPED_ATTRIBUTES_COUNT = 10 Varint,
        EVENTS = 11 Len,
        DROPPED_EVENTS_COUNT = 12 Varint,
        LINKS = 13 Len,
        DROPPED_LINKS_COUNT = 14 Varint,
        STATUS = 15 Len,
        FLAGS = 16 Fixed32,
    }
    event "Event" { TIME_UNIX_NANO = 1 Fixed64, NAME = 2 Len, ATTRIBUTES = 3 Len, DROPPED_ATTRIBUTES_COUNT = 4 Varint, }
    link "Link" {
        TRACE_ID = 1 Len,
        SPAN_ID = 2 Len,
        TRACE_STATE = 3 Len,
        ATTRIBUTES = 4 Len,
        DROPPED_ATTRIBUTES_COUNT = 5 Varint,
        FLAGS = 6 Fixed32,
    }
    status "Status" { MESSAGE = 2 Len, CODE = 3 Varint, }
    log_record "LogRecord" {
        TIME_UNIX_NANO = 1 Fixed64,
        SEVERITY_NUMBER = 2 Varint,
        SEVERITY_TEXT = 3 Len,
        BODY = 5 Len,
        ATTRIBUTES = 6 Len,
        DROPPED_ATTRIBUTES_COUNT = 7 Varint,
        FLAGS = 8 Fixed32,
        TRACE_ID = 9 Len,
        SPAN_ID = 10 Len,
        OBSERVED_TIME_UNIX_NANO = 11 Fixed64,
        EVENT_NAME = 12 Len,
    }
    any_value "AnyValue" {
        STRING_VALUE = 1 Len,
        BOOL_VALUE = 2 Varint,
        INT_VALUE = 3 Varint,
        DOUBLE_VALUE = 4 Fixed64,
        ARRAY_VALUE = 5 Len,
        KVLIST_VALUE = 6 Len,
        BYTES_VALUE = 7 Len,
    }
    array_value "ArrayValue" { VALUES = 1 Len, }
    key_value_list "KeyValueList" { VALUES = 1 Len, }
    key_value "KeyValue" { KEY = 1 Len, VALUE = 2 Len, }
}

/// Numbers that requests of spans and of logs have in common, so that one walk reads both.
pub mod common {
    /// Of a request: what each resource has.
    pub const RESOURCES: u32 = super::request::RESOURCE_SPANS;
    /// Of an element of a request: the resource itself; and of an element of that: the scope itself.
    pub const HEAD: u32 = super::resource_spans::RESOURCE;
    /// Of an element of a request: its scopes; and of those: their records.
    pub const CHILDREN: u32 = super::resource_spans::SCOPE_SPANS;
    /// Of either element.
    pub const SCHEMA_URL: u32 = super::resource_spans::SCHEMA_URL;

    const _: () = {
        assert!(super::logs_request::RESOURCE_LOGS == RESOURCES);
        assert!(super::resource_logs::RESOURCE == HEAD && super::scope_spans::SCOPE == HEAD);
        assert!(super::scope_logs::SCOPE == HEAD && super::resource_logs::SCOPE_LOGS == CHILDREN);
        assert!(super::scope_spans::SPANS == CHILDREN && super::scope_logs::LOG_RECORDS == CHILDREN);
        assert!(super::resource_logs::SCHEMA_URL == SCHEMA_URL && super::scope_spans::SCHEMA_URL == SCHEMA_URL);
        assert!(super::scope_logs::SCHEMA_URL == SCHEMA_URL);
        // One walk over the elements of arrays and of maps.
        assert!(super::array_value::VALUES == super::key_value_list::VALUES);
    };
}

/// A field's key on the wire in one byte, for numbers below 16.
pub const fn key_byte(number: u32, wire: Wire) -> u8 {
    assert!(number < 16);
    (number << 3) as u8 | wire as u8
}
