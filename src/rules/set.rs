//! The rules of a file, ready to decide.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::cache::{Budget, Cache};
use super::compile::{CompiledGroupRule, compile};
use super::decision::GroupDecision;
use super::error::RuleError;
use super::names::{MetricRules, NameDecisions};
use super::relabel::{Labels, relabel};
use crate::config::rules::{Place, Placed, RuleFile};
use crate::config::{Overflow, SourceBy};
use crate::message::Excerpt;
use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::labels::{EmptyLabels, INSTANCE};
use crate::model::name::is_unusable_label_name;

/// How many locks share the decisions about groups, and how much each of their parts may take, in bytes.
const SHARDS: usize = 16;
const SHARD_BYTES: usize = 2 << 20;

/// What a decision about a group takes beside some times the text of its labels, in bytes.
const GROUP_BYTES: usize = 768;
const GROUP_TIMES: usize = 6;

/// How much all decisions about names may take together, in bytes.
const NAMES_BYTES: usize = 16 << 20;

/// How many lists of rules that can match together are known at a time.
const MOST_LISTS: usize = 256;

/// The label that no group is without.
const JOB: &str = "job";

/// The rules of a settings file. They never change; a reload makes a new set. Decisions are kept for the next push, as
/// many as fit into some 50 MB.
#[derive(Debug)]
pub struct RuleSet {
    path: String,
    groups: Vec<CompiledGroupRule>,
    group_names: Vec<RuleName>,
    metrics: Arc<MetricRules>,
    metric_names: Vec<RuleName>,
    decisions: Cache<GroupDecision>,
    /// The decisions about names, by the rules that can match in a group: many groups share them.
    names: Mutex<HashMap<Box<[u32]>, Arc<NameDecisions>, RandomState>>,
    names_budget: Arc<Budget>,
}

/// What a rule is known by.
#[derive(Clone, Debug)]
pub struct RuleName {
    /// Its selector, as far as a message would quote it.
    pub selector: Excerpt,
    /// Where in the file it begins.
    pub place: Place,
}

impl RuleName {
    fn of<R>(rule: &Placed<R>, selector: &str) -> RuleName {
        RuleName { selector: Excerpt::of(selector), place: rule.place }
    }
}

impl Default for RuleSet {
    /// No rules.
    fn default() -> RuleSet {
        RuleSet::of(Vec::new(), MetricRules::default(), &RuleFile::default())
    }
}

impl RuleSet {
    /// Checks the rules of a file.
    ///
    /// # Errors
    ///
    /// The first that is wrong.
    pub fn compile(rules: &RuleFile) -> Result<RuleSet, RuleError> {
        let (groups, metrics) = compile(rules)?;
        Ok(RuleSet::of(groups, MetricRules::new(metrics), rules))
    }

    fn of(groups: Vec<CompiledGroupRule>, metrics: MetricRules, file: &RuleFile) -> RuleSet {
        RuleSet {
            path: file.path.clone(),
            groups,
            group_names: file
                .groups
                .iter()
                .map(|rule| RuleName::of(rule, &rule.value.selector.value))
                .collect(),
            metrics: Arc::new(metrics),
            metric_names: file
                .metrics
                .iter()
                .map(|rule| RuleName::of(rule, &rule.value.selector.value))
                .collect(),
            decisions: Cache::new((0..SHARDS).map(|_| Budget::new(SHARD_BYTES)), GROUP_BYTES, GROUP_TIMES),
            names: Mutex::default(),
            names_budget: Budget::new(NAMES_BYTES),
        }
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.group_names.is_empty() && self.metric_names.is_empty()
    }

    /// The file that the rules come from.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The rules of `[[groups]]`, in their order.
    #[must_use]
    pub fn group_rules(&self) -> &[RuleName] {
        &self.group_names
    }

    /// The rules of `[[metrics]]`, in their order.
    #[must_use]
    pub fn metric_rules(&self) -> &[RuleName] {
        &self.metric_names
    }

    /// Where in the file a rule of `[[groups]]` begins.
    #[must_use]
    pub fn group_rule_place(&self, rule: usize) -> Place {
        self.group_names.get(rule).map(|rule| rule.place).unwrap_or_default()
    }

    /// Where in the file a rule of `[[metrics]]` begins.
    #[must_use]
    pub fn metric_rule_place(&self, rule: usize) -> Place {
        self.metric_names.get(rule).map(|rule| rule.place).unwrap_or_default()
    }

    /// What the rules say about pushes to a group, by the labels of their path. A decision that is known costs one
    /// look-up.
    #[must_use]
    pub fn decide(&self, pushed: &Grouping<'_>) -> Arc<GroupDecision> {
        self.decisions.get_or(&identity(pushed), || Arc::new(self.decide_anew(pushed)))
    }

    fn decide_anew(&self, pushed: &Grouping<'_>) -> GroupDecision {
        let value_of = |name: &str| {
            let label = pushed.labels().iter().find(|label| label.name == name);
            label.map_or("", |label| &*label.value)
        };
        let matching = self.groups.iter().position(|rule| rule.selector.matches(value_of));
        let mut decision = GroupDecision {
            rule: matching,
            target: pushed.to_static(),
            is_moved: false,
            accept: true,
            put: None,
            ttl: None,
            source_ttl: None,
            max_series: None,
            overflow: Overflow::default(),
            source: SourceBy::default(),
            headers: false,
            dropped: false,
            lacks_job: false,
            is_too_large: false,
            metrics: self.names_for(self.metrics.candidates(value_of)),
        };
        let Some(rule) = matching.map(|at| &self.groups[at]) else { return decision };
        decision.accept = rule.accept;
        decision.put = rule.put;
        decision.ttl = rule.ttl;
        decision.source_ttl = rule.source_ttl;
        decision.max_series = rule.max_series;
        decision.overflow = rule.overflow;
        decision.source = rule.source;
        decision.headers = rule.headers;
        if rule.relabel.is_empty() {
            return decision;
        }
        let labels = pushed.labels().iter().map(|label| (Cow::from(&*label.name), Cow::from(&*label.value)));
        match relabel(&rule.relabel, Labels::new(labels)) {
            None => decision.dropped = true,
            Some(labels) if labels.is_too_large() => decision.is_too_large = true,
            Some(labels) => {
                let target = target(pushed, labels);
                decision.lacks_job = target.labels().iter().all(|label| label.name != JOB);
                decision.is_moved = target.key() != pushed.key();
                if decision.is_moved {
                    decision.target = target;
                }
            }
        }
        decision
    }

    /// The decisions about names by these rules.
    fn names_for(&self, candidates: Box<[u32]>) -> Arc<NameDecisions> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(&candidates) {
            return Arc::clone(known);
        }
        if names.len() >= MOST_LISTS {
            names.clear();
        }
        let budget = Arc::clone(&self.names_budget);
        let decisions = Arc::new(NameDecisions::new(Arc::clone(&self.metrics), candidates.clone(), budget));
        names.insert(candidates, Arc::clone(&decisions));
        decisions
    }
}

/// What decisions about a group depend on: its key, and the labels that it names without giving them a value.
fn identity<'g>(pushed: &'g Grouping<'_>) -> Cow<'g, str> {
    let has_empty_instance = || pushed.labels().iter().any(|l| l.name == INSTANCE && l.value.is_empty());
    if pushed.absent().is_empty() && !has_empty_instance() {
        return Cow::Borrowed(pushed.key());
    }
    let mut identity = pushed.key().to_owned();
    if has_empty_instance() {
        identity.push_str("\n!instance");
    }
    for name in pushed.absent() {
        identity.push('\n');
        identity.push_str(name);
    }
    Cow::Owned(identity)
}

/// The group with these labels. Those that it lost are absent in it.
fn target(pushed: &Grouping<'_>, labels: Labels<'_>) -> Grouping<'static> {
    let owned = |name: &str, value: &str| GroupingLabel {
        name: Cow::Owned(name.to_owned()),
        value: Cow::Owned(value.to_owned()),
    };
    let labels: Vec<_> =
        labels.into_pairs().into_iter().filter(|(name, _)| !is_unusable_label_name(name)).collect();
    let pushed_names = pushed.labels().iter().map(|label| &label.name).chain(pushed.absent());
    let is_lost = |name: &&Cow<'_, str>| labels.iter().all(|(own, _)| *own != ***name);
    let lost: Vec<_> = pushed_names.filter(is_lost).map(|name| owned(name, "")).collect();
    let kept = labels.iter().map(|(name, value)| owned(name, value));
    Grouping::with(kept.chain(lost).collect(), EmptyLabels::Absent)
}

#[cfg(test)]
mod tests;
