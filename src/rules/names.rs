//! The decisions about metrics in groups for which the same rules can match, by name.

use std::sync::Arc;

use super::cache::{Budget, Cache};
use super::metric::MetricDecision;
use super::selector::{METRIC_NAME, Matcher, Selector};

/// What a known name takes beside its text, in bytes.
const ENTRY_BYTES: usize = 64;

/// The rules of `[[metrics]]`.
#[derive(Debug, Default)]
pub(super) struct MetricRules {
    rules: Vec<(Selector, Arc<MetricDecision>)>,
    /// What holds if no rule matches.
    default: Arc<MetricDecision>,
}

impl MetricRules {
    pub(super) fn new(rules: Vec<(Selector, Arc<MetricDecision>)>) -> MetricRules {
        MetricRules { rules, default: Arc::default() }
    }

    /// The rules that can match in a group whose labels `value_of` gives, up to the first that matches whatever the
    /// name of the metric is.
    pub(super) fn candidates<'v>(&self, value_of: impl Fn(&str) -> &'v str) -> Box<[u32]> {
        let mut candidates = Vec::new();
        for (at, (selector, _)) in self.rules.iter().enumerate() {
            let mut others = selector.matchers().iter().filter(|matcher| !is_about_name(matcher));
            if others.all(|matcher| matcher.matches(value_of(matcher.name()))) {
                candidates.push(at as u32);
                if !selector.matchers().iter().any(is_about_name) {
                    break;
                }
            }
        }
        candidates.into()
    }
}

fn is_about_name(matcher: &Matcher) -> bool {
    matcher.name() == METRIC_NAME
}

/// The rules that can match in some groups, and what they said by name.
#[derive(Debug)]
pub(super) struct NameDecisions {
    rules: Arc<MetricRules>,
    candidates: Box<[u32]>,
    known: Cache<MetricDecision>,
    can_change_series: bool,
}

impl NameDecisions {
    pub(super) fn new(rules: Arc<MetricRules>, candidates: Box<[u32]>, budget: Arc<Budget>) -> NameDecisions {
        let changes = |at: &u32| rules.rules[*at as usize].1.changes_series();
        let can_change_series = candidates.iter().any(changes);
        NameDecisions { rules, candidates, known: Cache::new([budget], ENTRY_BYTES, 1), can_change_series }
    }

    /// Whether a decision may change labels or values of a series.
    pub(super) fn can_change_series(&self) -> bool {
        self.can_change_series
    }

    /// What the rules say about a metric of this name.
    pub(super) fn decide(&self, name: &str) -> Arc<MetricDecision> {
        let first = match self.candidates.first() {
            None => return Arc::clone(&self.rules.default),
            Some(first) => &self.rules.rules[*first as usize],
        };
        if !first.0.matchers().iter().any(is_about_name) {
            return Arc::clone(&first.1);
        }
        self.known.get_or(name, || {
            let mut candidates = self.candidates.iter().map(|at| &self.rules.rules[*at as usize]);
            let matches = |selector: &Selector| {
                selector.matchers().iter().filter(|matcher| is_about_name(matcher)).all(|m| m.matches(name))
            };
            let found = candidates.find(|(selector, _)| matches(selector)).map(|(_, decision)| decision);
            Arc::clone(found.unwrap_or(&self.rules.default))
        })
    }
}
