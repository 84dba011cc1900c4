//! What rule sets decide, and which rules they refuse.

use std::time::Duration;

use super::*;
use crate::config::{Buckets, NumberMerge, PutMode, Temporality};
use crate::rules::Observe;

fn label(name: &str, value: &str) -> GroupingLabel<'static> {
    GroupingLabel { name: name.to_owned().into(), value: value.to_owned().into() }
}

/// The group of `a=1 b=2`; a label without a value is an absent one.
fn grouping(labels: &str) -> Grouping<'static> {
    let labels = labels.split_whitespace().filter_map(|pair| pair.split_once('='));
    Grouping::with(labels.map(|(name, value)| label(name, value)).collect(), EmptyLabels::Absent)
}

fn rules(text: &str) -> RuleSet {
    let rules = RuleFile::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    RuleSet::compile(&rules).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_first_rule_that_matches_counts() {
    let rules = rules(
        r#"
        [[groups]]
        match = '{job="worker",pod!=""}'
        relabel = [{ action = "labeldrop", regex = "pod|instance" }]
        source = "header"
        put = "aggregate"
        ttl = "24h"
        source_ttl = "10m"
        max_series = 5000
        overflow = "fold"
        headers = true
        [[groups]]
        match = '{job=~"w.*"}'
        accept = false
        [[groups]]
        match = '{job="worker"}'
        max_series = 1
        "#,
    );
    assert!(!rules.is_empty());
    let first = rules.decide(&grouping("job=worker pod=p instance=i zone=z"));
    assert_eq!((first.rule, first.is_moved, first.accept), (Some(0), true, true));
    assert_eq!(first.target.key(), r#"{job="worker",zone="z"}"#);
    assert_eq!(first.target.absent(), ["instance", "pod"]);
    assert_eq!((first.source, first.put), (SourceBy::Header, Some(PutMode::Aggregate)));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!((first.ttl, first.source_ttl), (seconds(86_400), seconds(600)));
    assert_eq!((first.max_series, first.overflow, first.headers), (Some(5000), Overflow::Fold, true));
    let second = rules.decide(&grouping("job=worker"));
    assert_eq!((second.rule, second.accept, second.is_moved), (Some(1), false, false));
    assert_eq!((second.ttl, second.max_series, second.put), (None, None, None));
    assert_eq!((second.source, second.overflow), (SourceBy::Path, Overflow::Refuse));
    let none = rules.decide(&grouping("job=other pod=p"));
    assert_eq!((none.rule, none.accept, none.is_moved), (None, true, false));
    assert_eq!(none.target, grouping("job=other pod=p"));
}

/// Steps on the labels of a path, and the labels of the group.
#[test]
fn groups_are_relabelled() {
    for (steps, pushed, expected) in [
        (r#"{ target_label = "zone", replacement = "z" }"#, "job=j", r#"{job="j",zone="z"}"#),
        (r#"{ source_labels = ["a"], target_label = "job" }"#, "job=j a=x", r#"{a="x",job="x"}"#),
        (r#"{ action = "labeldrop", regex = "a" }"#, "job=j", r#"{job="j"}"#),
        (r#"{ action = "labeldrop", regex = "job" }"#, "job=j a=x", "lacks job"),
        (r#"{ action = "labelkeep", regex = "a" }"#, "job=j a=x", "lacks job"),
        (r#"{ source_labels = ["a"], target_label = "job" }"#, "job=j", "lacks job"),
        (r#"{ action = "drop", source_labels = ["a"], regex = "x" }"#, "job=j a=x", "dropped"),
        (r#"{ action = "keep", source_labels = ["a"], regex = "x" }"#, "job=j", "dropped"),
        (r#"{ target_label = "__tmp", replacement = "z" }"#, "job=j", r#"{job="j"}"#),
        // Two groups become one.
        (
            r#"{ action = "lowercase", source_labels = ["job"], target_label = "job" }"#,
            "job=J",
            r#"{job="j"}"#,
        ),
    ] {
        let rules = rules(&format!("[[groups]]\nmatch = '{{job!=\"\"}}'\nrelabel = [{steps}]"));
        let pushed = grouping(pushed);
        let decision = rules.decide(&pushed);
        let found = match (decision.dropped, decision.lacks_job) {
            (true, _) => "dropped",
            (_, true) => "lacks job",
            _ => decision.target.key(),
        };
        assert_eq!(found, expected, "{steps}");
        assert_eq!(decision.is_moved, decision.target.key() != pushed.key());
    }
}

#[test]
fn decisions_about_groups_are_kept_for_what_they_depend_on() {
    let rules =
        rules("[[groups]]\nmatch = '{job=\"j\"}'\nrelabel = [{ action = \"labeldrop\", regex = \"a\" }]");
    let decide = |labels: &str| rules.decide(&grouping(labels));
    assert!(Arc::ptr_eq(&decide("job=j a=1"), &decide("a=1 job=j")));
    // The key is the same, but series lose another label.
    assert_eq!(grouping("job=j b=").key(), grouping("job=j").key());
    assert_eq!(decide("job=j b=").target.absent(), ["b"]);
    assert_eq!(decide("job=j").target.absent().len(), 0);
    let instance = Grouping::new(vec![label("job", "j"), label("instance", "")]);
    assert!(rules.decide(&instance).target.has_instance() && !decide("job=j").target.has_instance());
    // However many groups come, the right one is found.
    for number in 0..50_000 {
        let decision = decide(&format!("job=j a={number} c={number}"));
        assert_eq!(decision.target.key(), format!("{{c=\"{number}\",job=\"j\"}}"));
    }
    assert!(rules.decisions.len() < 50_000, "the cache has no bound");
}

#[test]
fn metrics_are_decided_by_name_and_labels_of_the_path() {
    let rules = rules(
        r#"
        [[metrics]]
        match = '{__name__=~".*_depth",job="a"}'
        merge = "sum"
        buckets = "reject"
        [[metrics]]
        match = '{__name__=~"queue_.*"}'
        merge = "greatest"
        temporality = "auto"
        series_ttl = "1h"
        [[metrics]]
        match = '{zone="z"}'
        merge = "last"
        [[metrics]]
        match = '{__name__!~"a.*",job!=""}'
        observe = { buckets = [1, 2.5, inf] }
        "#,
    );
    for (labels, name, rule) in [
        ("job=a", "queue_depth", Some(0)),
        ("job=b", "queue_depth", Some(1)),
        ("job=b", "queue_x", Some(1)),
        ("job=b zone=z", "queue_x", Some(1)),
        ("job=b zone=z", "anything", Some(2)),
        ("job=b", "anything", None),
        ("job=b", "x", Some(3)),
    ] {
        let group = rules.decide(&grouping(labels));
        let decision = group.metric(name);
        assert_eq!(decision.rule, rule, "{name} in {labels}");
        assert!(Arc::ptr_eq(&decision, &group.metric(name)));
    }
    let metric = |labels: &str, name: &str| rules.decide(&grouping(labels)).metric(name);
    let first = metric("job=a", "queue_depth");
    assert_eq!((first.merge, first.buckets), (Some(NumberMerge::Sum), Buckets::Reject));
    let second = metric("job=b", "queue_depth");
    assert_eq!((second.merge, second.temporality), (Some(NumberMerge::Greatest), Some(Temporality::Auto)));
    assert_eq!((second.buckets, second.series_ttl), (Buckets::Union, Some(Duration::from_secs(3600))));
    let last = metric("job=b", "x");
    assert_eq!(last.observe, Some(Observe::Classic([1.0, 2.5].into())));
    assert!(last.changes_series() && !first.changes_series());
    // Groups for which the same rules can match share what is known about names.
    let share = |a: &str, b: &str| {
        Arc::ptr_eq(&rules.decide(&grouping(a)).metrics, &rules.decide(&grouping(b)).metrics)
    };
    assert!(share("job=b", "job=c x=y") && !share("job=a", "job=b"));
}

#[test]
fn without_rules_nothing_is_decided() {
    let rules = RuleSet::compile(&RuleFile::default()).unwrap();
    assert!(rules.is_empty() && RuleSet::default().is_empty());
    let decision = rules.decide(&grouping("job=j a="));
    assert_eq!((decision.rule, decision.is_moved, decision.accept), (None, false, true));
    assert_eq!(decision.target, grouping("job=j a="));
    let metric = decision.metric("m");
    assert_eq!((metric.rule, metric.merge, metric.changes_series()), (None, None, false));
}

/// What a rule is refused for.
#[test]
fn wrong_rules_are_refused() {
    let step = |step: &str| format!("[[groups]]\nmatch = '{{job=\"a\"}}'\nrelabel = [{step}]");
    let metric = |keys: &str| format!("[[metrics]]\nmatch = 'm'\n{keys}");
    for (text, key, message) in [
        (
            "[[groups]]\nmatch = '{job=}'".to_owned(),
            "groups.match",
            "unexpected '}', expected a value in quotes (at character 6 of the selector)",
        ),
        (
            "[[groups]]\nmatch = 'up'".to_owned(),
            "groups.match",
            "it asks for a metric name, but groups have none: expected labels of the path, such as {job=\"a\"}",
        ),
        (
            "[[metrics]]\nmatch = '{job=~\".*\"}'".to_owned(),
            "metrics.match",
            "every series matches, expected a matcher that does not match the empty value (at character 1 of the selector)",
        ),
        (
            step(r#"{ action = "keep", regex = "(" }"#),
            "groups.relabel.regex",
            "missing closing ) (at character 1 of the regular expression)",
        ),
        (
            step("{ }"),
            "groups.relabel.target_label",
            "the action replace needs a label to set, expected a label name",
        ),
        (
            step(r#"{ action = "uppercase", target_label = "" }"#),
            "groups.relabel.target_label",
            "the action uppercase needs a label to set, expected a label name",
        ),
        (
            step(r#"{ source_labels = [""], target_label = "a" }"#),
            "groups.relabel.source_labels",
            "a label name can't be empty",
        ),
        (
            step(r#"{ action = "hashmod", target_label = "a" }"#),
            "groups.relabel.modulus",
            "the action hashmod needs a modulus, expected a number from 1 up",
        ),
        (
            step(r#"{ action = "hashmod", target_label = "a", modulus = 0 }"#),
            "groups.relabel.modulus",
            "the action hashmod needs a modulus, expected a number from 1 up",
        ),
        (
            step(r#"{ action = "labelmap", replacement = "" }"#),
            "groups.relabel.replacement",
            "the action labelmap needs names to copy to, expected a label name such as \"$1\"",
        ),
        (
            step(r#"{ action = "labeldrop", regex = "a", source_labels = ["b"] }"#),
            "groups.relabel.source_labels",
            "the action labeldrop does not use it, expected only regex",
        ),
        (
            step(r#"{ action = "labelkeep", regex = "a", target_label = "b" }"#),
            "groups.relabel.target_label",
            "the action labelkeep does not use it, expected only regex",
        ),
        (
            step(r#"{ action = "labeldrop", regex = "a", modulus = 1 }"#),
            "groups.relabel.modulus",
            "the action labeldrop does not use it, expected only regex",
        ),
        (
            step(r#"{ action = "keepequal", source_labels = ["a"], target_label = "b", regex = "c" }"#),
            "groups.relabel.regex",
            "the action keepequal does not use it, expected only source_labels and target_label",
        ),
        (
            step(r#"{ action = "dropequal", source_labels = ["a"], target_label = "b", separator = "," }"#),
            "groups.relabel.separator",
            "the action dropequal does not use it, expected only source_labels and target_label",
        ),
        (
            step(r#"{ action = "lowercase", source_labels = ["a"], target_label = "b", replacement = "c" }"#),
            "groups.relabel.replacement",
            "the action lowercase does not use it, expected source_labels, separator and target_label",
        ),
        (
            metric("merge = 'sum'\nobserve = { native = true }"),
            "metrics.merge",
            "it contradicts observe, which makes histograms of the values: expected one of the two",
        ),
        (
            metric("observe = { }"),
            "metrics.observe",
            "it asks for no histogram, expected either buckets = [1, 10, 60] or native = true",
        ),
        (
            metric("observe = { native = true, buckets = [1] }"),
            "metrics.observe",
            "it asks for two kinds of histogram, expected either buckets = [1, 10, 60] or native = true",
        ),
        (
            metric("observe = { buckets = [] }"),
            "metrics.observe.buckets",
            "it has no bound, expected at least one number",
        ),
        (
            metric("observe = { buckets = [1, 2, 2] }"),
            "metrics.observe.buckets",
            "the bounds do not ascend, expected each to be larger than the one before",
        ),
        (
            metric("observe = { buckets = [nan] }"),
            "metrics.observe.buckets",
            "the bound NaN is none, expected a number",
        ),
    ] {
        let rules = RuleFile::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let error = RuleSet::compile(&rules).unwrap_err();
        assert_eq!((&*error.key, &*error.message), (key, message), "{text}");
    }
    // Defaults that are spelled out are no contradiction, as in Prometheus.
    for fine in [
        r#"{ action = "labeldrop", regex = "a", separator = ";", replacement = "$1", modulus = 0, target_label = "" }"#,
        r#"{ action = "keepequal", source_labels = ["a"], target_label = "b", regex = "(.*)" }"#,
        r#"{ action = "keep", source_labels = ["a"], target_label = "b", modulus = 3, replacement = "x" }"#,
        r#"{ action = "labelmap", regex = "a", source_labels = ["b"] }"#,
    ] {
        rules(&step(fine));
    }
    for fine in
        ["buckets = 'reject'", "temporality = 'cumulative'\nbuckets = 'intersection'", "merge = 'mean'"]
    {
        rules(&metric(fine));
    }
}
