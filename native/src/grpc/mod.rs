//! A server's side of gRPC over HTTP/2 without input or output: bytes in, unary requests and bytes out.
//!
//! HTTP/2 itself is `h2`'s, with its bounds on resets, CONTINUATION and small frames. It is driven over a pipe in memory,
//! by the caller's thread: there is no runtime, no thread and no timer here.

pub mod connection;
mod frames;
mod message;
mod pipe;
pub mod reply;
mod request;
