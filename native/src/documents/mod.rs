//! Records as documents for Elasticsearch and Logstash.

pub mod document_header;
pub mod hex;
pub mod json_members;
pub mod lines;
pub mod logstash_events;
pub mod otel;
pub mod text;
