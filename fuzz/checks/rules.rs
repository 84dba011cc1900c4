//! Rules: whatever their texts say, they are refused with a place or they decide, and relabelling is a function.

use std::borrow::Cow;

use bumpalo::Bump;
use tallygate::config::rules::RuleFile;
use tallygate::exposition::{BodyFormat, Names, Reading};
use tallygate::model::body::Value;
use tallygate::model::grouping::{Grouping, GroupingLabel};
use tallygate::model::labels::EmptyLabels;
use tallygate::model::push::Push;
use tallygate::rules::relabel::{Labels, Pair, relabel};
use tallygate::rules::selector::Selector;
use tallygate::rules::{RuleSet, transform};

/// Series that selectors are tried on.
const SERIES: [&[(&str, &str)]; 3] = [
    &[("__name__", "up"), ("job", "a"), ("code", "500")],
    &[("__name__", "my.metric"), ("job", "b"), ("a b", "c\n")],
    &[("job", "\"'`\\é")],
];

/// A push that rules are tried on.
const BODY: &str = "# TYPE a counter\na{pid=\"1\"} 1\na{pid=\"2\"} 2\n# TYPE h histogram\nh_bucket{pid=\"1\",le=\"1\"} 1\n\
    h_count{pid=\"1\"} 2\nh_count{pid=\"2\",x=\"y\"} 2\nu{x=\"\\\"\"} 5\nu 6\n# TYPE g gauge\ng NaN\ng{pod=\"p\"} 7\n";

/// A selector.
pub fn selector(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let selector = match Selector::parse(text) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{text}: {error}");
            return;
        }
    };
    assert!(!selector.matches(|_| ""), "{text} matches everything");
    let again = Selector::parse(&selector.to_string()).unwrap();
    assert_eq!(again.to_string(), selector.to_string(), "{text}");
    for series in SERIES {
        let value_of =
            |name: &str| series.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| *value);
        assert_eq!(selector.matches(value_of), again.matches(value_of), "{text}");
    }
}

/// Steps of relabelling as in the settings file, and labels behind an empty line, `name=value` each.
pub fn relabelling(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (steps, labels) = text.split_once("\n\n").unwrap_or((text, ""));
    let Some(rules) = compiled(&format!("[[metrics]]\nmatch = 'm'\nrelabel = [{steps}\n]")) else { return };
    let grouping = Grouping::new(vec![label("job", "j")]);
    let decision = rules.decide(&grouping).metric("m");
    let labels = || {
        let pairs = labels.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
    };
    let fixed = [("job", "j")];
    let first = sorted(relabel(&decision.relabel, Labels::beside(&fixed, labels())));
    let again = sorted(relabel(&decision.relabel, Labels::beside(&fixed, labels())));
    assert_eq!(first, again);
    if let Some(pairs) = &first {
        assert!(pairs.iter().all(|(name, value)| name != "job" && !value.is_empty()), "{pairs:?}");
    }
}

/// The rules of a settings file.
pub fn rules(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(rules) = compiled(text) else { return };
    for pushed in [vec![label("job", "a")], vec![label("job", "b"), label("pod", "p"), label("x", "")]] {
        let pushed = Grouping::with(pushed, EmptyLabels::Absent);
        let decision = rules.decide(&pushed);
        let again = rules.decide(&pushed);
        assert_eq!((decision.rule, decision.target.key()), (again.rule, again.target.key()));
        assert_eq!(decision.is_moved, decision.target.key() != pushed.key());
        if !decision.lacks_job {
            apply(&pushed, &decision);
        }
    }
}

fn apply(pushed: &Grouping<'_>, decision: &tallygate::rules::GroupDecision) {
    let arena = Bump::new();
    let reading = Reading { empty_labels: EmptyLabels::Absent, ..Reading::unlimited(Names::Legacy) };
    let body = BodyFormat::Text.parse(BODY.as_bytes(), &reading, &arena).unwrap();
    let count = body.families.iter().map(|family| family.series.len()).sum::<usize>();
    match transform(body, pushed, decision, &arena) {
        Ok(bodies) => {
            let families =
                || bodies.iter().flat_map(|body| body.families.iter().map(move |family| (body, family)));
            assert!(families().map(|(_, family)| family.series.len()).sum::<usize>() <= count);
            for (body, family) in families() {
                assert!(!family.name.is_empty() && !family.series.is_empty());
                for series in body.series_of(family) {
                    assert!(!matches!(series.value, Value::Missing));
                    assert!(body.labels_of(series).iter().all(|label| !label.name.starts_with("__")));
                }
            }
            for body in &bodies {
                if let Err(refusal) = Push::prepare(body, &decision.target, true) {
                    assert!(!refusal.to_string().is_empty());
                }
            }
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}

/// The rule set of a text, if it is one.
fn compiled(text: &str) -> Option<RuleSet> {
    let rules = RuleFile::parse(text).ok()?;
    match RuleSet::compile(&rules) {
        Ok(rules) => Some(rules),
        Err(error) => {
            let lines = text.matches('\n').count() + 1;
            assert!((1..=lines).contains(&error.place.line) && error.place.column >= 1, "{text}: {error}");
            None
        }
    }
}

fn label(name: &'static str, value: &'static str) -> GroupingLabel<'static> {
    GroupingLabel { name: name.into(), value: value.into() }
}

fn sorted(labels: Option<Labels<'_>>) -> Option<Vec<Pair<'_>>> {
    let mut pairs = labels?.into_pairs();
    pairs.sort();
    Some(pairs)
}
