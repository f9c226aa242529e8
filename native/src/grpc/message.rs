//! The body of a unary request: one message behind its prefix of five bytes (gRPC over HTTP/2, "Length-Prefixed-Message").

use crate::grpc::reply::{Reply, INTERNAL, RESOURCE_EXHAUSTED};

const PREFIX: usize = 5;

/// A message as far as it has come.
#[derive(Default)]
pub struct Message {
    bytes: Vec<u8>,
}

/// What becomes of a request as more of it comes.
pub enum Progress {
    More,
    Whole,
    Refused(Reply),
}

impl Message {
    /// Bytes that are held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes what belongs to the message; what follows it is dropped.
    pub fn push(&mut self, mut data: &[u8], limit: usize, encoded: bool) -> Progress {
        let wanted = PREFIX.saturating_sub(self.bytes.len()).min(data.len());
        self.bytes.extend_from_slice(&data[..wanted]);
        data = &data[wanted..];
        let Some(length) = self.length() else { return Progress::More };
        if length > limit {
            let text = format!("message of {length} bytes is over the limit of {limit} bytes on the wire");
            return Progress::Refused(Reply::error(RESOURCE_EXHAUSTED, &text));
        }
        if self.compressed() && !encoded {
            let text = "message is marked as compressed, and no encoding is named (grpc-encoding)";
            return Progress::Refused(Reply::error(INTERNAL, text));
        }
        let missing = PREFIX + length - self.bytes.len();
        let taken = missing.min(data.len());
        // No more than twice what has come, whatever length is claimed.
        self.bytes.reserve_exact(missing.min((self.bytes.len() + taken).max(16 << 10)));
        self.bytes.extend_from_slice(&data[..taken]);
        if taken == missing {
            Progress::Whole
        } else {
            Progress::More
        }
    }

    /// Whether it is compressed.
    pub fn compressed(&self) -> bool {
        self.bytes.first().is_some_and(|flag| flag & 1 == 1)
    }

    /// The message without its prefix.
    pub fn content(&self) -> &[u8] {
        self.bytes.get(PREFIX..).unwrap_or_default()
    }

    fn length(&self) -> Option<usize> {
        let length: [u8; 4] = self.bytes.get(1..PREFIX)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(length)).ok()
    }
}
