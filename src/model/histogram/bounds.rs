//! Bounds that a series and a push have in common, where rules ask for that.

use std::sync::Arc;

use super::{Bucket, Counts, Histogram, Layout, Part};
use crate::model::count::{Count, RunningCount};

impl Histogram {
    /// Whether a push with these buckets has the bounds of this series. That of all observations is none: not every client
    /// writes it.
    pub fn has_bounds_of(&self, buckets: &[Bucket]) -> bool {
        let pushed = || finite(buckets.iter().map(|bucket| bucket.bound));
        self.parts().any(|part| finite(part.layout.bounds().iter().copied()).eq(pushed()))
    }

    /// Adds a push and keeps only the bounds that all pushes have. Their counts are exact.
    pub(super) fn add_common(&mut self, buckets: &[Bucket], total: Count) {
        let is_in = |layout: &Layout, bound: f64| {
            let at = layout.bounds().partition_point(|own| *own < bound);
            layout.bounds().get(at) == Some(&bound)
        };
        let is_common = |bucket: &&Bucket| self.parts().all(|part| is_in(&part.layout, bucket.bound));
        let common: Vec<Bucket> = buckets.iter().filter(is_common).copied().collect();
        if !self.has_one_layout() || !self.first.layout.fits(&common) {
            self.narrow(Layout::new(&common));
        }
        self.first.counts.add(common.iter().map(|bucket| bucket.count.into()));
        self.first.total.add(total);
    }

    /// Keeps only the bounds of a layout, which every part has.
    fn narrow(&mut self, layout: Layout) {
        let count = |bound: &f64| {
            let counts = self.parts().map(|part| part.at_most()(*bound));
            counts.fold(RunningCount::ZERO, RunningCount::plus)
        };
        let counts: Vec<RunningCount> = layout.bounds().iter().map(count).collect();
        let total = self.total();
        self.first = Part { layout: Arc::new(layout), counts: Counts::of(counts.into_iter()), total };
        self.others = Vec::new();
    }
}

fn finite(bounds: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    bounds.filter(|bound| *bound != f64::INFINITY)
}
