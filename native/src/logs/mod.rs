//! JSON log lines to OTLP log records.

pub mod fields;
pub mod ids;
pub mod json;
pub mod json_record;
pub mod severity;
pub mod timestamps;
pub mod tracebacks;
pub mod transcoded;
