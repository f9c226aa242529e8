//! The body of a unary request: one message behind its prefix of five bytes (gRPC over HTTP/2, "Length-Prefixed-Message").

use bytes::{Buf, Bytes};

use crate::grpc::reply::{Reply, INTERNAL, RESOURCE_EXHAUSTED};

const PREFIX: usize = 5;
/// Data of so many bytes is kept as it came: most of a frame of the largest size (16,384 bytes), so that what else its
/// buffer holds is little. Less is copied together.
const KEPT: usize = 16_000;

/// A message as far as it has come. It takes at most about twice the memory of what has come, whatever is claimed.
#[derive(Default)]
pub struct Message {
    prefix: Vec<u8>,
    parts: Vec<Bytes>,
    /// What follows the parts.
    rest: Vec<u8>,
    len: usize,
}

/// What becomes of a request as more of it comes.
pub enum Progress {
    More,
    Whole,
    Refused(Reply),
}

impl Message {
    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.prefix.len() + self.len
    }

    /// Bytes of the message itself that have come.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes what belongs to the message; what follows it is dropped.
    pub fn push(&mut self, mut data: Bytes, limit: usize, encoded: bool) -> Progress {
        let wanted = (PREFIX - self.prefix.len()).min(data.len());
        self.prefix.extend_from_slice(&data[..wanted]);
        data.advance(wanted);
        let Some(length) = self.length() else { return Progress::More };
        if length > limit {
            let text = format!("message of {length} bytes is over the limit of {limit} bytes on the wire");
            return Progress::Refused(Reply::error(RESOURCE_EXHAUSTED, &text));
        }
        if self.compressed() && !encoded {
            let text = "message is marked as compressed, and no encoding is named (grpc-encoding)";
            return Progress::Refused(Reply::error(INTERNAL, text));
        }
        data.truncate(length - self.len);
        self.len += data.len();
        if data.len() >= KEPT {
            if !self.rest.is_empty() {
                self.parts.push(Bytes::from(std::mem::take(&mut self.rest)));
            }
            self.parts.push(data);
        } else {
            self.rest.extend_from_slice(&data);
        }
        if self.len == length {
            Progress::Whole
        } else {
            Progress::More
        }
    }

    /// Whether it is compressed.
    pub fn compressed(&self) -> bool {
        self.prefix.first().is_some_and(|flag| flag & 1 == 1)
    }

    /// Writes all of it, `len` bytes.
    pub fn write(&self, mut out: &mut [u8]) {
        for part in self.parts.iter().map(Bytes::as_ref).chain([self.rest.as_slice()]) {
            let (here, after) = out.split_at_mut(part.len());
            here.copy_from_slice(part);
            out = after;
        }
    }

    fn length(&self) -> Option<usize> {
        let length: [u8; 4] = self.prefix.get(1..PREFIX)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(length)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn wire(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap();
        [&[0], &length.to_be_bytes()[..], content, b"behind it"].concat()
    }

    #[test]
    fn a_message_is_the_same_wherever_its_bytes_are_cut() {
        let content: Vec<u8> = (0..50_000_u32).map(|place| place.to_le_bytes()[0] ^ place.to_le_bytes()[1]).collect();
        for sizes in [vec![1], vec![3, 16_384], vec![16_384], vec![KEPT - 1, KEPT], vec![LIMIT]] {
            let (mut message, mut wire) = (Message::default(), Bytes::from(wire(&content)));
            let whole = sizes.iter().cycle().any(|size| {
                let part = wire.split_to(wire.len().min(*size));
                matches!(message.push(part, LIMIT, false), Progress::Whole)
            });
            let mut out = vec![0; message.len()];
            message.write(&mut out);
            assert!(whole && out == content, "{sizes:?}");
        }
    }

    #[test]
    fn an_empty_message_is_whole() {
        assert!(matches!(Message::default().push(Bytes::from(wire(b"")), LIMIT, false), Progress::Whole));
    }

    #[test]
    fn data_is_counted_as_it_comes() {
        let mut message = Message::default();
        let all = Bytes::from(wire(&[7; 40_000]));
        assert!(matches!(message.push(all.slice(..3), LIMIT, false), Progress::More) && message.held() == 3);
        assert!(matches!(message.push(all.slice(3..105), LIMIT, false), Progress::More) && message.held() == 105);
    }
}
