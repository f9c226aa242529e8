//! The frames of HTTP/2 as they pass: only what `h2` does not report, the peer's pings (RFC 9113, 4.1 and 6.7).

use std::time::{Duration, Instant};

const PREFACE: usize = 24;
const HEADER: usize = 9;
const PING: u8 = 6;
const ACK: u8 = 1;
const MAX_STRIKES: u32 = 2;

/// Counts pings that come sooner after the last one than is allowed, as gRPC servers do (proposal A8): one more than
/// two of them is too many. What is sent to the peer clears them, since peers measure round trips of replies by pings.
pub struct PingWatch {
    interval: Duration,
    last: Option<Instant>,
    strikes: u32,
    skip: usize,
    header: Vec<u8>,
}

impl PingWatch {
    pub fn new(interval: Duration) -> Self {
        PingWatch { interval, last: None, strikes: 0, skip: PREFACE, header: Vec::with_capacity(HEADER) }
    }

    /// Something was sent.
    pub fn clear(&mut self) {
        self.last = None;
        self.strikes = 0;
    }

    /// Whether the peer has pinged too often with these bytes.
    pub fn too_many(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let passed = self.skip.min(data.len());
            self.skip -= passed;
            data = &data[passed..];
            let wanted = (HEADER - self.header.len()).min(data.len());
            self.header.extend_from_slice(&data[..wanted]);
            data = &data[wanted..];
            if self.header.len() == HEADER {
                self.skip =
                    usize::from(self.header[0]) << 16 | usize::from(self.header[1]) << 8 | usize::from(self.header[2]);
                let ping = self.header[3] == PING && self.header[4] & ACK == 0;
                self.header.clear();
                if ping && self.strike() {
                    return true;
                }
            }
        }
        false
    }

    fn strike(&mut self) -> bool {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < self.interval) {
            self.strikes += 1;
        }
        self.last = Some(now);
        self.strikes > MAX_STRIKES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: [u8; 12] = [0, 0, 3, 0, 0, 0, 0, 0, 1, 6, 0, 6];
    const PINGS: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    fn stream(pings: usize, flags: u8) -> Vec<u8> {
        let mut bytes = vec![6; PREFACE];
        for _ in 0..pings {
            let mut ping = PINGS;
            ping[4] = flags;
            bytes.extend(DATA);
            bytes.extend(ping);
        }
        bytes
    }

    #[test]
    fn pings_are_found_wherever_the_bytes_are_cut() {
        for size in 1..50 {
            for (pings, too_many) in [(3, false), (4, true)] {
                let mut watch = PingWatch::new(Duration::from_secs(3600));
                assert_eq!(stream(pings, 0).chunks(size).any(|part| watch.too_many(part)), too_many, "{size} {pings}");
            }
        }
    }

    #[test]
    fn answers_and_pings_far_apart_are_none() {
        assert!(!PingWatch::new(Duration::from_secs(3600)).too_many(&stream(9, ACK)));
        assert!(!PingWatch::new(Duration::ZERO).too_many(&stream(9, 0)));
    }

    #[test]
    fn what_is_sent_clears_them() {
        let mut watch = PingWatch::new(Duration::from_secs(3600));
        assert!(!watch.too_many(&stream(3, 0)));
        watch.clear();
        assert!(!watch.too_many(&stream(3, 0)[PREFACE..]));
    }
}
