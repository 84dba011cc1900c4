//! What the rules say about a group.

use std::sync::Arc;
use std::time::Duration;

use super::metric::MetricDecision;
use super::names::NameDecisions;
use crate::config::{Overflow, PutMode, SourceBy};
use crate::model::grouping::Grouping;

/// What the rules say about the pushes to one group, by the labels of their path.
#[derive(Debug)]
pub struct GroupDecision {
    /// Which rule of `[[groups]]` matched, counted from 0. Its place is
    /// [`RuleSet::group_rule_place`](super::RuleSet::group_rule_place).
    pub rule: Option<usize>,
    /// The labels of the group that the push is for, after relabelling. Labels that relabelling took away are
    /// [absent](Grouping::absent) in it: no series of the push keeps one of its own of that name.
    pub target: Grouping<'static>,
    /// Whether the target is another group than the one that was pushed to.
    pub is_moved: bool,
    /// Whether pushes are accepted.
    pub accept: bool,
    /// What PUT does, if a rule says so.
    pub put: Option<PutMode>,
    /// After how long without a push the group is deleted.
    pub ttl: Option<Duration>,
    /// After how long without a push from a source its part is deleted.
    pub source_ttl: Option<Duration>,
    /// How many series the group may have, if a rule says so.
    pub max_series: Option<u64>,
    /// What happens to series beyond that.
    pub overflow: Overflow,
    /// What tells senders apart.
    pub source: SourceBy,
    /// Whether the headers of a push may say something about it.
    pub headers: bool,
    /// Whether relabelling dropped the push: it is answered with 200 and changes nothing.
    pub dropped: bool,
    /// Whether relabelling left no `job`: the push is refused with 400.
    pub lacks_job: bool,
    /// Whether relabelling made too much of the labels: the push is refused with 400.
    pub is_too_large: bool,
    pub(super) metrics: Arc<NameDecisions>,
}

impl GroupDecision {
    /// What the rules say about a metric of this name, as it was pushed, in pushes to this group.
    #[must_use]
    pub fn metric(&self, name: &str) -> Arc<MetricDecision> {
        self.metrics.decide(name)
    }
}
