//! Native histograms: observations counted in sparse buckets of exponential width.
//!
//! Owns merging and validity. The rules are those of Prometheus: the lower resolution wins. The zero bucket becomes
//! as wide as the widest one, and wider if its edge would cut a populated bucket.

pub mod bounds;
mod encoding;
mod increase;
mod observation;
mod populations;
mod sparse;
mod state;
#[cfg(test)]
mod tests;

pub use self::encoding::{Encoded, EncodedBuckets, Fault, Span};
pub use self::populations::Populations;
pub use self::sparse::{Buckets, Sparse};
pub use self::state::{Includes, MAX_BUCKETS, NativeHistogram, Parts, ShownBucket};
