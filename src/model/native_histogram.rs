//! Native histograms: observations counted in sparse buckets of exponential width.
//!
//! Owns how they merge and what is valid. The rules are Prometheus's: the lower resolution wins; the
//! zero bucket is as wide as the widest, and wider where its edge would cut a populated bucket.

pub mod bounds;
mod encoding;
mod populations;
mod sparse;
mod state;
#[cfg(test)]
mod tests;

pub use self::encoding::{Encoded, EncodedBuckets, Fault, Span};
pub use self::populations::Populations;
pub use self::sparse::{Buckets, Sparse};
pub use self::state::{Includes, MAX_BUCKETS, NativeHistogram, Parts, ShownBucket};
