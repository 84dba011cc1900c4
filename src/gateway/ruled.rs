//! A push under rules: what they say of it, and the pushes that it becomes.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bumpalo::Bump;
use smallvec::{SmallVec, smallvec};

use super::sender::{BadHeader, Sender, SenderHeaders};
use super::{Gateway, Method, PushError, PushRequest, PushSettings};
use crate::config::rules::Place;
use crate::config::{self, NumberMerge, SourceBy};
use crate::message::Excerpt;
use crate::model::body::{self, Body, ClearMode};
use crate::model::escaping::colliding_label;
use crate::model::grouping::{Grouping, OverLimit};
use crate::model::kind::Kind;
use crate::model::labels::block_of;
use crate::model::limits::{MAX_RELABELLED_BYTES, MAX_RELABELLED_LABELS, PushLimits};
use crate::model::merge::{Buckets, FamilyTerms, Fold, Merge, Temporality};
use crate::model::push::{Family, Push};
use crate::model::refusal::{Cause, Refusal};
use crate::model::time::nanos_of;
use crate::rules::{self, GroupDecision, MetricDecision, RuleSet};
use crate::store::{Overflow, Part, Terms, Transaction};

/// The pushes that one request becomes: nearly always one.
pub(super) type Pushes = SmallVec<[Push; 1]>;

/// What rules say of a push.
#[derive(Debug)]
pub(super) struct Ruled {
    decision: Arc<GroupDecision>,
    sender: Sender,
    settings: PushSettings,
}

/// Who pushes.
#[derive(Debug)]
pub(super) struct PushSource {
    /// The label block that tells it apart.
    pub(super) block: String,
    /// Whether it only matters if the group has sources, which is known when the push is applied.
    pub(super) only_if_shared: bool,
}

/// A rule because of which a push is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// The configuration file.
    pub file: String,
    /// Where in it the rule begins.
    pub place: Place,
}

/// What is wrong with the group that relabelling makes of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetFault {
    /// It has no job.
    NoJob,
    /// Its labels exceed a limit.
    OverLimit(OverLimit),
    /// Its labels are more than relabelling makes.
    TooLarge,
    /// Two of its label names are the same once they are escaped.
    CollidingNames(Excerpt),
}

impl TargetFault {
    fn of(decision: &GroupDecision, limits: PushLimits) -> Option<TargetFault> {
        if decision.lacks_job {
            return Some(TargetFault::NoJob);
        }
        if decision.is_too_large {
            return Some(TargetFault::TooLarge);
        }
        // What the path names was checked before.
        if !decision.is_moved {
            return None;
        }
        let target = &decision.target;
        match target.check_limits(limits) {
            Err(over) => Some(TargetFault::OverLimit(over)),
            Ok(()) => {
                colliding_label(target.key()).map(|name| TargetFault::CollidingNames(Excerpt::of(&name)))
            }
        }
    }
}

impl std::fmt::Display for TargetFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TargetFault::NoJob => f.write_str("leaves this group without a job label"),
            TargetFault::TooLarge => {
                let mib = MAX_RELABELLED_BYTES >> 20;
                write!(
                    f,
                    "makes more than {MAX_RELABELLED_LABELS} labels of this group, or more than {mib} MiB of them"
                )
            }
            TargetFault::OverLimit(over) => write!(f, "makes too much of this group: {over}"),
            TargetFault::CollidingNames(name) => {
                write!(f, "gives this group two label names that are the same once they are escaped: {name}")
            }
        }
    }
}

impl std::fmt::Display for RulePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the rule in {}, line {}", self.file, self.place.line)
    }
}

impl Gateway {
    /// Puts rules in force. Pushes that are being taken meanwhile obey the old ones or the new ones.
    pub fn set_rules(&self, rules: RuleSet) {
        // What the label clearmode says takes the place of rules.
        let decides = !rules.is_empty() || self.settings.clear_modes;
        let rules = decides.then(|| Arc::new(rules));
        let has_rules = rules.is_some();
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        self.has_rules.store(has_rules, Ordering::Release);
    }

    /// The rules in force; none where there are none.
    pub fn rules(&self) -> Option<Arc<RuleSet>> {
        if !self.has_rules.load(Ordering::Acquire) {
            return None;
        }
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the rules say of a push; none where there are no rules.
    ///
    /// # Errors
    ///
    /// When the push is not accepted, whatever its body says.
    pub(super) fn ruled(&self, push: &PushRequest<'_>) -> Result<Option<Ruled>, PushError> {
        let Some(rules) = self.rules() else { return Ok(None) };
        let decision = rules.decide(push.grouping);
        if let Some(rule) = decision.rule {
            self.telemetry.rules().pushed(rule + 1);
        }
        let place = || RulePlace {
            file: rules.path().to_owned(),
            place: decision.rule.map_or_else(Place::default, |rule| rules.group_rule_place(rule)),
        };
        match TargetFault::of(&decision, self.limits) {
            _ if !decision.accept => Err(PushError::Forbidden(place())),
            Some(fault) => Err(PushError::Target { rule: place(), fault }),
            None => Ok(Some(self.ruled_by(decision, push.sender)?)),
        }
    }

    fn ruled_by(&self, decision: Arc<GroupDecision>, headers: SenderHeaders<'_>) -> Result<Ruled, BadHeader> {
        let sender = if decision.headers { headers.read()? } else { Sender::default() };
        Ok(Ruled { decision, sender, settings: self.settings })
    }

    /// The pushes that a parsed body becomes.
    pub(super) fn prepare<'a>(
        &self,
        body: Body<'a>,
        push: &PushRequest<'_>,
        ruled: Option<&Ruled>,
        arena: &'a Bump,
    ) -> Result<Pushes, Refusal> {
        let (aggregate, limits, pushed) = (self.settings.aggregate, self.limits, push.grouping);
        push.check_jobs(&body)?;
        let Some(ruled) = ruled else {
            return Ok(SmallVec::from([Push::prepare_within(&body, pushed, aggregate, limits)?]));
        };
        let bodies = ruled.transform(body, pushed, arena)?;
        let prepare = |(at, body): (usize, &Body<'_>)| {
            let terms = |family: &body::Family<'_>| {
                let terms = ruled.terms(family);
                // A family that is in several bodies is whole only with all of them.
                FamilyTerms { is_whole: terms.is_whole && at == 0, ..terms }
            };
            Push::prepare_under(body, ruled.target(), aggregate, limits, Some(&terms))
        };
        bodies.iter().enumerate().map(prepare).collect()
    }

    /// What the rules say of a DELETE with these labels; none where there are no rules.
    pub(super) fn ruled_deletion(
        &self,
        pushed: &Grouping<'_>,
        headers: SenderHeaders<'_>,
    ) -> Result<Option<Ruled>, BadHeader> {
        self.rules().map(|rules| self.ruled_by(rules.decide(pushed), headers)).transpose()
    }
}

/// What a DELETE with these labels deletes: the group, with all its sources. Where rules move pushes with these labels
/// to another group, or the request names a source, also what that source pushed.
pub(super) fn deletion<'a>(pushed: &'a Grouping<'a>, ruled: Option<&Ruled>) -> Transaction<'a> {
    let group = Part::Delete { grouping: Cow::Borrowed(pushed) };
    let Some(ruled) = ruled else { return Transaction::of(group) };
    let source = Part::DeleteSource {
        grouping: Cow::Owned(ruled.target().to_static()),
        source: Cow::Owned(ruled.source(pushed)),
        seen: None,
        // It says that the sender is over. Whatever comes next under its name begins anew.
        keeps_totals: false,
    };
    if ruled.decision.is_moved && !ruled.decision.lacks_job {
        Transaction { parts: smallvec![group, source], key: None }
    } else {
        Transaction::of(if ruled.names_source() { source } else { group })
    }
}

impl Ruled {
    /// The group that the push is for.
    pub(super) fn target(&self) -> &Grouping<'static> {
        &self.decision.target
    }

    /// The number of the group rule that decided, counted from 0.
    pub(super) fn group_rule(&self) -> Option<usize> {
        self.decision.rule
    }

    /// The number of the metric rule that decides about a family, counted from 0.
    pub(super) fn metric_rule(&self, family: &body::Family<'_>) -> Option<usize> {
        self.decision.metric(family.pushed_name).rule
    }

    /// The body as the rules change it; see [`rules::transform`]. Before, the label `clearmode` is taken off.
    pub(super) fn transform<'a>(
        &self,
        mut body: Body<'a>,
        pushed: &Grouping<'_>,
        arena: &'a Bump,
    ) -> Result<Vec<Body<'a>>, Refusal> {
        if self.settings.clear_modes {
            body.take_clear_modes()?;
        }
        if self.settings.clear_modes || self.sender.temporality.is_some() {
            body.families.iter().try_for_each(|family| self.check_totals(family))?;
        }
        rules::transform(body, pushed, &self.decision, arena)
    }

    /// Checks that running totals are not relabelled. Where a rule says that values are such, that is checked when the
    /// rules are read.
    fn check_totals(&self, family: &body::Family<'_>) -> Result<(), Refusal> {
        let kind = family.kind.unwrap_or(Kind::Untyped);
        let is_total = |terms: FamilyTerms| {
            terms.temporality != Temporality::Delta && terms.merge_of(kind, family.name) == Merge::Add
        };
        let counts = Merge::of(kind, family.name) == Merge::Add;
        let is_relabelled = || self.decision.metric(family.pushed_name).changes_labels();
        if counts && is_relabelled() && is_total(self.terms(family)) {
            return Err(Refusal::of(Cause::RelabelledTotals { family: Excerpt::of(family.name) }));
        }
        Ok(())
    }

    /// Whether relabelling dropped the whole push.
    pub(super) fn is_dropped(&self) -> bool {
        self.decision.dropped
    }

    /// What PUT does, if a rule says so.
    pub(super) fn put(&self) -> Option<config::PutMode> {
        self.decision.put
    }

    /// Who pushes, if that may matter: some values are folded over sources or are running totals, or it is a PUT, which
    /// spares what other sources contributed.
    pub(super) fn source_of(
        &self,
        method: Method,
        pushed: &Grouping<'_>,
        pushes: &[Push],
    ) -> Option<PushSource> {
        let needs = |family: &Family| {
            matches!(family.merge, Merge::Fold(_)) || family.temporality != Temporality::Delta
        };
        let is_put = method == Method::Put;
        let always_matters = (is_put && (self.decision.is_moved || self.names_source()))
            || pushes.iter().any(|push| push.families().iter().any(needs));
        let source = || PushSource { block: self.source(pushed), only_if_shared: !always_matters };
        (is_put || always_matters).then(source)
    }

    /// The source that a header names, and what a header says that values count from, where they count.
    pub(super) fn sender_names(&self) -> (Option<&str>, Option<&str>) {
        let source = self.sender.source.as_deref().filter(|_| self.names_source());
        (source, self.sender.temporality.map(config::Temporality::name))
    }

    /// Whether a header names the source.
    fn names_source(&self) -> bool {
        self.sender.source.is_some() && self.decision.source == SourceBy::Header
    }

    /// Who pushes, as a label block.
    pub(super) fn source(&self, pushed: &Grouping<'_>) -> String {
        match (&self.sender.source, self.decision.source) {
            (Some(source), SourceBy::Header) => block_of([("source", &**source)]),
            _ => pushed.key().to_owned(),
        }
    }

    /// How long the group stays and how many series it may have. The header can only shorten the TTL of the rule, and
    /// counts alone if the rule has none.
    pub(super) fn group_terms(&self) -> Terms {
        let GroupDecision { ttl, source_ttl, max_series, overflow, .. } = *self.decision;
        let ttl = ttl.into_iter().chain(self.sender.ttl).min();
        Terms {
            ttl: ttl.map(nanos_of),
            source_ttl: source_ttl.map(nanos_of),
            max_series,
            overflow: match overflow {
                config::Overflow::Refuse => Overflow::Refuse,
                config::Overflow::Fold => Overflow::Fold,
            },
        }
    }

    /// What holds for a family.
    pub(super) fn terms(&self, family: &body::Family<'_>) -> FamilyTerms {
        // Then no rule says how values are merged.
        if !self.settings.aggregate {
            return FamilyTerms::default();
        }
        let decision: Arc<MetricDecision> = self.decision.metric(family.pushed_name);
        let mode = decision.mode_that_counts(family.clear_mode);
        let temporality = self.sender.temporality.or(decision.temporality).map(temporality_of);
        FamilyTerms {
            merge: decision.merge.map(merge_of).or(mode.map(ClearMode::merge)),
            temporality: temporality.or(mode.map(ClearMode::temporality)).unwrap_or_default(),
            buckets: match decision.buckets {
                config::Buckets::Union => Buckets::Union,
                config::Buckets::Intersection => Buckets::Intersection,
                config::Buckets::Reject => Buckets::Reject,
            },
            series_ttl: decision.series_ttl.map(nanos_of),
            is_whole: mode == Some(ClearMode::Family),
        }
    }

    /// What the label `clearmode` says of a family, and whether it counts: it does not where a rule says the same.
    pub(super) fn clear_mode(&self, family: &body::Family<'_>) -> Option<(ClearMode, bool)> {
        let decision = self.decision.metric(family.pushed_name);
        family.clear_mode.map(|mode| (mode, decision.mode_that_counts(Some(mode)).is_some()))
    }
}

/// Checks that no series of a push without a job in its path has one of its own.
#[cold]
pub(super) fn check_own_jobs(body: &Body<'_>) -> Result<(), Refusal> {
    for family in &body.families {
        let has_job = |series: &&body::Series| {
            body.labels_of(series).iter().any(|label| label.name == "job" && !label.escaped_value.is_empty())
        };
        if let Some(series) = body.series_of(family).find(has_job) {
            return Err(Refusal::at(series.offset, Cause::OwnJob { family: Excerpt::of(family.name) }));
        }
    }
    Ok(())
}

fn merge_of(merge: NumberMerge) -> Merge {
    match merge {
        NumberMerge::Last => Merge::Last,
        NumberMerge::Add => Merge::Add,
        NumberMerge::Least => Merge::Least,
        NumberMerge::Greatest => Merge::Greatest,
        NumberMerge::Sum => Merge::Fold(Fold::Sum),
        NumberMerge::Min => Merge::Fold(Fold::Min),
        NumberMerge::Max => Merge::Fold(Fold::Max),
        NumberMerge::Mean => Merge::Fold(Fold::Mean),
        NumberMerge::Count => Merge::Fold(Fold::Count),
    }
}

fn temporality_of(temporality: config::Temporality) -> Temporality {
    match temporality {
        config::Temporality::Delta => Temporality::Delta,
        config::Temporality::Cumulative => Temporality::Cumulative,
        config::Temporality::Auto => Temporality::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::rules::RuleFile;
    use crate::gateway::BodyFormat;
    use crate::model::grouping::GroupingLabel;

    const SECOND: i64 = 1_000_000_000;

    fn grouping(labels: &[(&'static str, &'static str)]) -> Grouping<'static> {
        let label = |(name, value): &(&'static str, &'static str)| GroupingLabel {
            name: (*name).into(),
            value: (*value).into(),
        };
        Grouping::new(labels.iter().map(label).collect())
    }

    /// TTLs of the target, its source and its series, as the store has them, in seconds.
    fn ttls(rule: &str, header: Option<&[u8]>) -> [Option<i64>; 3] {
        let gateway = Gateway::new(&Config::default()).unwrap();
        let rules = format!(
            "[[groups]]\nmatch = '{{job=\"a\"}}'\nheaders = true\n{rule}\nrelabel = [{{ action = \"labeldrop\", regex = \"pod\" }}]\n[[metrics]]\nmatch = 'g'\nmerge = \"sum\"\nseries_ttl = \"7s\"\n"
        );
        gateway.set_rules(RuleSet::compile(&RuleFile::parse(&rules).unwrap()).unwrap());
        let (pushed, target) = (grouping(&[("job", "a"), ("pod", "x")]), grouping(&[("job", "a")]));
        let sender = SenderHeaders { ttl: header, ..SenderHeaders::default() };
        let push = PushRequest::new(Method::Post, &pushed, BodyFormat::Text, b"# TYPE g gauge\ng 1\nh 1\n");
        gateway.push_blocking(&PushRequest { sender, ..push }).unwrap();
        let group = gateway.store.group(target.key()).unwrap();
        let (_, sources) = gateway.store.sources(target.key(), 0, usize::MAX);
        assert_eq!((sources.len(), group.families.len()), (1, 2));
        assert_eq!(group.families[1].lasting, None);
        let series = group.families[0].lasting.map(|lasting| lasting.ttl);
        [group.ttl, sources[0].ttl, series].map(|ttl| ttl.map(|ttl| ttl / SECOND))
    }

    #[test]
    fn groups_sources_and_series_stay_as_long_as_rules_say() {
        for (rule, header, expected) in [
            ("", None, [None, None, Some(7)]),
            ("ttl = \"60s\"\nsource_ttl = \"30s\"", None, [Some(60), Some(30), Some(7)]),
            // A header only makes the TTL of the group shorter, or gives it one.
            ("ttl = \"60s\"\nsource_ttl = \"30s\"", Some("10s"), [Some(10), Some(30), Some(7)]),
            ("ttl = \"60s\"", Some("90s"), [Some(60), None, Some(7)]),
            ("", Some("5s"), [Some(5), None, Some(7)]),
        ] {
            assert_eq!(ttls(rule, header.map(str::as_bytes)), expected, "{rule} {header:?}");
        }
    }
}
