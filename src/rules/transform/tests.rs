//! Cases of the transformation, and a slow reference for all of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::rules::RuleFile;
use crate::exposition::{BodyFormat, Names, Reading};
use crate::model::grouping::GroupingLabel;
use crate::model::labels::unescape;
use crate::model::push::Push;
use crate::rules::RuleSet;

fn grouping(labels: &[(&'static str, &'static str)]) -> Grouping<'static> {
    let label = |(name, value): &(&'static str, &'static str)| GroupingLabel {
        name: (*name).into(),
        value: (*value).into(),
    };
    Grouping::with(labels.iter().map(label).collect(), EmptyLabels::Absent)
}

/// Rules of a settings file, without the places of values.
fn rules(text: &str) -> RuleSet {
    let rules = RuleFile::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    RuleSet::compile(&rules).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn read<'a>(format: BodyFormat, body: &'a str, arena: &'a Bump) -> Body<'a> {
    let reading = Reading { empty_labels: EmptyLabels::Absent, ..Reading::unlimited(Names::Utf8) };
    format.parse(body.as_bytes(), &reading, arena).unwrap()
}

/// What a body says, a line for each family and series.
fn shown(body: &Body<'_>, target: &Grouping<'_>) -> Vec<String> {
    let push = match Push::prepare(body, target, true) {
        Ok(push) => push,
        Err(refusal) => return vec![format!("refused: {refusal}")],
    };
    let mut lines = Vec::new();
    for family in push.families() {
        let pushed = body.families.iter().find(|own| own.name == push.name(family)).unwrap().pushed_name;
        let as_pushed = if pushed == push.name(family) { String::new() } else { format!(" from {pushed}") };
        let help = push.help(family).map_or(String::new(), |help| format!(" \"{help}\""));
        let kind = family.kind.upper_name().to_lowercase();
        lines.push(format!("# {} {kind}{help}{as_pushed}", push.name(family)));
        for series in push.series(family) {
            let start =
                push.start(series).map_or(String::new(), |start| format!(" @{}", start / 1_000_000_000));
            let exemplars: String =
                push.exemplars(series).map(|(_, exemplar)| format!(" # {}", exemplar.block)).collect();
            let value = match series.value {
                crate::model::push::Value::Number(value) => value.to_string(),
                crate::model::push::Value::Summary { sum, count, .. } => format!("{sum}/{}", count.as_f64()),
                crate::model::push::Value::Histogram { sum, total, buckets, native, policy: _ } => {
                    let buckets = push.buckets(buckets).iter();
                    let buckets: Vec<_> =
                        buckets.map(|bucket| format!("{}:{}", bucket.bound, bucket.count.as_f64())).collect();
                    let native = if push.native(native).is_some() { " native" } else { "" };
                    format!("{sum}/{} [{}]{native}", total.as_f64(), buckets.join(" "))
                }
            };
            let offset = series.offset.map_or(String::new(), |offset| format!(" at {offset}"));
            let block = push.block(series).replace("instance=\"\",", "");
            lines.push(format!("{}{block} {value}{start}{exemplars}{offset}", push.name(family)));
        }
    }
    lines
}

/// What becomes of a body: the lines of each body.
fn transformed(rules: &RuleSet, pushed: &Grouping<'_>, format: BodyFormat, text: &str) -> Vec<Vec<String>> {
    let arena = Bump::new();
    let decision = rules.decide(pushed);
    match transform(read(format, text, &arena), pushed, &decision, &arena) {
        Ok(bodies) => bodies.iter().map(|body| shown(body, &decision.target)).collect(),
        Err(refusal) => vec![vec![format!("refused at {:?}: {refusal}", refusal.offset)]],
    }
}

/// Rules, a body, and the lines of the bodies that it becomes, without offsets.
#[test]
fn series_are_relabelled_and_spread() {
    let drop_pid = r#"[[metrics]]
        match = '{__name__=~"a.*"}'
        relabel = [{ action = "labeldrop", regex = "pid" }]"#;
    let rename = r#"[[metrics]]
        match = 'a'
        relabel = [{ target_label = "__name__", replacement = "b" }]"#;
    for (rules_text, body, expected) in [
        ("", "a{pid=\"1\"} 1\n", &[&["# a untyped", "a{job=\"j\",pid=\"1\"} 1"][..]][..]),
        // Other families stay as they are, and where they are.
        (
            drop_pid,
            "# TYPE z gauge\nz{pid=\"1\"} 1\n# HELP a A.\n# TYPE a gauge\na{pid=\"1\",x=\"\\\"\"} 2\n",
            &[&["# z gauge", "z{job=\"j\",pid=\"1\"} 1", "# a gauge \"A.\"", "a{job=\"j\",x=\"\\\"\"} 2"]],
        ),
        // The n-th of the same is in the n-th body.
        (
            drop_pid,
            "# TYPE a gauge\na{pid=\"1\"} 1\na{x=\"y\"} 4\na{pid=\"2\"} 2\na{pid=\"3\"} 3\na{pid=\"5\",x=\"y\"} 5\n",
            &[
                &["# a gauge", "a{job=\"j\"} 1", "a{job=\"j\",x=\"y\"} 4"],
                &["# a gauge", "a{job=\"j\"} 2", "a{job=\"j\",x=\"y\"} 5"],
                &["# a gauge", "a{job=\"j\"} 3"],
            ],
        ),
        // A series that was pushed twice is refused for that, as it is without rules.
        (
            drop_pid,
            "a{pid=\"1\"} 1\na{pid=\"1\"} 2\n",
            &[&["# a untyped", "a{job=\"j\"} 1", "a{job=\"j\"} 2"]],
        ),
        // Labels of the group take the place of those of a series, so that these are twice the same, too.
        (drop_pid, "a{job=\"x\"} 1\na 2\n", &[&["# a untyped", "a{job=\"j\"} 1", "a{job=\"j\"} 2"]]),
        // Types with parts.
        (
            drop_pid,
            "# TYPE a histogram\na_bucket{pid=\"1\",le=\"1\"} 1\na_count{pid=\"1\"} 2\na_sum{pid=\"1\"} 5\n\
             a_bucket{pid=\"2\",le=\"1\"} 3\na_count{pid=\"2\"} 4\na_sum{pid=\"2\"} 7\n",
            &[&["# a histogram", "a{job=\"j\"} 5/2 [1:1]"], &["# a histogram", "a{job=\"j\"} 7/4 [1:3]"]],
        ),
        (
            drop_pid,
            "# TYPE a summary\na_sum{pid=\"1\"} 1\na_count{pid=\"1\"} 2\na_sum{pid=\"2\"} 3\na_count{pid=\"2\"} 4\n",
            &[&["# a summary", "a{job=\"j\"} 1/2"], &["# a summary", "a{job=\"j\"} 3/4"]],
        ),
        // Start times go with their series, although what has them is another family.
        (
            "[[metrics]]\nmatch = 'a_total'\nrelabel = [{ action = \"labeldrop\", regex = \"pid\" }]",
            "# TYPE a_total counter\na_total{pid=\"1\"} 1\na_total{pid=\"2\"} 2\n\
             # TYPE a_created gauge\na_created{pid=\"1\"} 1700000001\na_created{pid=\"2\"} 1700000002\n",
            &[
                &["# a_total counter", "a_total{job=\"j\"} 1 @1700000001"],
                &["# a_total counter", "a_total{job=\"j\"} 2 @1700000002"],
            ],
        ),
        // Another name: type and help come from the family that it was pushed as.
        (rename, "# HELP a A.\n# TYPE a gauge\na 1\n", &[&["# b gauge \"A.\" from a", "b{job=\"j\"} 1"]]),
        (
            rename,
            "# TYPE b gauge\n# HELP b B.\nb 2\nb{x=\"y\"} 3\n# TYPE a gauge\n# HELP a A.\na 1\n",
            &[
                &["# b gauge \"B.\"", "b{job=\"j\"} 2", "b{job=\"j\",x=\"y\"} 3"],
                &["# b gauge \"B.\"", "b{job=\"j\"} 1"],
            ],
        ),
        (
            rename,
            "# TYPE b counter\nb 2\n# TYPE a gauge\na 1\n",
            &[&[
                "refused at Some(36): relabelling makes series of type GAUGE part of metric family b, which has type COUNTER",
            ]],
        ),
        // A family that has no series has no say.
        (rename, "# TYPE b counter\n# TYPE a gauge\na 1\n", &[&["# b gauge from a", "b{job=\"j\"} 1"]]),
        (
            r#"[[metrics]]
               match = '{__name__=~"a|b"}'
               relabel = [{ source_labels = ["__name__"], regex = "(a)|(b)", target_label = "__name__", replacement = "x${2}" }]"#,
            "# TYPE a gauge\na 1\n# TYPE b counter\nb 2\n",
            &[&["# x gauge from a", "x{job=\"j\"} 1", "# xb counter from b", "xb{job=\"j\"} 2"]],
        ),
        // Names that swap.
        (
            r#"[[metrics]]
               match = '{__name__=~"a|b"}'
               relabel = [
                 { source_labels = ["__name__"], target_label = "__tmp" },
                 { source_labels = ["__tmp"], regex = "a", target_label = "__name__", replacement = "b" },
                 { source_labels = ["__tmp"], regex = "b", target_label = "__name__", replacement = "a" },
               ]"#,
            "# TYPE a gauge\na 1\n# TYPE b counter\nb 2\n",
            &[&["# a counter from b", "a{job=\"j\"} 2", "# b gauge from a", "b{job=\"j\"} 1"]],
        ),
        // One name of several, which the rules have to merge alike.
        (
            r#"[[metrics]]
               match = 'a'
               merge = "sum"
               relabel = [{ target_label = "__name__", replacement = "b" }]"#,
            "b 2\na{x=\"y\"} 1\n",
            &[&[
                "refused at Some(4): relabelling makes one metric family of a and b, which the rules merge in different ways",
            ]],
        ),
        // Dropped series, and families without any left.
        (
            r#"[[metrics]]
               match = '{__name__=~"a|b"}'
               relabel = [{ action = "drop", source_labels = ["x"], regex = "y" }]"#,
            "a{x=\"y\"} 1\na 2\n# TYPE b gauge\nb{x=\"y\"} 1\nc 3\n",
            &[&["# a untyped", "a{job=\"j\"} 2", "# c untyped", "c{job=\"j\"} 3"]],
        ),
        (
            "[[metrics]]\nmatch = 'a'\nrelabel = [{ action = \"labeldrop\", regex = \"__name__\" }]",
            "a 1\n",
            &[&["refused at Some(0): relabelling leaves a series of metric family a without a name"]],
        ),
        // The labels of the group can be read, and only read. Labels that begin with __ go.
        (
            r#"[[metrics]]
               match = 'a'
               relabel = [
                 { source_labels = ["job", "x"], separator = "/", target_label = "from" },
                 { target_label = "job", replacement = "other" },
                 { target_label = "__x", replacement = "1" },
                 { target_label = "q", replacement = "\"\\\n" },
               ]"#,
            "a{x=\"1\"} 1\n",
            &[&["# a untyped", "a{from=\"j/1\",job=\"j\",q=\"\\\"\\\\\\n\",x=\"1\"} 1"]],
        ),
        // Observations.
        (
            "[[metrics]]\nmatch = 'a'\nobserve = { buckets = [1, 10, inf] }",
            "# TYPE a gauge\na 5\na{x=\"y\"} -1\nc 1\n",
            &[&[
                "# a histogram",
                "a{job=\"j\"} 5/1 [1:0 10:1 inf:1]",
                "a{job=\"j\",x=\"y\"} -1/1 [1:1 10:1 inf:1]",
                "# c untyped",
                "c{job=\"j\"} 1",
            ]],
        ),
        (
            r#"[[metrics]]
               match = 'a_seconds'
               observe = { native = true }
               relabel = [{ action = "labeldrop", regex = "pid" }]"#,
            "a_seconds{pid=\"1\"} 42\na_seconds{pid=\"2\"} 0\n",
            &[
                &["# a_seconds histogram", "a_seconds{job=\"j\"} 42/1 [] native"],
                &["# a_seconds histogram", "a_seconds{job=\"j\"} 0/1 [] native"],
            ],
        ),
        (
            "[[metrics]]\nmatch = 'a'\nobserve = { native = true }",
            "# TYPE a counter\na 5\n",
            &[&["# a counter", "a{job=\"j\"} 5"]],
        ),
        (
            "[[metrics]]\nmatch = 'a'\nobserve = { native = true }",
            "a 1\na{x=\"y\"} NaN\n",
            &[&[
                "refused at Some(4): a series of metric family a has the value NaN, but only numbers are observations of a histogram",
            ]],
        ),
    ] {
        let found = transformed(&rules(rules_text), &grouping(&[("job", "j")]), BodyFormat::Text, body);
        let without_offsets = |line: &String| match line.rsplit_once(" at ") {
            Some((line, offset)) if offset.parse::<u32>().is_ok() => line.to_owned(),
            _ => line.clone(),
        };
        let found: Vec<Vec<String>> =
            found.iter().map(|lines| lines.iter().map(without_offsets).collect()).collect();
        assert_eq!(found, expected, "{rules_text}\n{body}");
    }
}

#[test]
fn exemplars_start_times_and_places_stay_with_their_series() {
    let rules =
        rules("[[metrics]]\nmatch = 'a_total'\nrelabel = [{ action = \"labeldrop\", regex = \"pid\" }]");
    let body = "# TYPE a counter\na_total{pid=\"1\"} 1 # {t=\"x\"} 1\na_created{pid=\"1\"} 1700000001\n\
                a_total{pid=\"2\"} 2 # {t=\"y\"} 1\na_created{pid=\"2\"} 1700000002\n# EOF\n";
    assert_eq!(
        transformed(&rules, &grouping(&[("job", "j")]), BodyFormat::OpenMetrics, body),
        [
            ["# a_total counter", "a_total{job=\"j\"} 1 @1700000001 # {t=\"x\"} at 17"],
            ["# a_total counter", "a_total{job=\"j\"} 2 @1700000002 # {t=\"y\"} at 78"],
        ]
    );
}

#[test]
fn labels_that_the_group_lost_do_not_come_back() {
    let rules = rules(
        r#"
        [[groups]]
        match = '{job="j"}'
        relabel = [{ action = "labeldrop", regex = "pod" }]
        [[metrics]]
        match = '{__name__=~"a|c"}'
        relabel = [{ source_labels = ["pod"], target_label = "from" }]
        "#,
    );
    let pushed = grouping(&[("job", "j"), ("pod", "p")]);
    // In families that a rule changes as in others.
    let expected = ["# a untyped", "a{from=\"p\",job=\"j\"} 1", "# b untyped", "b{job=\"j\"} 2"];
    let found = transformed(&rules, &pushed, BodyFormat::Text, "a{pod=\"own\"} 1\nb{pod=\"own\"} 2\n");
    let found: Vec<String> =
        found.concat().iter().map(|line| line.split(" at ").next().unwrap().to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_no_rule_changes_is_not_touched() {
    let rules = rules(
        "[[metrics]]\nmatch = 'a'\nmerge = \"sum\"\n[[metrics]]\nmatch = 'b'\nobserve = { native = true }",
    );
    let pushed = grouping(&[("job", "j")]);
    let (arena, text) = (Bump::new(), "a 1\n# TYPE b counter\nb 1\n");
    let body = read(BodyFormat::Text, text, &arena);
    let before = format!("{body:?}");
    let bodies = transform(body, &pushed, &rules.decide(&pushed), &arena).unwrap();
    assert_eq!((bodies.len(), format!("{:?}", bodies[0])), (1, before));
    assert_eq!(arena.allocated_bytes(), 0);
}

/// A series of a push: name, labels, value.
type Plain = (String, BTreeMap<String, String>, f64);

fn pushes() -> impl Strategy<Value = Vec<Plain>> {
    let name = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let labels = prop::collection::btree_map(
        prop::sample::select(vec!["x", "y", "job", "pod"]).prop_map(str::to_owned),
        prop::sample::select(vec!["1", "2", "\\\"\n"]).prop_map(str::to_owned),
        0..4,
    );
    prop::collection::vec((name, labels), 0..12).prop_map(|series| {
        series.into_iter().zip(1..).map(|((name, labels), value)| (name, labels, f64::from(value))).collect()
    })
}

/// Steps, each with the function that is obviously the same on one set of labels.
type Step = (&'static str, fn(&mut BTreeMap<String, String>) -> bool);

const STEPS: [Step; 6] = [
    (r#"{ action = "labeldrop", regex = "x" }"#, |labels| {
        labels.remove("x");
        true
    }),
    (r#"{ source_labels = ["y"], target_label = "x" }"#, |labels| {
        match labels.get("y").cloned() {
            Some(y) => labels.insert("x".to_owned(), y),
            None => labels.remove("x"),
        };
        true
    }),
    (r#"{ action = "drop", source_labels = ["x", "y"], regex = "1;2" }"#, |labels| {
        !(labels.get("x").is_some_and(|x| x == "1") && labels.get("y").is_some_and(|y| y == "2"))
    }),
    (r#"{ source_labels = ["x"], regex = "2", target_label = "__name__", replacement = "c" }"#, |labels| {
        if labels.get("x").is_some_and(|x| x == "2") {
            labels.insert("__name__".to_owned(), "c".to_owned());
        }
        true
    }),
    (r#"{ target_label = "pod", replacement = "q" }"#, |labels| {
        labels.insert("pod".to_owned(), "q".to_owned());
        true
    }),
    (r#"{ source_labels = ["__name__"], target_label = "y" }"#, |labels| {
        let name = labels["__name__"].clone();
        labels.insert("y".to_owned(), name);
        true
    }),
];

/// The series that come of a push to `job="j"`, sorted: by body, name and labels.
fn reference(series: &[Plain], steps: &[Step]) -> Vec<(usize, String, BTreeMap<String, String>, f64)> {
    let relabelled = |(name, labels, value): &Plain| {
        let mut labels = labels.clone();
        labels.insert("job".to_owned(), "j".to_owned());
        // No rule is for `b`.
        if name != "b" {
            labels.insert("__name__".to_owned(), name.clone());
            if !steps.iter().all(|(_, apply)| apply(&mut labels)) {
                return None;
            }
        }
        let new_name = labels.remove("__name__").unwrap_or_else(|| name.clone());
        Some((name.clone(), new_name, labels, *value))
    };
    // Families are in the order in which they were pushed, and what stays comes before what moves.
    let mut order: Vec<&String> = Vec::new();
    for (name, ..) in series {
        if !order.contains(&name) {
            order.push(name);
        }
    }
    let mut all: Vec<_> = series.iter().filter_map(relabelled).collect();
    all.sort_by_key(|(name, new_name, ..)| (name != new_name, order.iter().position(|other| *other == name)));
    let mut found: Vec<(usize, String, BTreeMap<String, String>, f64)> = Vec::new();
    for (_, name, labels, value) in all {
        let times = found.iter().filter(|(_, other, others, _)| *other == name && *others == labels).count();
        found.push((times, name, labels, value));
    }
    found.sort_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)));
    found
}

proptest! {
    #[test]
    fn a_push_is_what_an_obvious_reference_makes_of_it(
        series in pushes(),
        chosen in prop::collection::vec(0..STEPS.len(), 0..4),
    ) {
        // What is pushed twice is refused, with rules and without.
        let mut seen = std::collections::BTreeSet::new();
        let series: Vec<Plain> = series.into_iter().filter(|(name, labels, _)| {
            let told: Vec<_> = labels.iter().filter(|(name, _)| *name != "job").collect();
            seen.insert(format!("{name} {told:?}"))
        }).collect();
        let steps: Vec<Step> = chosen.iter().map(|at| STEPS[*at]).collect();
        let mut texts: Vec<&str> = steps.iter().map(|(text, _)| *text).collect();
        // So that there is at least one.
        texts.push(r#"{ action = "keep" }"#);
        let rules = rules(&format!(
            "[[metrics]]\nmatch = '{{__name__!=\"b\",job=\"j\"}}'\nrelabel = [{}]", texts.join(",")
        ));
        let line = |(name, labels, value): &Plain| {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", crate::model::labels::escape(value)))
                .collect();
            format!("{name}{{{}}} {value}\n", labels.join(","))
        };
        let text: String = series.iter().map(line).collect();
        let (arena, pushed) = (Bump::new(), grouping(&[("job", "j")]));
        let body = read(BodyFormat::Text, &text, &arena);
        let bodies = transform(body, &pushed, &rules.decide(&pushed), &arena).unwrap();
        let mut found = Vec::new();
        for (at, body) in bodies.iter().enumerate() {
            for family in &body.families {
                prop_assert!(!family.series.is_empty());
                for series in body.series_of(family) {
                    let labels = body.labels_of(series).iter();
                    let mut labels: BTreeMap<String, String> = labels
                        .map(|label| (label.name.to_owned(), unescape(label.escaped_value).into_owned()))
                        .collect();
                    labels.insert("job".to_owned(), "j".to_owned());
                    let crate::model::body::Value::Number(value) = series.value else { panic!() };
                    let line = &text[series.offset.unwrap() as usize..];
                    let ends = format!(" {value}");
                    prop_assert!(line.split('\n').next().unwrap().ends_with(&ends), "the place of another");
                    found.push((at, family.name.to_owned(), labels, value));
                }
            }
        }
        found.sort_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)));
        prop_assert_eq!(found, reference(&series, &steps));
    }
}
