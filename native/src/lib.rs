//! The native core of model-sidecar: OTLP bytes to checks, columns and document lines.
//!
//! Everything here is also in the pure-Python reference decoder, which is the specification. Bytes of a payload are
//! walked once, borrowed and bounds-checked; the interpreter lock is released while the work is done.
#![forbid(unsafe_code)]

mod documents;
mod logs;
mod otlp;
mod predictions;
mod python;
mod redaction;
