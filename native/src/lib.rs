//! The native core of model-sidecar: OTLP bytes to checks, columns and document lines.
//!
//! Everything that decodes is also in the pure-Python reference decoder, which is the specification. Bytes of a payload are
//! walked once, borrowed and bounds-checked; the interpreter lock is released while the work is done. `grpc` is apart:
//! what it replaces is grpcio's server.
#![forbid(unsafe_code)]

mod documents;
mod grpc;
mod logs;
mod otlp;
mod predictions;
mod python;
mod redaction;
