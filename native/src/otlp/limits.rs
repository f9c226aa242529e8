//! Bounds on one record; the same figures as the reference decoder's `limits`.

pub const MAX_DEPTH: u32 = 32;
pub const MAX_ATTRIBUTES: usize = 1024;
pub const MAX_ERRORS: usize = 5;
pub const MAX_LINE_BYTES: usize = 1 << 20;
pub const MAX_LABEL_CHARS: usize = 1024;
pub const MAX_EXPANDED_BYTES: usize = 128 << 20;
pub const MAX_TIME_NS: u64 = (1 << 63) - 1;
/// Columns of features of one event; the others are left out.
pub const MAX_FEATURES: usize = 1024;
/// Characters of a feature's name, and of a text that is a feature's value.
pub const MAX_FEATURE_CHARS: usize = 64;
/// Values of features of one event; columns beyond are left out.
pub const MAX_FEATURE_VALUES: usize = 1 << 18;
/// Names of features that were left out.
pub const MAX_LEFT_OUT_NAMES: usize = 10;
