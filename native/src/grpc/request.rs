//! What a request's headers say.

use std::time::Duration;

use http::header::{HeaderMap, CONTENT_TYPE};
use http::{Method, Request, StatusCode};

use crate::grpc::reply::{Reply, KNOWN_ENCODINGS, UNIMPLEMENTED};

/// The headers that somebody asks for.
pub struct Head {
    /// Which of the methods that are served.
    pub method: usize,
    pub encoding: Option<String>,
    pub user_agent: Option<String>,
    pub authorization: Option<String>,
    pub idempotency_key: Option<String>,
    /// For how long the client waits.
    pub timeout: Option<Duration>,
}

impl Head {
    /// The request's head; the reply to one that is not for us.
    pub fn of<B>(request: &Request<B>, methods: &[String]) -> Result<Head, Reply> {
        let headers = request.headers();
        if request.method() != Method::POST {
            return Err(Reply::http(StatusCode::METHOD_NOT_ALLOWED, "invalid method; expected POST"));
        }
        if !text(headers, CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("application/grpc")) {
            return Err(Reply::http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "invalid content-type; expected application/grpc",
            ));
        }
        let path = request.uri().path();
        let Some(method) = methods.iter().position(|known| known == path) else {
            return Err(Reply::error(UNIMPLEMENTED, "unknown method"));
        };
        let encoding = text(headers, "grpc-encoding").filter(|name| name != "identity");
        if let Some(name) = encoding.as_deref().filter(|name| !KNOWN_ENCODINGS.contains(name)) {
            let known = KNOWN_ENCODINGS.join(", ");
            return Err(Reply::error(
                UNIMPLEMENTED,
                &format!("invalid grpc-encoding: {name}; expected one of {known}"),
            ));
        }
        Ok(Head {
            method,
            encoding,
            user_agent: text(headers, "user-agent"),
            authorization: text(headers, "authorization"),
            idempotency_key: text(headers, "idempotency-key"),
            timeout: text(headers, "grpc-timeout").as_deref().and_then(timeout),
        })
    }
}

/// The first header of that name.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// `TimeoutValue TimeoutUnit`: at most eight digits, and H, M, S, m, u or n. None for anything else.
fn timeout(value: &str) -> Option<Duration> {
    let digits = value.get(..value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match value.as_bytes().last()? {
        b'H' => Some(Duration::from_secs(count * 3600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        assert_eq!(timeout("10S"), Some(Duration::from_secs(10)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(timeout("1500m"), Some(Duration::from_millis(1500)));
        for invalid in ["", "S", "10", "123456789S", "-1S", "1.5S", "1s", "10é"] {
            assert_eq!(timeout(invalid), None, "{invalid}");
        }
    }
}
