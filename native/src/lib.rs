//! The native core of model-sidecar: OTLP bytes to verdicts, columns and document lines.
//!
//! Everything here is also in the pure-Python reference decoder, which is the specification. Bytes of a payload are
//! walked once, borrowed and bounds-checked; the interpreter lock is released while the work is done.
#![forbid(unsafe_code)]

mod card;
mod check;
mod columns;
mod documents;
mod encode;
mod entry;
mod events;
mod fault;
mod filter;
mod gate;
mod glob;
mod intern;
mod json;
mod json_fields;
mod json_log;
mod keys;
mod label;
mod limits;
mod log;
mod members;
mod patch;
mod predictions;
mod python;
mod refusal;
mod request;
mod rewrite;
mod rules;
mod sampling;
mod severity;
mod span;
mod stream;
mod text;
mod timestamps;
mod tracebacks;
mod transcoded;
mod value;
mod wire;
