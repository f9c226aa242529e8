//! Predictions in log records, as columns.

pub mod event;
pub mod features;
