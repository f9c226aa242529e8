//! Bounds on one record; the same figures as the reference decoder's `limits`.

pub const MAX_DEPTH: u32 = 32;
pub const MAX_ATTRIBUTES: usize = 1024;
pub const MAX_ERRORS: usize = 5;
pub const MAX_LINE_BYTES: usize = 1 << 20;
pub const MAX_LABEL_CHARS: usize = 1024;
pub const MAX_EXPANDED_BYTES: usize = 128 << 20;
pub const MAX_TIME_NS: u64 = (1 << 63) - 1;
