//! Predictions in log records, as columns.

pub mod event;
pub mod feature_blocks;
pub mod feature_counter;
mod feature_template;
pub mod features;
mod known_pairs;
pub mod number_cells;
mod text_table;
