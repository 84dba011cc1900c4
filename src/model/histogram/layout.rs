//! The bounds of classic buckets.

use crate::model::count::Count;
use crate::model::number::format_f64;

/// One bucket of a pushed histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The upper bound, inclusive.
    pub bound: f64,
    /// Observations up to the bound, including those of smaller buckets.
    pub count: Count,
}

/// The bounds of a histogram's buckets. Series with the same bounds share them.
#[derive(Debug)]
pub struct Layout {
    bounds: Box<[f64]>,
    /// The texts of the bounds, one after the other, and where each ends.
    texts: Box<str>,
    ends: Box<[u32]>,
}

impl Layout {
    /// The layout of these buckets, in their order.
    pub fn new(buckets: &[Bucket]) -> Layout {
        Layout::of(buckets.iter().map(|b| b.bound).collect())
    }

    /// The layout with these bounds.
    pub fn of(bounds: Box<[f64]>) -> Layout {
        let (mut texts, mut ends) = (String::new(), Vec::with_capacity(bounds.len()));
        for bound in &bounds {
            texts.push_str(&format_f64(*bound));
            ends.push(texts.len() as u32);
        }
        Layout { bounds, texts: texts.into(), ends: ends.into() }
    }

    /// The bounds with their texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = (f64, &str)> {
        let mut start = 0;
        self.bounds.iter().zip(&self.ends).map(move |(bound, end)| {
            let end = *end as usize;
            (*bound, &self.texts[std::mem::replace(&mut start, end)..end])
        })
    }

    /// The bounds.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// How many bounds of another layout this one lacks. Both must be ascending.
    pub(super) fn count_missing(&self, other: &Layout) -> usize {
        let mut own = self.bounds.iter().peekable();
        let is_missing = |bound: &&f64| {
            while own.next_if(|own| *own < *bound).is_some() {}
            own.peek().is_none_or(|own| *own != *bound)
        };
        other.bounds.iter().filter(is_missing).count()
    }

    /// Whether these buckets have exactly this layout.
    pub fn fits(&self, buckets: &[Bucket]) -> bool {
        self.bounds.len() == buckets.len() && self.bounds.iter().zip(buckets).all(|(x, b)| *x == b.bound)
    }
}
