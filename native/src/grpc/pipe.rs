//! What stands for a socket: bytes that came, and bytes that are to be sent.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Default)]
struct Buffers {
    input: Bytes,
    output: Vec<u8>,
}

/// Both ends of it: what is put into one handle is read from its clones.
#[derive(Clone, Default)]
pub struct Pipe(Arc<Mutex<Buffers>>);

impl Pipe {
    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that came from the peer. They are not copied: `h2` has read all that came before, as a rule.
    pub fn put(&self, data: Bytes) {
        let mut buffers = self.buffers();
        buffers.input = if buffers.input.is_empty() { data } else { Bytes::from([&buffers.input[..], &data].concat()) };
    }

    /// Bytes for the peer, once.
    pub fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut self.buffers().output)
    }

    /// Bytes for the peer that `h2` knows nothing of.
    pub fn append_output(&self, data: &[u8]) {
        self.buffers().output.extend_from_slice(data);
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut buffers = self.buffers();
        if buffers.input.is_empty() {
            return Poll::Pending;
        }
        let size = buffers.input.len().min(buf.remaining());
        buf.put_slice(&buffers.input[..size]);
        buffers.input.advance(size);
        if buffers.input.is_empty() {
            buffers.input = Bytes::new(); // An idle connection has no buffer.
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.append_output(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
