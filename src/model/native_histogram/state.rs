//! The native buckets of a series, and how they merge with those of another.

use std::borrow::Cow;

use super::bounds::{SCHEMAS, bound, indexes, reduced};
use super::populations::{Populations, total};
use super::sparse::Sparse;
use crate::model::count::Count;

/// The most buckets of a histogram that adds, without the zero bucket. Beyond it, the resolution is reduced.
pub const MAX_BUCKETS: usize = 160;

/// Observations by bucket. Their number and sum are kept with the classic buckets.
///
/// Merging is commutative to the last bit. It is also associative: integers are exact, and each addition of floats
/// rounds once. Only if zero thresholds differ and there are temporarily more than [`MAX_BUCKETS`] buckets, the
/// order can decide how much resolution is lost. Even then, each bucket has the count that one client with the
/// resulting resolution and zero threshold would have counted. Counts never go down; only the resolution does.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogram {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    /// Whether a histogram with another zero threshold was merged into this. Until then, buckets that overlap the
    /// zero bucket stay as the client sends them, because it knows what it counts in which.
    pub(super) thresholds_differ: bool,
    /// The highest bucket, in the current schema, that went into the zero bucket. A lower schema must not have its
    /// edge within that bucket, otherwise the order of merging would matter.
    pub(super) absorbed: Option<i32>,
    pub(super) populations: Populations,
}

/// All fields of a [`NativeHistogram`].
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// The resolution, from -4 to 8.
    pub schema: i32,
    /// The absolute value up to which observations are in the zero bucket.
    pub zero_threshold: f64,
    /// Whether merged histograms had different zero thresholds.
    pub thresholds_differ: bool,
    /// The highest index among the buckets that went into the zero bucket.
    pub absorbed: Option<i32>,
    /// The populations.
    pub populations: Populations,
}

/// A populated bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShownBucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Which of its bounds it includes.
    pub includes: Includes,
    /// Its population.
    pub count: Count,
}

/// Which of its bounds a bucket includes. The numbers are those of the Prometheus API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Includes {
    /// A positive bucket: the upper one.
    Upper = 0,
    /// A negative bucket: the lower one.
    Lower = 1,
    /// The zero bucket: both.
    Both = 3,
}

impl NativeHistogram {
    /// Adds the observations of `other`.
    pub fn merge(&mut self, other: &NativeHistogram) {
        self.reduce_to(other.schema);
        let other = if other.schema > self.schema {
            let mut reduced = other.clone();
            reduced.reduce_to(self.schema);
            Cow::Owned(reduced)
        } else {
            Cow::Borrowed(other)
        };
        self.thresholds_differ |= other.thresholds_differ || self.zero_threshold != other.zero_threshold;
        self.zero_threshold = self.zero_threshold.max(other.zero_threshold);
        self.absorbed = self.absorbed.max(other.absorbed);
        self.populations.add(&other.populations);
        self.settle_zero_bucket();
        self.limit(MAX_BUCKETS);
    }

    /// Reduces the resolution until there are at most `most` buckets: first with a lower schema, and once that is
    /// the lowest one, with a wider zero bucket.
    pub fn limit(&mut self, most: usize) {
        while self.populations.bucket_count() > most && self.schema > *SCHEMAS.start() {
            self.reduce_to(self.schema - 1);
            self.settle_zero_bucket();
        }
        if self.populations.bucket_count() > most {
            let mut indexes = self.populations.indexes().concat();
            indexes.sort_unstable();
            // The buckets above this one are few enough.
            let widest = indexes[indexes.len() - most - 1];
            self.zero_threshold = self.zero_threshold.max(bound(widest, self.schema));
            self.thresholds_differ = true;
            self.settle_zero_bucket();
        }
        self.populations.shrink_to_fit();
    }

    /// Lowers the schema if it is above `schema`.
    pub(super) fn reduce_to(&mut self, schema: i32) {
        if let Ok(steps @ 1..) = u32::try_from(self.schema - schema) {
            self.populations.reduce(steps);
            self.absorbed = self.absorbed.map(|index| reduced(i64::from(index), steps) as i32);
            self.schema = schema;
        }
    }

    /// Moves the edge of the zero bucket out of populated buckets, and takes in the buckets within it.
    pub(super) fn settle_zero_bucket(&mut self) {
        if !self.thresholds_differ {
            return;
        }
        loop {
            let (schema, threshold) = (self.schema, self.zero_threshold);
            self.absorbed = self.absorbed.max(self.populations.absorb(schema, threshold));
            let mut cut = self.populations.lowest().filter(|&index| bound(index - 1, schema) < threshold);
            let cut = cut.next().or(self.absorbed.filter(|&index| bound(index, schema) > threshold));
            match cut {
                // No bucket has its edge within another one, so the next round is the last.
                Some(index) => self.zero_threshold = bound(index, schema),
                None => return,
            }
        }
    }

    /// The same resolution and zero bucket without observations.
    pub fn emptied(&self) -> NativeHistogram {
        let populations = match self.populations {
            Populations::Int(_) => Populations::Int(Sparse::default()),
            Populations::Float(_) => Populations::Float(Sparse::default()),
        };
        NativeHistogram { populations, ..self.clone() }
    }

    /// How much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        size_of::<NativeHistogram>() + self.populations.bucket_count() * size_of::<(i32, u64)>()
    }

    /// The resolution.
    pub fn schema(&self) -> i32 {
        self.schema
    }

    /// The absolute value up to which observations are in the zero bucket.
    pub fn zero_threshold(&self) -> f64 {
        self.zero_threshold
    }

    /// Whether populations are floats.
    pub fn is_float(&self) -> bool {
        matches!(self.populations, Populations::Float(_))
    }

    /// How many observations are in all buckets.
    pub fn population(&self) -> Count {
        match &self.populations {
            Populations::Int(sparse) => Count::Int(sparse.populations().sum()),
            Populations::Float(sparse) => Count::Float(sparse.populations().sum::<f64>().min(f64::MAX)),
        }
    }

    /// The populated buckets, from the lowest to the highest.
    pub fn buckets(&self) -> Vec<ShownBucket> {
        match &self.populations {
            Populations::Int(sparse) => self.shown(sparse, Count::Int),
            Populations::Float(sparse) => self.shown(sparse, Count::Float),
        }
    }

    fn shown<N: Copy + Default + PartialEq>(
        &self,
        sparse: &Sparse<N>,
        count: impl Fn(N) -> Count,
    ) -> Vec<ShownBucket> {
        let edge = |index| bound(index, self.schema);
        let negative = sparse.negative.iter().rev().map(|&(index, n)| ShownBucket {
            lower: -edge(index),
            upper: -edge(index - 1),
            includes: Includes::Lower,
            count: count(n),
        });
        let zero = (sparse.zero != N::default()).then(|| ShownBucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            includes: Includes::Both,
            count: count(sparse.zero),
        });
        let positive = sparse.positive.iter().map(|&(index, n)| ShownBucket {
            lower: edge(index - 1),
            upper: edge(index),
            includes: Includes::Upper,
            count: count(n),
        });
        negative.chain(zero).chain(positive).collect()
    }

    /// All its fields.
    pub fn parts(&self) -> Parts {
        Parts {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            thresholds_differ: self.thresholds_differ,
            absorbed: self.absorbed,
            populations: self.populations.clone(),
        }
    }

    /// A histogram with these fields. `None` if they are not valid.
    pub fn from_parts(parts: Parts) -> Option<NativeHistogram> {
        let Parts { schema, zero_threshold, thresholds_differ, absorbed, populations } = parts;
        if !(SCHEMAS.contains(&schema) && zero_threshold >= 0.0 && zero_threshold.is_finite()) {
            return None;
        }
        let range = indexes(schema);
        let is_index = |index: &i32| range.contains(&i64::from(*index));
        let is_sound = populations
            .indexes()
            .iter()
            .all(|side| side.is_sorted_by(|a, b| a < b) && side.iter().all(is_index));
        let is_count = match &populations {
            Populations::Int(sparse) => {
                total(sparse) <= i64::MAX as u128 && sparse.populations().skip(1).all(|n| n > 0)
            }
            Populations::Float(sparse) => sparse.zero >= 0.0 && sparse.populations().skip(1).all(|n| n > 0.0),
        };
        let is_valid = is_sound && is_count && absorbed.is_none_or(|index| is_index(&index));
        is_valid.then_some(NativeHistogram {
            schema,
            zero_threshold,
            thresholds_differ,
            absorbed,
            populations,
        })
    }
}
