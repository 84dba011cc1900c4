//! Properties of any pushes: the order does not matter for types that add, a scrape can always be parsed, written
//! data reads back unchanged, and a refused push changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;
use proptest::prelude::*;
use tallygate::config::Config;
use tallygate::exposition::text::{Names, parse};
use tallygate::exposition::{openmetrics, protobuf};
use tallygate::gateway::{BodyFormat, Gateway, Method, PushRequest, SenderHeaders};
use tallygate::model::grouping::{Grouping, GroupingLabel};

use crate::checks::exposition::{FORMATS, pushed, scraped};

#[derive(Clone, Debug)]
struct Push {
    group: usize,
    body: String,
}

fn gateway() -> Gateway {
    Gateway::new(&Config::default()).unwrap()
}

/// Groups whose labels overlap, so that their series can clash.
fn grouping(number: usize) -> Grouping<'static> {
    let sets: [&[(&str, &str)]; 4] = [
        &[("job", "a")],
        &[("job", "b")],
        &[("job", "a"), ("l", "x")],
        &[("job", "a"), ("instance", ""), ("m", "\"\\\n")],
    ];
    let label = |&(name, value): &(&'static str, &'static str)| GroupingLabel {
        name: name.into(),
        value: value.into(),
    };
    Grouping::new(sets[number % sets.len()].iter().map(label).collect())
}

fn send(gateway: &Gateway, push: &Push) -> bool {
    gateway
        .push_blocking(&PushRequest::new(
            Method::Post,
            &grouping(push.group),
            BodyFormat::Text,
            push.body.as_bytes(),
        ))
        .is_ok()
}

/// The lines of a scrape that pushes decide.
fn pushed_lines(gateway: &Gateway) -> Vec<String> {
    let text = String::from_utf8(shown(gateway, BodyFormat::Text)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The part of a scrape that pushes decide.
fn shown(gateway: &Gateway, format: BodyFormat) -> Vec<u8> {
    pushed(&scraped(gateway, format, "underscores"), format)
}

/// Value of each sample, by name and labels.
fn samples(lines: &[String]) -> BTreeMap<&str, &str> {
    let mut samples = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(samples.insert(series, value).is_none(), "{series} stands twice");
    }
    samples
}

fn labels() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        Just(String::new()),
        Just("k=\"v\"".to_owned()),
        Just("l=\"x\"".to_owned()),
        Just("l=\"x\",k=\"a\\\\b\\\"c\\nd\"".to_owned()),
        Just("k=\"ü\",instance=\"i\"".to_owned()),
    ];
    label
}

/// A family that adds. Its values are integers, so that sums are exact in any order.
fn adding_family() -> impl Strategy<Value = String> {
    let counter = (0..3u8, prop::collection::btree_map(labels(), 0u32.., 1..3)).prop_map(|(name, series)| {
        let lines = series.iter().map(|(labels, value)| format!("c{name}_total{{{labels}}} {value}\n"));
        format!("# TYPE c{name}_total counter\n{}", lines.collect::<String>())
    });
    let bounds = prop::sample::select(vec![vec!["1", "5"], vec!["2", "5", "+Inf"], vec!["0.5"], vec![]]);
    let histogram =
        (labels(), bounds, prop::collection::vec(0u32..1000, 4)).prop_map(|(labels, bounds, counts)| {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut total = 0;
            let mut body = String::from("# TYPE h histogram\n");
            for (bound, count) in bounds.iter().zip(&counts) {
                total += count;
                body.push_str(&format!("h_bucket{{{labels}{comma}le=\"{bound}\"}} {total}\n"));
            }
            total += if bounds.last() == Some(&"+Inf") { 0 } else { counts[3] };
            body + &format!("h_sum{{{labels}}} {}\nh_count{{{labels}}} {total}\n", counts[0])
        });
    let summary = (labels(), 0u32.., 0u32..).prop_map(|(labels, sum, count)| {
        format!("# TYPE s summary\ns_sum{{{labels}}} {sum}\ns_count{{{labels}}} {count}\n")
    });
    prop_oneof![3 => counter, 2 => histogram, 1 => summary]
}

/// Other content of a push: other types, odd values, and mistakes.
fn any_family() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<f64>().prop_map(|value| format!("{value:?}")),
        Just("+Inf".to_owned()),
        Just("NaN".to_owned()),
        Just("-0".to_owned()),
        Just("1 123".to_owned()),
        Just("x".to_owned()),
    ];
    let kind = prop::sample::select(vec!["counter", "gauge", "untyped", "histogram", "summary", "weird"]);
    let name =
        prop::sample::select(vec!["g", "h", "s", "c0_total", "h_count", "c1_total", "u", "tallygate_groups"]);
    let odd = (kind, name, labels(), value).prop_map(|(kind, name, labels, value)| {
        format!("# HELP {name} h\\\\elp\n# TYPE {name} {kind}\n{name}{{{labels}}} {value}\n")
    });
    let twice = labels().prop_map(|labels| format!("t{{{labels}}} 1\nt{{{labels}}} 2\n"));
    prop_oneof![4 => adding_family(), 4 => odd, 1 => twice]
}

fn pushes(family: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<Push>> {
    let body = prop::collection::vec(family, 1..4).prop_map(|families| families.concat());
    prop::collection::vec((0..4usize, body).prop_map(|(group, body)| Push { group, body }), 1..12)
}

/// A push of series of `c_total` to a group with some of the labels that the series have, or the deletion of that
/// group.
#[derive(Clone, Debug)]
struct Change {
    /// 0 pushes, 1 puts, 2 deletes.
    action: usize,
    group: BTreeMap<&'static str, &'static str>,
    series: BTreeSet<BTreeMap<&'static str, &'static str>>,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let labels = || {
        let value = || prop::option::weighted(0.4, prop::sample::select(vec!["1", "2"]));
        let named = |(a, b, c): (_, _, _)| {
            [("a", a), ("b", b), ("c", c)]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect()
        };
        (value(), value(), value()).prop_map(named)
    };
    let series = prop::collection::btree_set(labels(), 1..4);
    let change = (prop::sample::select(vec![0, 0, 0, 1, 2]), labels(), series)
        .prop_map(|(action, group, series)| Change { action, group, series });
    prop::collection::vec(change, 1..30)
}

proptest! {
    #[test]
    fn no_series_stands_in_two_groups(changes in changes()) {
        let gateway = gateway();
        let mut groups: BTreeMap<BTreeMap<&str, &str>, BTreeSet<BTreeMap<&str, &str>>> = BTreeMap::new();
        for Change { action, group, series } in changes {
            let label = |(name, value): (&&'static str, &&'static str)| {
                GroupingLabel { name: (*name).into(), value: (*value).into() }
            };
            let job = GroupingLabel { name: "job".into(), value: "j".into() };
            let grouping = Grouping::new(group.iter().map(label).chain([job]).collect());
            if action == 2 {
                let deleted = gateway.delete(&grouping, None, SenderHeaders::default()).unwrap();
                prop_assert!(gateway.done_blocking(deleted).is_ok());
                groups.remove(&group);
                continue;
            }
            let mut body = String::from("# TYPE c_total counter\n");
            for labels in &series {
                let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
                body += &format!("c_total{{{}}} 1\n", labels.join(","));
            }
            // Grouping labels replace those of a series.
            let full = |series: &BTreeMap<&'static str, &'static str>| {
                series.iter().chain(&group).map(|(name, value)| (*name, *value)).collect::<BTreeMap<_, _>>()
            };
            let pushed: BTreeSet<BTreeMap<&str, &str>> = series.iter().map(full).collect();
            let is_twice = pushed.len() < series.len();
            let is_elsewhere = groups.iter().any(|(other, held)| *other != group && !held.is_disjoint(&pushed));
            let method = if action == 1 { Method::Put } else { Method::Post };
            let request = PushRequest::new(method, &grouping, BodyFormat::Text, body.as_bytes());
            let answer = gateway.push_blocking(&request);
            prop_assert_eq!(answer.is_ok(), !is_twice && !is_elsewhere, "{:?}", answer);
            if answer.is_ok() {
                let held = groups.entry(group.clone()).or_default();
                if action == 1 {
                    held.clear();
                }
                held.extend(pushed);
            }
        }
    }

    #[test]
    fn order_does_not_matter_for_what_adds(pushes in pushes(adding_family()), seed in any::<u64>()) {
        let (forward, shuffled) = (gateway(), gateway());
        // The order may decide which of two pushes is refused, so the other gateway gets only the accepted ones.
        let accepted: Vec<&Push> = pushes.iter().filter(|push| send(&forward, push)).collect();
        let mut order: Vec<usize> = (0..accepted.len()).collect();
        order.sort_by_key(|at| seed.rotate_left(*at as u32 * 7) ^ *at as u64);
        for at in order {
            prop_assert!(send(&shuffled, accepted[at]));
        }
        prop_assert_eq!(pushed_lines(&forward), pushed_lines(&shuffled));
    }

    #[test]
    fn a_scrape_can_always_be_read(pushes in pushes(any_family())) {
        let gateway = gateway();
        for push in &pushes {
            send(&gateway, push);
            let text = scraped(&gateway, BodyFormat::Text, "underscores");
            let arena = Bump::new();
            let parsed = parse(&text, Names::Legacy, &arena);
            prop_assert!(parsed.is_ok(), "{:?}", parsed.err());
            let lines = pushed_lines(&gateway);
            samples(&lines);
            let types: Vec<&String> = lines.iter().filter(|line| line.starts_with("# TYPE")).collect();
            prop_assert_eq!(types.iter().collect::<BTreeSet<_>>().len(), types.len());
        }
    }

    #[test]
    fn a_refused_push_changes_nothing(pushes in pushes(any_family())) {
        let gateway = gateway();
        for push in &pushes {
            let before = pushed_lines(&gateway);
            if !send(&gateway, push) {
                prop_assert_eq!(before, pushed_lines(&gateway));
            }
        }
    }

    #[test]
    fn what_adds_never_steps_back(pushes in pushes(adding_family())) {
        let gateway = gateway();
        let mut before = Vec::new();
        for push in &pushes {
            send(&gateway, push);
            let now = pushed_lines(&gateway);
            let now_samples = samples(&now);
            for (series, value) in samples(&before) {
                let after: f64 = now_samples[series].parse().unwrap();
                prop_assert!(after >= value.parse().unwrap(), "{series} fell from {value} to {after}");
            }
            before = now;
        }
    }

    #[test]
    fn what_is_written_reads_back(bodies in prop::collection::vec(any_family(), 1..5)) {
        let written = gateway();
        for body in bodies {
            send(&written, &Push { group: 0, body });
        }
        for format in FORMATS {
            let body = shown(&written, format);
            let read = gateway();
            read.push_blocking(&PushRequest::new(Method::Put, &grouping(0), format, &body)).unwrap();
            let again = shown(&read, format);
            prop_assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(&again));
            // OpenMetrics does not allow some names beside others, and then the family loses its type.
            if format != BodyFormat::OpenMetrics {
                prop_assert_eq!(pushed_lines(&written), pushed_lines(&read));
            }
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), body in any_family()) {
        let arena = Bump::new();
        let _ = protobuf::parse(&bytes, &arena);
        let _ = parse(&bytes, Names::Utf8, &arena);
        let _ = openmetrics::parse(&bytes, Names::Utf8, &arena);
        let mut mixed = body.into_bytes();
        let at = at.index(mixed.len());
        mixed.splice(at..at, bytes);
        let _ = parse(&mixed, Names::Legacy, &arena);
        let _ = openmetrics::parse(&mixed, Names::Legacy, &arena);
    }
}
