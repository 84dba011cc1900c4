//! Relabelling does what a real Prometheus does with the same steps in `metric_relabel_configs`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;
use tallygate::config::rules::RuleFile;
use tallygate::model::grouping::{Grouping, GroupingLabel};
use tallygate::rules::RuleSet;
use tallygate::rules::relabel::{Labels, relabel};

use crate::programs::ask_until;
use crate::scraper::{Prometheus, prometheus_3};
use crate::support::Gateway;

/// The series that are relabelled: `name{label="value",…}`, without escapes.
const SERIES: [&str; 9] = [
    r#"plain{}"#,
    r#"plain{a="1"}"#,
    r#"plain{a="1",b="2"}"#,
    r#"plain{a="x/y",b="X-ß",k_a="q"}"#,
    r#"plain{a="same",b="same",k_a="1",l_a="2"}"#,
    r#"other{a="été",b="İΣς"}"#,
    r#"other{a="foo",b="bar",k_c="3"}"#,
    r#"other{a="٣",b="a.b"}"#,
    r#"other{a="aab",b="c d"}"#,
];

/// Steps, each list for one metric name of its own. Every key is written as TOML, whose values are those of YAML.
const STEPS: [&str; 21] = [
    r#"{ source_labels = ["a"], target_label = "c" }"#,
    r#"{ source_labels = ["a", "b"], target_label = "c" }"#,
    r#"{ source_labels = ["a", "none", "b"], separator = "--", target_label = "a" }"#,
    r#"{ source_labels = ["a"], regex = "(?P<x>.)/(.)", target_label = "${x}_c", replacement = "<$2-$x-$$1-$9>" }"#,
    r#"{ source_labels = ["a"], regex = "a+(b)?", target_label = "c", replacement = "${1}$" }"#,
    r#"{ source_labels = ["a"], regex = "(x?).*", target_label = "$1" }"#,
    r#"{ source_labels = ["a"], regex = "\\d", target_label = "c", replacement = "digit" }"#,
    r#"{ source_labels = ["b"], regex = "[\\w.]+", target_label = "c", replacement = "words" }"#,
    r#"{ source_labels = ["a"], regex = "1", target_label = "b", replacement = "" }"#,
    r#"{ target_label = "c", replacement = "x" }"#,
    r#"{ action = "keep", source_labels = ["a"], regex = "1|foo|s.*" }"#,
    r#"{ action = "drop", source_labels = ["a", "b"], regex = ".*;2" }"#,
    r#"{ action = "keepequal", source_labels = ["a"], target_label = "b" }"#,
    r#"{ action = "dropequal", source_labels = ["a"], target_label = "b" }"#,
    r#"{ action = "hashmod", source_labels = ["a", "b"], modulus = 1000000007, target_label = "c" }"#,
    r#"{ action = "labelmap", regex = "(?:k|l)_(.+)", replacement = "$1" }"#,
    r#"{ action = "labeldrop", regex = "k_.*|b" }"#,
    r#"{ action = "labelkeep", regex = "__name__|case|a" }"#,
    r#"{ action = "lowercase", source_labels = ["b"], target_label = "c" }"#,
    r#"{ action = "uppercase", source_labels = ["b", "a"], target_label = "b" }"#,
    r#"{ source_labels = ["a"], regex = "f(.*)", target_label = "__tmp_x" }, { source_labels = ["__tmp_x"], regex = "(.+)", target_label = "__name__", replacement = "renamed_$1" }, { action = "labeldrop", regex = "__tmp_.*" }"#,
];

/// A series: its labels, the name among them.
type Series = BTreeSet<(String, String)>;

/// The series of a case as they are scraped.
fn pushed(series: &str, case: usize) -> Vec<(String, String)> {
    let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap();
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    let own = pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
    let others = [("__name__", name.to_owned()), ("case", case.to_string())];
    own.chain(others.map(|(name, value)| (name.to_owned(), value))).collect()
}

/// What our relabelling makes of the series of a case.
fn ours(steps: &str, case: usize) -> BTreeSet<Series> {
    let file = RuleFile::parse(&format!("[[metrics]]\nmatch = 'm'\nrelabel = [{steps}]")).unwrap();
    let rules = RuleSet::compile(&file).unwrap();
    let job = GroupingLabel { name: "job".into(), value: "j".into() };
    let decision = rules.decide(&Grouping::new(vec![job])).metric("m");
    let relabelled = |series: &&str| {
        let labels = pushed(series, case).into_iter();
        let labels = Labels::new(labels.map(|(name, value)| (Cow::Owned(name), Cow::Owned(value))));
        let pairs = relabel(&decision.relabel, labels)?.into_pairs().into_iter();
        Some(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    };
    SERIES.iter().filter_map(relabelled).collect()
}

/// A job that scrapes the series of a case and relabels them with these steps. JSON is YAML too.
fn job(steps: &str, case: usize, port: u16) -> String {
    let table: toml::Table = format!("steps = [{steps}]").parse().unwrap();
    let steps = table["steps"].as_array().unwrap().iter();
    let steps: String =
        steps.map(|step| format!("      - {}\n", serde_json::to_value(step).unwrap())).collect();
    format!(
        "  - job_name: case{case}\n    honor_labels: true\n    static_configs:\n      - targets: [\"127.0.0.1:{port}\"]\n\
         \x20   metric_relabel_configs:\n      - {{ action: keep, source_labels: [case], regex: \"{case}\" }}\n\
         \x20     - {{ action: labeldrop, regex: job|instance }}\n{steps}"
    )
}

#[test]
fn relabelling_is_that_of_prometheus() {
    let Some(program) = prometheus_3() else { return };
    let gateway = Gateway::start(&[]);
    let body: String = SERIES.iter().map(|series| format!("{series} 1\n")).collect();
    for case in 0..STEPS.len() {
        gateway.push(&format!("/metrics/job/j/case/{case}"), &body);
    }
    let jobs: String =
        STEPS.iter().enumerate().map(|(case, steps)| job(steps, case, gateway.port())).collect();
    let prometheus = Prometheus::start_with_jobs(&program, &gateway, &[], "", &jobs);
    for (case, steps) in STEPS.iter().enumerate() {
        let expected = ours(steps, case);
        ask_until(&format!("the series of {steps}"), || {
            // What the job of the shipped configuration scrapes has a job.
            let answer =
                prometheus.query(&format!("{{case=\"{case}\",job=\"\",__name__!~\"push_.*\"}}"), None)?;
            let labels = |series: &Value| -> Series {
                let labels = series["metric"].as_object().unwrap().iter();
                labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
            };
            let found: BTreeSet<Series> = answer.as_array().unwrap().iter().map(labels).collect();
            if found == expected { Ok(()) } else { Err(format!("{found:?}\nand not {expected:?}")) }
        });
    }
}
