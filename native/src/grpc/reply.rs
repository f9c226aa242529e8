//! Replies: a message, or a status other than OK without one (gRPC over HTTP/2, "Responses").

use base64::prelude::{Engine, BASE64_STANDARD_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use http::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_TYPE};
use http::{Response, StatusCode};

pub const DEADLINE_EXCEEDED: u32 = 4;
pub const RESOURCE_EXHAUSTED: u32 = 8;
pub const UNIMPLEMENTED: u32 = 12;
pub const INTERNAL: u32 = 13;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODINGS: HeaderName = HeaderName::from_static("grpc-accept-encoding");
pub const KNOWN_ENCODINGS: [&str; 4] = ["identity", "deflate", "gzip", "zstd"];

/// An answer to one request.
pub struct Reply {
    http: StatusCode,
    status: u32,
    text: String,
    body: Option<Vec<u8>>,
    metadata: Vec<(String, Vec<u8>)>,
}

impl Reply {
    pub fn ok(body: Vec<u8>) -> Self {
        Reply { http: StatusCode::OK, status: 0, text: String::new(), body: Some(body), metadata: Vec::new() }
    }

    pub fn error(status: u32, text: &str) -> Self {
        Reply { http: StatusCode::OK, status, text: text.to_owned(), body: None, metadata: Vec::new() }
    }

    /// Trailing metadata whose names end in `-bin`.
    pub fn with(mut self, metadata: Vec<(String, Vec<u8>)>) -> Self {
        self.metadata = metadata;
        self
    }

    /// To what is not gRPC: the status of HTTP too.
    pub fn http(status: StatusCode, text: &str) -> Self {
        Reply { http: status, ..Reply::error(UNIMPLEMENTED, text) }
    }

    fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(4);
        trailers.insert(STATUS, HeaderValue::from(self.status));
        if let Ok(text) = HeaderValue::from_str(&percent_encoded(&self.text)) {
            if !text.is_empty() {
                trailers.insert(MESSAGE, text);
            }
        }
        if self.status == UNIMPLEMENTED {
            trailers.insert(ENCODINGS, HeaderValue::from_static("identity,deflate,gzip,zstd"));
        }
        for (name, value) in &self.metadata {
            let value = HeaderValue::from_str(&BASE64_STANDARD_NO_PAD.encode(value));
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
                trailers.insert(name, value);
            }
        }
        trailers
    }

    /// Hands it to the stream. An error is a stream that has ended: nobody waits for it.
    pub fn send(self, to: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
        let mut head = Response::new(());
        *head.status_mut() = self.http;
        let Some(body) = &self.body else {
            *head.headers_mut() = self.trailers();
            head.headers_mut().insert(CONTENT_TYPE, GRPC);
            return to.send_response(head, true).map(drop);
        };
        head.headers_mut().insert(CONTENT_TYPE, GRPC);
        let mut stream = to.send_response(head, false)?;
        let mut message = BytesMut::with_capacity(5 + body.len());
        message.put_u8(0);
        message.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
        message.put_slice(body);
        stream.send_data(message.freeze(), false)?;
        stream.send_trailers(self.trailers())
    }
}

/// "Percent-Byte-Unencoded → %x20-%x24 / %x26-%x7E".
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_percent_encoded() {
        assert_eq!(percent_encoded("50 % of \u{e9}~\n"), "50 %25 of %C3%A9~%0A");
    }
}
