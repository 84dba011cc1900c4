//! What the rules say about a metric.

use std::sync::Arc;
use std::time::Duration;

use super::relabel::Relabel;
use crate::config::{Buckets, NumberMerge, Temporality};
use crate::model::body::ClearMode;

/// What the rules say about a metric in pushes to one group.
#[derive(Debug, Default)]
pub struct MetricDecision {
    /// Which rule of `[[metrics]]` matched, counted from 0. Its place is
    /// [`RuleSet::metric_rule_place`](super::RuleSet::metric_rule_place).
    pub rule: Option<usize>,
    /// How the series are relabelled, step by step.
    pub relabel: Arc<[Relabel]>,
    /// How values of gauges and untyped metrics are merged, if a rule says so.
    pub merge: Option<NumberMerge>,
    /// What the values of counters, histograms and summaries count from, if a rule says so.
    pub temporality: Option<Temporality>,
    /// What is shown of histograms whose bounds differ.
    pub buckets: Buckets,
    /// After how long without a push a series is deleted.
    pub series_ttl: Option<Duration>,
    /// The histogram that pushed numbers are observations of, if a rule says so.
    pub observe: Option<Observe>,
}

impl MetricDecision {
    /// Whether it changes labels or values of series, so that a push needs [`transform`](super::transform()).
    #[must_use]
    pub fn changes_series(&self) -> bool {
        !self.relabel.is_empty() || self.observe.is_some()
    }

    /// Whether it may give series other names or labels, so that some fall together.
    #[must_use]
    pub fn changes_labels(&self) -> bool {
        self.relabel.iter().any(Relabel::changes_labels)
    }

    /// What a push says of how its values are merged, unless a rule says that: then this does not matter.
    #[must_use]
    pub fn mode_that_counts(&self, pushed: Option<ClearMode>) -> Option<ClearMode> {
        let is_ruled = self.merge.is_some() || self.temporality.is_some() || self.observe.is_some();
        pushed.filter(|_| !is_ruled)
    }

    /// Whether values are merged as in this other decision.
    pub(super) fn merges_like(&self, other: &MetricDecision) -> bool {
        let rules = |decision: &MetricDecision| {
            (decision.merge, decision.temporality, decision.buckets, decision.series_ttl)
        };
        rules(self) == rules(other)
    }
}

/// The kind of histogram that pushed numbers become.
#[derive(Clone, Debug, PartialEq)]
pub enum Observe {
    /// A classic one with these bucket bounds: ascending, finite.
    Classic(Arc<[f64]>),
    /// A native one.
    Native,
}
