//! Metrics: names, labels, values, and how values of the same series add up.
//!
//! Owns the vocabulary of the whole program. It knows no format, no store and no network, neither blocks nor does
//! I/O, and nothing here can fail for a reason outside its arguments.

pub mod body;
pub mod by_series;
pub mod count;
pub mod escaping;
pub mod exemplar;
pub mod grouping;
#[cfg(test)]
mod groupings;
pub mod histogram;
pub mod increase;
pub mod kind;
pub mod labels;
pub mod limits;
pub mod merge;
pub mod name;
pub mod native_histogram;
pub mod number;
pub mod push;
pub mod quantile;
pub mod refusal;
pub mod sum;
pub mod summary;
pub mod time;
