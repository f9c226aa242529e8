//! Predictions in log records, as columns.

pub mod event;
pub mod feature_counter;
pub mod features;
