//! The messages of trace and logs requests by what their fields are: one table for redaction, and for the search of the
//! place where a malformed payload breaks.

use crate::otlp::tags::{
    common, event, link, log_record, logs_request, request, resource, scope, scope_logs, scope_spans, span, status,
};
use crate::otlp::wire::Value;

/// What a field is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number, an enum, a time.
    Scalar,
    Text,
    /// Bytes of one of these lengths.
    Id(&'static [usize]),
    /// A KeyValue.
    Pair,
    /// An AnyValue.
    Any,
    Message(Message),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Message {
    TracesRequest,
    LogsRequest,
    ResourceSpans,
    ResourceLogs,
    ScopeSpans,
    ScopeLogs,
    Resource,
    Scope,
    Span,
    Event,
    Link,
    Status,
    Log,
}

impl Message {
    /// The kind of a field; None where it is not known, or has another wire type than it must have.
    #[inline(always)]
    pub fn kind(self, number: u32, value: &Value<'_>) -> Option<Kind> {
        use Value::{Bytes, Fixed32, Fixed64, Varint};
        Some(match (self, number, value) {
            (Message::Span, span::ATTRIBUTES, Bytes(_)) | (Message::Log, log_record::ATTRIBUTES, Bytes(_)) => {
                Kind::Pair
            }
            (Message::Span, span::TRACE_ID, Bytes(_)) | (Message::Link, link::TRACE_ID, Bytes(_)) => Kind::Id(&[16]),
            (Message::Span, span::SPAN_ID, Bytes(_)) | (Message::Link, link::SPAN_ID, Bytes(_)) => Kind::Id(&[8]),
            (Message::Span, span::PARENT_SPAN_ID, Bytes(_)) => Kind::Id(&[0, 8]),
            (Message::Span, span::TRACE_STATE | span::NAME, Bytes(_)) => Kind::Text,
            (Message::Span, span::KIND | span::DROPPED_ATTRIBUTES_COUNT, Varint(_)) => Kind::Scalar,
            (Message::Span, span::DROPPED_EVENTS_COUNT | span::DROPPED_LINKS_COUNT, Varint(_)) => Kind::Scalar,
            (Message::Span, span::START_TIME_UNIX_NANO | span::END_TIME_UNIX_NANO, Fixed64(_)) => Kind::Scalar,
            (Message::Span, span::EVENTS, Bytes(_)) => Kind::Message(Message::Event),
            (Message::Span, span::LINKS, Bytes(_)) => Kind::Message(Message::Link),
            (Message::Span, span::STATUS, Bytes(_)) => Kind::Message(Message::Status),
            (Message::Span, span::FLAGS, Fixed32(_)) => Kind::Scalar,
            (Message::Log, log_record::TIME_UNIX_NANO | log_record::OBSERVED_TIME_UNIX_NANO, Fixed64(_)) => {
                Kind::Scalar
            }
            (Message::Log, log_record::SEVERITY_NUMBER | log_record::DROPPED_ATTRIBUTES_COUNT, Varint(_)) => {
                Kind::Scalar
            }
            (Message::Log, log_record::SEVERITY_TEXT | log_record::EVENT_NAME, Bytes(_)) => Kind::Text,
            (Message::Log, log_record::BODY, Bytes(_)) => Kind::Any,
            (Message::Log, log_record::FLAGS, Fixed32(_)) => Kind::Scalar,
            (Message::Log, log_record::TRACE_ID, Bytes(_)) => Kind::Id(&[0, 16]),
            (Message::Log, log_record::SPAN_ID, Bytes(_)) => Kind::Id(&[0, 8]),
            (Message::Resource, resource::ATTRIBUTES, Bytes(_)) => Kind::Pair,
            (Message::Resource, resource::DROPPED_ATTRIBUTES_COUNT, Varint(_)) => Kind::Scalar,
            (Message::Scope, scope::NAME | scope::VERSION, Bytes(_)) => Kind::Text,
            (Message::Scope, scope::ATTRIBUTES, Bytes(_)) => Kind::Pair,
            (Message::Scope, scope::DROPPED_ATTRIBUTES_COUNT, Varint(_)) => Kind::Scalar,
            (Message::Event, event::TIME_UNIX_NANO, Fixed64(_)) => Kind::Scalar,
            (Message::Event, event::NAME, Bytes(_)) => Kind::Text,
            (Message::Event, event::ATTRIBUTES, Bytes(_)) => Kind::Pair,
            (Message::Event, event::DROPPED_ATTRIBUTES_COUNT, Varint(_)) => Kind::Scalar,
            (Message::Link, link::TRACE_STATE, Bytes(_)) => Kind::Text,
            (Message::Link, link::ATTRIBUTES, Bytes(_)) => Kind::Pair,
            (Message::Link, link::DROPPED_ATTRIBUTES_COUNT, Varint(_)) => Kind::Scalar,
            (Message::Link, link::FLAGS, Fixed32(_)) => Kind::Scalar,
            (Message::Status, status::MESSAGE, Bytes(_)) => Kind::Text,
            (Message::Status, status::CODE, Varint(_)) => Kind::Scalar,
            _ => return self.kind_above_records(number, value),
        })
    }

    /// The same for the messages around records.
    fn kind_above_records(self, number: u32, value: &Value<'_>) -> Option<Kind> {
        let Value::Bytes(_) = value else { return None };
        Some(match (self, number) {
            (Message::TracesRequest, request::RESOURCE_SPANS) => Kind::Message(Message::ResourceSpans),
            (Message::LogsRequest, logs_request::RESOURCE_LOGS) => Kind::Message(Message::ResourceLogs),
            (Message::ResourceSpans | Message::ResourceLogs, common::HEAD) => Kind::Message(Message::Resource),
            (Message::ResourceSpans, common::CHILDREN) => Kind::Message(Message::ScopeSpans),
            (Message::ResourceLogs, common::CHILDREN) => Kind::Message(Message::ScopeLogs),
            (Message::ScopeSpans | Message::ScopeLogs, common::HEAD) => Kind::Message(Message::Scope),
            (Message::ScopeSpans, scope_spans::SPANS) => Kind::Message(Message::Span),
            (Message::ScopeLogs, scope_logs::LOG_RECORDS) => Kind::Message(Message::Log),
            (
                Message::ResourceSpans | Message::ResourceLogs | Message::ScopeSpans | Message::ScopeLogs,
                common::SCHEMA_URL,
            ) => Kind::Text,
            _ => return None,
        })
    }
}
