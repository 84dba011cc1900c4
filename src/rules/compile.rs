//! From rules as they are written to rules that decide, with all checks of what they say.

use std::sync::Arc;
use std::time::Duration;

use super::error::RuleError;
use super::metric::{MetricDecision, Observe};
use super::pattern::{ANYTHING, Pattern};
use super::relabel::{Action, Relabel, Template};
use super::selector::{METRIC_NAME, Selector};
use crate::config::rules::{GroupRule, MetricRule, Observation, Place, Placed, Relabelling, RuleFile};
use crate::config::{Overflow, PutMode, RelabelAction, SourceBy, Temporality};
use crate::message::Excerpt;

/// What stands between joined values.
const SEPARATOR: &str = ";";

/// What a label is set to.
const REPLACEMENT: &str = "$1";

/// A rule of `[[groups]]` that decides.
#[derive(Debug)]
pub(super) struct CompiledGroupRule {
    pub(super) selector: Selector,
    pub(super) relabel: Box<[Relabel]>,
    pub(super) source: SourceBy,
    pub(super) put: Option<PutMode>,
    pub(super) ttl: Option<Duration>,
    pub(super) source_ttl: Option<Duration>,
    pub(super) max_series: Option<u64>,
    pub(super) overflow: Overflow,
    pub(super) accept: bool,
    pub(super) headers: bool,
}

/// A rule of `[[metrics]]` that decides.
type CompiledMetricRule = (Selector, Arc<MetricDecision>);

/// What is wrong, before it is known in which file and in which list.
struct Fault {
    place: Place,
    key: &'static str,
    message: String,
}

fn fault<T>(place: Place, key: &'static str, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { place, key, message: message.into() })
}

/// Checks the rules of a file.
pub(super) fn compile(
    file: &RuleFile,
) -> Result<(Vec<CompiledGroupRule>, Vec<CompiledMetricRule>), RuleError> {
    let error = |list: &str, Fault { place, key, message }| RuleError {
        path: file.path.clone(),
        place,
        key: format!("{list}.{key}"),
        message,
    };
    let groups = file.groups.iter().map(|rule| group_rule(&rule.value));
    let groups = groups.collect::<Result<_, _>>().map_err(|fault| error("groups", fault))?;
    let metrics = file.metrics.iter().enumerate().map(|(at, rule)| metric_rule(at, &rule.value));
    let metrics = metrics.collect::<Result<_, _>>().map_err(|fault| error("metrics", fault))?;
    Ok((groups, metrics))
}

fn group_rule(rule: &GroupRule) -> Result<CompiledGroupRule, Fault> {
    let place = rule.selector.place;
    let selector = selector(&rule.selector)?;
    if selector.matchers().iter().any(|matcher| matcher.name() == METRIC_NAME) {
        return fault(
            place,
            "match",
            "it asks for a metric name, but groups have none: expected labels of the path, such as {job=\"a\"}",
        );
    }
    if rule.source == SourceBy::Header && !rule.headers {
        return fault(place, "source", "\"header\" has no effect without headers = true: expected both");
    }
    Ok(CompiledGroupRule {
        selector,
        relabel: steps(&rule.relabel)?,
        source: rule.source,
        put: rule.put,
        ttl: unless_zero(rule.ttl),
        source_ttl: unless_zero(rule.source_ttl),
        max_series: Some(rule.max_series).filter(|most| *most > 0),
        overflow: rule.overflow,
        accept: rule.accept,
        headers: rule.headers,
    })
}

fn metric_rule(at: usize, rule: &MetricRule) -> Result<CompiledMetricRule, Fault> {
    let selector = selector(&rule.selector)?;
    if let (Some(merge), Some(_)) = (&rule.merge, &rule.observe) {
        return fault(
            merge.place,
            "merge",
            "it contradicts observe, which makes histograms of the values: expected one of the two",
        );
    }
    let decision = MetricDecision {
        rule: Some(at),
        relabel: steps(&rule.relabel)?.into(),
        merge: rule.merge.as_ref().map(|merge| merge.value),
        temporality: rule.temporality.as_ref().map(|temporality| temporality.value),
        buckets: rule.buckets,
        series_ttl: unless_zero(rule.series_ttl),
        observe: rule.observe.as_ref().map(observe).transpose()?,
    };
    if let Some(temporality) = rule.temporality.as_ref().filter(|of| of.value != Temporality::Delta)
        && decision.changes_labels()
    {
        return fault(
            temporality.place,
            "temporality",
            "it contradicts relabel, which lets series fall together whose totals can't be told apart then: expected \
             \"delta\", or no step but keep and drop",
        );
    }
    Ok((selector, Arc::new(decision)))
}

fn unless_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

fn selector(text: &Placed<String>) -> Result<Selector, Fault> {
    Selector::parse(&text.value).or_else(|error| fault(text.place, "match", error.to_string()))
}

fn observe(Placed { value, place }: &Placed<Observation>) -> Result<Observe, Fault> {
    const EXPECTED: &str = "expected either buckets = [1, 10, 60] or native = true";
    let buckets = match (&value.buckets, value.native.unwrap_or_default()) {
        (Some(buckets), false) => buckets,
        (None, true) => return Ok(Observe::Native),
        (Some(_), true) => {
            return fault(*place, "observe", format!("it asks for two kinds of histogram, {EXPECTED}"));
        }
        (None, false) => return fault(*place, "observe", format!("it asks for no histogram, {EXPECTED}")),
    };
    let key = "observe.buckets";
    let mut bounds: Vec<f64> = Vec::with_capacity(buckets.value.len());
    for Placed { value, place } in &buckets.value {
        let bound = value.0;
        if bound.is_nan() || bound == f64::NEG_INFINITY {
            return fault(*place, key, format!("the bound {bound} is none, expected a number"));
        }
        if bounds.last().is_some_and(|last| *last >= bound) {
            return fault(
                *place,
                key,
                "the bounds do not ascend, expected each to be larger than the one before",
            );
        }
        bounds.push(bound);
    }
    // Every histogram has this bucket.
    bounds.pop_if(|last| *last == f64::INFINITY);
    if bounds.is_empty() {
        return fault(buckets.place, key, "it has no bound, expected at least one number");
    }
    Ok(Observe::Classic(bounds.into()))
}

fn steps(steps: &[Placed<Relabelling>]) -> Result<Box<[Relabel]>, Fault> {
    steps.iter().map(step).collect()
}

/// The checks are those that Prometheus makes when it loads a step.
fn step(Placed { value: step, place }: &Placed<Relabelling>) -> Result<Relabel, Fault> {
    let action = step.action.as_ref().map_or(RelabelAction::Replace, |action| action.value);
    let source_labels: &[Placed<String>] = step.source_labels.as_ref().map_or(&[], |labels| &labels.value);
    if let Some(label) = source_labels.iter().find(|label| label.value.is_empty()) {
        return fault(label.place, "relabel.source_labels", "a label name can't be empty");
    }
    let pattern = match &step.regex {
        None => Pattern::new(ANYTHING).or_else(|error| fault(*place, "relabel.regex", error.to_string())),
        Some(regex) => {
            Pattern::new(&regex.value).or_else(|error| fault(regex.place, "relabel.regex", error.to_string()))
        }
    }?;
    let replacement = step.replacement.as_ref().map_or(REPLACEMENT, |replacement| &replacement.value);
    check_unused(step, action)?;
    let target = || match &step.target_label {
        Some(target) if !target.value.is_empty() => Ok(&*target.value),
        target => {
            let place = target.as_ref().map_or(*place, |target| target.place);
            let message = format!("the action {} needs a label to set, expected a label name", action.name());
            fault(place, "relabel.target_label", message)
        }
    };
    let action = match action {
        RelabelAction::Replace => Action::Replace {
            target: Template::new(target()?, &pattern),
            replacement: Template::new(replacement, &pattern),
            pattern,
        },
        RelabelAction::Keep => Action::Keep(pattern),
        RelabelAction::Drop => Action::Drop(pattern),
        RelabelAction::KeepEqual => Action::KeepEqual(target()?.into()),
        RelabelAction::DropEqual => Action::DropEqual(target()?.into()),
        RelabelAction::HashMod => {
            let target = target()?.into();
            match &step.modulus {
                Some(modulus) if modulus.value > 0 => Action::HashMod { target, modulus: modulus.value },
                modulus => {
                    let place = modulus.as_ref().map_or(*place, |modulus| modulus.place);
                    let message = "the action hashmod needs a modulus, expected a number from 1 up";
                    return fault(place, "relabel.modulus", message);
                }
            }
        }
        RelabelAction::LabelMap => {
            if replacement.is_empty() {
                let place = step.replacement.as_ref().map_or(*place, |replacement| replacement.place);
                let message =
                    "the action labelmap needs names to copy to, expected a label name such as \"$1\"";
                return fault(place, "relabel.replacement", message);
            }
            Action::LabelMap { replacement: Template::new(replacement, &pattern), pattern }
        }
        RelabelAction::LabelDrop => Action::LabelDrop(pattern),
        RelabelAction::LabelKeep => Action::LabelKeep(pattern),
        RelabelAction::Lowercase => Action::Lowercase(target()?.into()),
        RelabelAction::Uppercase => Action::Uppercase(target()?.into()),
    };
    let separator = step.separator.as_ref().map_or(SEPARATOR, |separator| &separator.value);
    Ok(Relabel {
        source_labels: source_labels.iter().map(|label| label.value.as_str().into()).collect(),
        separator: separator.into(),
        action,
    })
}

/// Refuses keys that have no effect with an action, where Prometheus does.
fn check_unused(step: &Relabelling, action: RelabelAction) -> Result<(), Fault> {
    use RelabelAction::{DropEqual, KeepEqual, LabelDrop, LabelKeep, Lowercase, Uppercase};

    let other = |text: &Option<Placed<String>>, default: &str| {
        text.as_ref().filter(|text| text.value != default).map(|text| text.place)
    };
    let of_names = matches!(action, LabelDrop | LabelKeep);
    let of_equals = matches!(action, KeepEqual | DropEqual);
    let sets_case = matches!(action, Lowercase | Uppercase);
    let modulus = step.modulus.as_ref().filter(|modulus| modulus.value > 0).map(|modulus| modulus.place);
    let unused = [
        (of_names, "relabel.source_labels", step.source_labels.as_ref().map(|labels| labels.place)),
        (of_names, "relabel.target_label", other(&step.target_label, "")),
        (of_equals, "relabel.regex", other(&step.regex, ANYTHING)),
        (of_names || of_equals, "relabel.modulus", modulus),
        (of_names || of_equals, "relabel.separator", other(&step.separator, SEPARATOR)),
        (of_names || of_equals || sets_case, "relabel.replacement", other(&step.replacement, REPLACEMENT)),
    ];
    let expected = match action {
        LabelDrop | LabelKeep => "only regex",
        KeepEqual | DropEqual => "only source_labels and target_label",
        _ => "source_labels, separator and target_label",
    };
    for (is_unused, key, place) in unused {
        if let Some(place) = place.filter(|_| is_unused) {
            let message =
                format!("the action {} does not use it, expected {expected}", Excerpt::of(action.name()));
            return fault(place, key, message);
        }
    }
    Ok(())
}
