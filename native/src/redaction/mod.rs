//! Rules applied to requests before delivery.

pub mod engine;
pub mod entry;
pub mod filter;
pub mod glob;
pub mod keys;
pub mod patches;
pub mod payment_card;
pub mod prefilter;
pub mod rules;
