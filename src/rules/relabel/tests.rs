//! Cases of relabelling; tests/monitoring/relabelling.rs holds them against a real Prometheus.

use super::*;
use crate::config::rules::{GroupRule, Relabelling, RuleFile};
use crate::rules::compile::compile;

/// The labels of a list, `a=1 b=2`.
fn list(text: &str) -> Vec<Pair<'_>> {
    let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

/// Steps as a settings file has them.
pub(crate) fn steps(text: &str) -> Box<[Relabel]> {
    #[derive(serde::Deserialize)]
    struct Steps {
        relabel: Vec<Relabelling>,
    }
    let steps: Steps = toml::from_str(&format!("relabel = [{text}]")).unwrap();
    let mut rule = GroupRule::new("{job=~\".+\"}");
    rule.relabel = steps.relabel.into_iter().map(Into::into).collect();
    let file = RuleFile { groups: vec![rule.into()], ..RuleFile::default() };
    match compile(&file) {
        Ok((mut groups, _)) => groups.remove(0).relabel,
        Err(error) => panic!("{text}: {error}"),
    }
}

fn shown(labels: Option<Labels<'_>>) -> Option<String> {
    let mut pairs = labels?.into_pairs();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Some(pairs.join(" "))
}

#[test]
fn steps_do_what_they_do_in_prometheus() {
    for (text, before, after) in [
        // replace
        (r#"{ source_labels = ["a"], target_label = "b" }"#, "a=1", Some("a=1 b=1")),
        (r#"{ source_labels = ["a"], target_label = "b" }"#, "b=2", Some("")),
        (r#"{ source_labels = ["a", "c"], target_label = "b" }"#, "a=1", Some("a=1 b=1;")),
        (
            r#"{ source_labels = ["a", "b"], separator = "", target_label = "a" }"#,
            "a=1 b=2",
            Some("a=12 b=2"),
        ),
        (
            r#"{ source_labels = ["a"], regex = "x(.)", target_label = "b", replacement = "<$1>" }"#,
            "a=xy b=2",
            Some("a=xy b=<y>"),
        ),
        (r#"{ source_labels = ["a"], regex = "x(.)", target_label = "b" }"#, "a=xyz b=2", Some("a=xyz b=2")),
        (r#"{ source_labels = ["a"], regex = "x(.*)", target_label = "a" }"#, "a=x b=2", Some("b=2")),
        (r#"{ source_labels = ["a"], regex = "(.*)", target_label = "$1" }"#, "a=n", Some("a=n n=n")),
        (
            r#"{ source_labels = ["a"], regex = "(?P<k>.*)/(.*)", target_label = "${k}_x", replacement = "$2" }"#,
            "a=n/m",
            Some("a=n/m n_x=m"),
        ),
        (r#"{ source_labels = ["a"], regex = "(b?).*", target_label = "$1" }"#, "a=c", Some("a=c")),
        (r#"{ target_label = "b", replacement = "x" }"#, "a=1", Some("a=1 b=x")),
        (r#"{ target_label = "a", replacement = "" }"#, "a=1 b=2", Some("b=2")),
        (r#"{ action = "Replace", target_label = "b", replacement = "$$" }"#, "", Some("b=$")),
        (
            r#"{ source_labels = ["a"], target_label = "b" }, { source_labels = ["b"], target_label = "c" }"#,
            "a=1",
            Some("a=1 b=1 c=1"),
        ),
        // keep, drop
        (r#"{ action = "keep", source_labels = ["a"], regex = "1|2" }"#, "a=1", Some("a=1")),
        (r#"{ action = "keep", source_labels = ["a"], regex = "1|2" }"#, "a=12", None),
        (r#"{ action = "keep", source_labels = ["a", "b"], regex = "1;" }"#, "a=1", Some("a=1")),
        (r#"{ action = "keep", regex = "" }"#, "a=1", Some("a=1")),
        (r#"{ action = "drop", source_labels = ["a"], regex = "1.*" }"#, "a=12", None),
        (r#"{ action = "drop", source_labels = ["a"], regex = "1" }"#, "b=1", Some("b=1")),
        (r#"{ action = "drop", source_labels = ["a"] }"#, "b=1", None),
        // keepequal, dropequal
        (
            r#"{ action = "keepequal", source_labels = ["a"], target_label = "b" }"#,
            "a=1 b=1",
            Some("a=1 b=1"),
        ),
        (r#"{ action = "keepequal", source_labels = ["a"], target_label = "b" }"#, "a=1", None),
        (r#"{ action = "dropequal", source_labels = ["a"], target_label = "b" }"#, "a=1 b=1", None),
        (r#"{ action = "dropequal", source_labels = ["a"], target_label = "b" }"#, "", None),
        (
            r#"{ action = "dropequal", source_labels = ["a"], target_label = "b" }"#,
            "a=1 b=2",
            Some("a=1 b=2"),
        ),
        // hashmod
        (
            r#"{ action = "hashmod", source_labels = ["a"], modulus = 1000, target_label = "h" }"#,
            "a=foo",
            Some("a=foo h=696"),
        ),
        (
            r#"{ action = "hashmod", source_labels = ["a", "b"], modulus = 8, target_label = "h" }"#,
            "a=foo b=bar",
            Some("a=foo b=bar h=6"),
        ),
        (r#"{ action = "hashmod", modulus = 1, target_label = "h" }"#, "", Some("h=0")),
        // labelmap, labeldrop, labelkeep
        (r#"{ action = "labelmap", regex = "k_(.+)" }"#, "k_a=1 k_b=2 c=3", Some("a=1 b=2 c=3 k_a=1 k_b=2")),
        (r#"{ action = "labelmap", regex = "k_(.+)", replacement = "l_$1" }"#, "k_a=1", Some("k_a=1 l_a=1")),
        // Two that become one: the later by name counts, but a label that was set comes last.
        (
            r#"{ action = "labelmap", regex = "(k|l)_a", replacement = "a" }"#,
            "k_a=1 l_a=2",
            Some("a=2 k_a=1 l_a=2"),
        ),
        (
            r#"{ target_label = "k_a", replacement = "3" }, { action = "labelmap", regex = "(k|l)_a", replacement = "a" }"#,
            "k_a=1 l_a=2",
            Some("a=3 k_a=3 l_a=2"),
        ),
        (r#"{ action = "labeldrop", regex = "a|b" }"#, "a=1 ab=2 b=3", Some("ab=2")),
        (r#"{ action = "labeldrop" }"#, "a=1", Some("")),
        (r#"{ action = "labelkeep", regex = "a|b" }"#, "a=1 ab=2 b=3", Some("a=1 b=3")),
        // lowercase, uppercase
        (
            r#"{ action = "lowercase", source_labels = ["a"], target_label = "b" }"#,
            "a=ÄbC",
            Some("a=ÄbC b=äbc"),
        ),
        (r#"{ action = "uppercase", source_labels = ["a"], target_label = "a" }"#, "a=äbß", Some("a=ÄBß")),
        (r#"{ action = "uppercase", source_labels = ["a"], target_label = "b" }"#, "b=1", Some("")),
        // A step that drops ends it all.
        (r#"{ action = "drop", regex = "" }, { target_label = "b", replacement = "x" }"#, "a=1", None),
    ] {
        let labels = relabel(&steps(text), Labels::new(list(before)));
        assert_eq!(shown(labels).as_deref(), after, "{text} on {before}");
    }
}

#[test]
fn fixed_labels_are_read_only() {
    let fixed = [("job", "j"), ("k_x", "y"), ("none", "")];
    for (text, after) in [
        (r#"{ source_labels = ["job"], target_label = "b" }"#, "a=1 b=j"),
        (r#"{ target_label = "job", replacement = "x" }"#, "a=1"),
        (r#"{ target_label = "none", replacement = "x" }"#, "a=1"),
        (r#"{ action = "labeldrop", regex = "job|a" }"#, ""),
        (
            r#"{ action = "labelmap", regex = "(?:k_)?(.+)", replacement = "l_$1" }"#,
            "a=1 l_a=1 l_job=j l_x=y",
        ),
    ] {
        let labels = Labels::beside(&fixed, list("a=1 job=own"));
        assert_eq!(labels.get("job"), "j");
        assert_eq!(shown(relabel(&steps(text), labels)).unwrap(), after, "{text}");
    }
}
