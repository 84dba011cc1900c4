//! Any rules and any pushes: a scrape shows what a slow and obvious reference says, which selects, relabels and merges
//! by itself.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use regex::Regex;
use tallygate::config::rules::RuleFile;
use tallygate::config::{Config, PutMode};
use tallygate::gateway::{BodyFormat, Failure, Gateway, PushError, PushRequest, SenderHeaders};
use tallygate::model::grouping::{Grouping, GroupingLabel};
use tallygate::model::merge::{Fold, Merge, Temporality};
use tallygate::rules::RuleSet;
use tallygate::store::{Outcome, Rejection};

use crate::support::disk::SimulatedDisk;
use crate::support::pushes::scraped;
use crate::support::reference::{Group, Method, Pushed, Room};
use crate::support::samples::sample_in;

type Labels = BTreeMap<String, String>;

// Rules, as text and as the reference reads them.

/// Name, operator and value.
type Matcher = (&'static str, &'static str, &'static str);

/// A step of relabelling. Keys that its action does not use are empty.
#[derive(Clone, Copy, Debug)]
struct Step {
    action: &'static str,
    sources: &'static [&'static str],
    regex: &'static str,
    target: &'static str,
    replacement: &'static str,
}

#[derive(Clone, Debug)]
struct GroupRule {
    selector: Vec<Matcher>,
    steps: Vec<Step>,
    by_header: bool,
    headers: bool,
    put: Option<bool>,
    /// How many series, and whether others are folded.
    most: Option<(usize, bool)>,
    accept: bool,
}

#[derive(Clone, Debug)]
struct MetricRule {
    selector: Vec<Matcher>,
    steps: Vec<Step>,
    merge: Option<&'static str>,
    temporality: Option<&'static str>,
}

impl MetricRule {
    fn changes_labels(&self) -> bool {
        self.steps.iter().any(|step| !matches!(step.action, "keep" | "drop" | "keepequal" | "dropequal"))
    }
}

#[derive(Clone, Debug, Default)]
struct Rules {
    groups: Vec<GroupRule>,
    metrics: Vec<MetricRule>,
}

impl Rules {
    fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.metrics.is_empty()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for rule in &self.groups {
            text += &format!("[[groups]]\nmatch = '{}'\n{}", selector(&rule.selector), steps(&rule.steps));
            text += &format!("accept = {}\nheaders = {}\n", rule.accept, rule.headers);
            text += if rule.by_header { "source = 'header'\n" } else { "" };
            text +=
                rule.put.map_or("", |adds| if adds { "put = 'aggregate'\n" } else { "put = 'replace'\n" });
            if let Some((most, folds)) = rule.most {
                let overflow = if folds { "fold" } else { "refuse" };
                text += &format!("max_series = {most}\noverflow = '{overflow}'\n");
            }
        }
        for rule in &self.metrics {
            text += &format!("[[metrics]]\nmatch = '{}'\n{}", selector(&rule.selector), steps(&rule.steps));
            text += &rule.merge.map_or(String::new(), |merge| format!("merge = '{merge}'\n"));
            text += &rule.temporality.map_or(String::new(), |what| format!("temporality = '{what}'\n"));
        }
        text
    }

    fn file(&self) -> RuleFile {
        RuleFile::parse(&self.text()).unwrap()
    }
}

fn selector(matchers: &[Matcher]) -> String {
    let matchers: Vec<_> =
        matchers.iter().map(|(name, is, value)| format!("{name}{is}\"{value}\"")).collect();
    format!("{{{}}}", matchers.join(","))
}

fn steps(steps: &[Step]) -> String {
    let step = |step: &Step| {
        let Step { action, sources, regex, target, replacement } = step;
        let mut text = format!("{{ action = '{action}', regex = '{regex}'");
        if matches!(*action, "replace" | "keep" | "drop") {
            text += &format!(", source_labels = {sources:?}");
        }
        if matches!(*action, "replace" | "labelmap") {
            text += &format!(", replacement = '{replacement}'");
        }
        text += &if *action == "replace" { format!(", target_label = '{target}'") } else { String::new() };
        text + " }"
    };
    format!("relabel = [{}]\n", steps.iter().map(step).collect::<Vec<_>>().join(", "))
}

/// The captures of an expression that matches the whole text, in the place of a replacement.
fn expanded(regex: &'static str, text: &str, replacement: &str) -> Option<String> {
    thread_local!(static KNOWN: RefCell<HashMap<&'static str, Regex>> = RefCell::default());
    KNOWN.with_borrow_mut(|known| {
        let regex = known.entry(regex).or_insert_with(|| Regex::new(&format!("^(?s:{regex})$")).unwrap());
        let mut expanded = String::new();
        regex.captures(text)?.expand(replacement, &mut expanded);
        Some(expanded)
    })
}

fn is_match(regex: &'static str, text: &str) -> bool {
    expanded(regex, text, "").is_some()
}

fn matches(selector: &[Matcher], labels: &Labels) -> bool {
    selector.iter().all(|(name, operator, wanted)| {
        let value = labels.get(*name).map_or("", String::as_str);
        match *operator {
            "=" => value == *wanted,
            "!=" => value != *wanted,
            "=~" => is_match(wanted, value),
            _ => !is_match(wanted, value),
        }
    })
}

/// Relabels `own` beside labels that are fixed.
fn relabel(steps: &[Step], fixed: &Labels, mut own: Labels) -> Option<Labels> {
    fn set(fixed: &Labels, own: &mut Labels, name: &str, value: String) {
        if value.is_empty() && !fixed.contains_key(name) {
            own.remove(name);
        } else if !fixed.contains_key(name) {
            own.insert(name.to_owned(), value);
        }
    }
    for Step { action, sources, regex, target, replacement } in steps {
        let get = |name: &&str| fixed.get(*name).or(own.get(*name)).cloned().unwrap_or_default();
        let value = sources.iter().map(get).collect::<Vec<_>>().join(";");
        match *action {
            "keep" if !is_match(regex, &value) => return None,
            "drop" if is_match(regex, &value) => return None,
            "labeldrop" => own.retain(|name, _| !is_match(regex, name)),
            "labelkeep" => own.retain(|name, _| is_match(regex, name)),
            "labelmap" => {
                for (name, value) in own.clone().into_iter().chain(fixed.clone()) {
                    let name = expanded(regex, &name, replacement);
                    name.into_iter().for_each(|name| set(fixed, &mut own, &name, value.clone()));
                }
            }
            "replace" => {
                let new = expanded(regex, &value, replacement);
                new.into_iter().for_each(|new| set(fixed, &mut own, target, new));
            }
            _ => {}
        }
    }
    own.retain(|name, _| name == "__name__" || !name.starts_with("__"));
    Some(own)
}

// Requests.

/// Values of `job`, `pod` and `zone`. Empty ones are not in the path.
type Path = [&'static str; 3];

/// A name, and values by `l`, `pid` and `pod`.
type Family = (&'static str, BTreeMap<Path, i32>);

#[derive(Clone, Debug)]
struct Sent {
    path: Path,
    method: Method,
    source: Option<&'static str>,
    temporality: Option<&'static str>,
    start: Option<i64>,
    families: Vec<Family>,
}

#[derive(Clone, Debug)]
enum Event {
    Push(Sent),
    Delete(Path, Option<&'static str>),
    Reload(Rules),
    /// A reload where what finds no room is folded in the place of refused, or refused.
    TurnOverflow,
    /// Whether the machine stops at once.
    Restart(bool),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Applied,
    Dropped,
    /// A 400.
    Refused,
    /// A 403.
    Forbidden,
    /// A 429.
    Full,
}

fn labels(names: [&str; 3], values: Path) -> Labels {
    let pairs = names.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn path_labels(path: Path) -> Labels {
    labels(["job", "pod", "zone"], path)
}

fn own_labels(values: Path) -> Labels {
    labels(["l", "pid", "pod"], values)
}

// The reference.

#[derive(Default)]
struct World {
    rules: Rules,
    /// What PUT does if no rule says so.
    put: PutMode,
    groups: BTreeMap<Labels, Group<String, Labels>>,
}

/// A series of a push after relabelling.
struct Row {
    origin: usize,
    before: Labels,
    name: String,
    labels: Labels,
    value: f64,
}

/// A family of a push, and where its rule is from.
struct Origin {
    name: String,
    origin: usize,
    is_empty: bool,
}

/// The families of one of the bodies that a push becomes.
type Body = Vec<Pushed<Labels>>;

/// The same as positions among all families, with the series.
type Placed = Vec<(usize, Vec<(Labels, f64)>)>;

fn merge_of(merge: &str) -> Merge {
    match merge {
        "last" => Merge::Last,
        "add" => Merge::Add,
        "least" => Merge::Least,
        "greatest" => Merge::Greatest,
        "sum" => Merge::Fold(Fold::Sum),
        "min" => Merge::Fold(Fold::Min),
        "max" => Merge::Fold(Fold::Max),
        "mean" => Merge::Fold(Fold::Mean),
        _ => Merge::Fold(Fold::Count),
    }
}

fn temporality_of(temporality: &str) -> Temporality {
    match temporality {
        "cumulative" => Temporality::Cumulative,
        "auto" => Temporality::Auto,
        _ => Temporality::Delta,
    }
}

impl World {
    fn group_rule(&self, path: &Labels) -> Option<&GroupRule> {
        self.rules.groups.iter().find(|rule| matches(&rule.selector, path))
    }

    fn metric_rule(&self, path: &Labels, name: &str) -> Option<&MetricRule> {
        let mut labels = path.clone();
        labels.insert("__name__".into(), name.into());
        self.rules.metrics.iter().find(|rule| matches(&rule.selector, &labels))
    }

    /// The labels of the group; none if the push is dropped.
    fn target(&self, path: &Labels) -> Option<Labels> {
        let steps = self.group_rule(path).map_or(&[][..], |rule| &rule.steps);
        relabel(steps, &Labels::new(), path.clone())
    }

    fn header<'h>(&self, path: &Labels, header: Option<&'h str>) -> Option<&'h str> {
        header.filter(|_| self.group_rule(path).is_some_and(|rule| rule.headers))
    }

    /// The name that a header gives.
    fn named(&self, path: &Labels, source: Option<&str>) -> Option<String> {
        let source = self.header(path, source)?;
        self.group_rule(path).is_some_and(|rule| rule.by_header).then(|| format!("named {source}"))
    }

    fn push(&mut self, sent: &Sent) -> Answer {
        let path = path_labels(sent.path);
        let rule = self.group_rule(&path);
        if rule.is_some_and(|rule| !rule.accept) {
            return Answer::Forbidden;
        }
        let Some(target) = self.target(&path) else { return Answer::Dropped };
        if !target.contains_key("job") {
            return Answer::Refused;
        }
        let Some((bodies, doubled)) = self.bodies(sent, &path, &target) else { return Answer::Refused };
        let put_adds = rule.and_then(|rule| rule.put).unwrap_or(self.put == PutMode::Aggregate);
        let method = match sent.method {
            Method::PutReplace if put_adds => Method::PutAggregate,
            method => method,
        };
        let needs_source = |pushed: &Pushed<Labels>| {
            matches!(pushed.merge, Merge::Fold(_)) || pushed.temporality != Temporality::Delta
        };
        let is_of_many = || {
            target != path
                || self.named(&path, sent.source).is_some()
                || self.groups.get(&target).is_some_and(Group::has_sources)
        };
        // Without rules a PUT is about all of its group, whoever contributed to it.
        let is_put_of_source = || method != Method::Post && !self.rules.is_empty() && is_of_many();
        let has_source = is_put_of_source() || bodies.iter().flatten().any(needs_source);
        let source = self.named(&path, sent.source).unwrap_or_else(|| format!("{path:?}"));
        let source = has_source.then_some(&source);
        let most = rule.and_then(|rule| rule.most);
        let mut overflow = target.clone();
        overflow.entry("overflow".into()).or_insert("true".into());
        let room =
            most.filter(|(_, folds)| *folds).map(|(most, _)| Room { most, overflow: overflow.clone() });
        let mut group = self.groups.get(&target).cloned().unwrap_or_default();
        for (at, body) in bodies.into_iter().enumerate() {
            if doubled == Some(at) {
                return Answer::Refused;
            }
            let before = group.keys();
            let after = group.push(body, source, if at == 0 { method } else { Method::Post }, room.as_ref());
            let mut others = self.groups.iter().filter(|(labels, _)| **labels != target);
            if others
                .any(|(_, other)| other.keys().intersection(&after).any(|series| !before.contains(series)))
            {
                return Answer::Refused;
            }
            let count = |series: &BTreeSet<(String, Labels)>| {
                series.iter().filter(|(_, labels)| *labels != overflow).count()
            };
            if most.is_some_and(|(most, _)| count(&after) > most && count(&after) > count(&before)) {
                return Answer::Full;
            }
        }
        self.groups.insert(target, group);
        Answer::Applied
    }

    /// The series as they are merged: those that come together in bodies of their own, and the first of these in which
    /// one stands twice. None if they can't be merged.
    fn bodies(&self, sent: &Sent, path: &Labels, target: &Labels) -> Option<(Vec<Body>, Option<usize>)> {
        let rule_of = |origin: usize| self.metric_rule(path, sent.families[origin].0);
        // Running totals are not relabelled.
        let of_header = self.header(path, sent.temporality).is_some_and(|temporality| temporality != "delta");
        let is_relabelled = |origin: usize| rule_of(origin).is_some_and(MetricRule::changes_labels);
        let counts = |origin: usize| {
            let name = sent.families[origin].0;
            let merge = rule_of(origin).and_then(|rule| rule.merge).filter(|_| !name.starts_with('c'));
            name.ends_with("_total") && merge.is_none_or(|merge| merge == "add")
        };
        if of_header && (0..sent.families.len()).any(|origin| counts(origin) && is_relabelled(origin)) {
            return None;
        }
        let mut rows: Vec<Row> = Vec::new();
        for (origin, (name, series)) in sent.families.iter().enumerate() {
            let steps = rule_of(origin).map_or(&[][..], |rule| &rule.steps);
            for (own, value) in series {
                let mut before = own_labels(*own);
                before.retain(|name, _| !path.contains_key(name));
                let mut labels = before.clone();
                labels.insert("__name__".into(), (*name).into());
                let Some(mut labels) = relabel(steps, path, labels) else { continue };
                let name = labels.remove("__name__")?;
                labels.retain(|name, _| !path.contains_key(name));
                labels.extend(target.clone());
                rows.push(Row { origin, before, name, labels, value: f64::from(*value) });
            }
        }
        // What keeps its name comes before what gets it.
        rows.sort_by_key(|row| row.name != sent.families[row.origin].0);
        let origin =
            |(origin, (name, _)): (usize, &Family)| Origin { name: (*name).into(), origin, is_empty: true };
        let mut families: Vec<Origin> = sent.families.iter().enumerate().map(origin).collect();
        // By body and family.
        let mut placed: BTreeMap<usize, Placed> = BTreeMap::new();
        let first = placed.entry(0).or_default();
        first.extend((0..families.len()).map(|family| (family, Vec::new())));
        let (mut seen, mut numbers): (Vec<(usize, Labels)>, Vec<usize>) = Default::default();
        let mut doubled = None;
        for Row { origin, before, name, labels, value } in rows {
            // One that stands there twice is not merged, but refused when its body's turn comes.
            if let Some(first) = seen.iter().position(|known| *known == (origin, before.clone())) {
                let number = numbers[first];
                doubled = Some(doubled.map_or(number, |other: usize| other.min(number)));
                continue;
            }
            let family = families.iter().position(|family| family.name == name).unwrap_or(families.len());
            if family == families.len() {
                families.push(Origin { name, origin, is_empty: true });
            }
            let of = &mut families[family];
            if of.is_empty {
                (of.origin, of.is_empty) = (origin, false);
            }
            let terms =
                |rule: Option<&MetricRule>| rule.map_or((None, None), |rule| (rule.merge, rule.temporality));
            if terms(rule_of(of.origin)) != terms(rule_of(origin)) {
                return None;
            }
            let has = |body: &Placed| {
                body.iter()
                    .any(|(at, series)| *at == family && series.iter().any(|(other, _)| *other == labels))
            };
            let number = (0..).find(|number| !placed.get(number).is_some_and(has)).unwrap();
            seen.push((origin, before));
            numbers.push(number);
            let body = placed.entry(number).or_default();
            match body.iter_mut().find(|(at, _)| *at == family) {
                Some((_, series)) => series.push((labels, value)),
                None => body.push((family, vec![(labels, value)])),
            }
        }
        let pushed = |(family, series): (usize, Vec<(Labels, f64)>)| {
            let Origin { name, origin, .. } = &families[family];
            self.pushed(sent, path, name, rule_of(*origin), series)
        };
        let body = |mut body: Placed| {
            body.retain(|(_, series)| !series.is_empty());
            body.into_iter().map(pushed).collect()
        };
        Some((placed.into_values().map(body).collect(), doubled))
    }

    fn pushed(
        &self,
        sent: &Sent,
        path: &Labels,
        name: &str,
        rule: Option<&MetricRule>,
        series: Vec<(Labels, f64)>,
    ) -> Pushed<Labels> {
        let is_counter = name.starts_with('c');
        let by_kind = if name.ends_with("_total") { Merge::Add } else { Merge::Last };
        let by_rule = rule.and_then(|rule| rule.merge).filter(|_| !is_counter).map(merge_of);
        let merge = by_rule.unwrap_or(by_kind);
        let counts = by_kind == Merge::Add && merge == Merge::Add;
        let temporality = self.header(path, sent.temporality).or(rule.and_then(|rule| rule.temporality));
        Pushed {
            name: name.into(),
            merge,
            temporality: temporality.filter(|_| counts).map_or(Temporality::Delta, temporality_of),
            start: sent.start.filter(|_| is_counter),
            series,
        }
    }

    fn delete(&mut self, path: Path, header: Option<&str>) {
        let path = path_labels(path);
        let target = self.target(&path).unwrap_or(path.clone());
        let is_moved = target != path && target.contains_key("job");
        let named = self.named(&path, header);
        if is_moved || named.is_none() {
            self.groups.remove(&path);
        }
        if is_moved || named.is_some() {
            let source = named.unwrap_or_else(|| format!("{path:?}"));
            let group = self.groups.get_mut(if is_moved { &target } else { &path });
            group.into_iter().for_each(|group| group.delete_source(&source, false));
        }
    }

    fn shown(&self) -> BTreeMap<String, f64> {
        let series = self.groups.values().flat_map(Group::shown);
        series.map(|(name, labels, value)| (format!("{name}{labels:?}"), value)).collect()
    }
}

// The gateway.

fn body(sent: &Sent) -> String {
    let mut body = String::new();
    for (name, series) in &sent.families {
        let series: Vec<_> = series
            .iter()
            .map(|(own, value)| {
                let labels = own_labels(*own).into_iter().map(|(name, value)| format!("{name}=\"{value}\""));
                (labels.collect::<Vec<_>>().join(","), value)
            })
            .collect();
        match &name[..1] {
            "c" => body += &format!("# TYPE {name} counter\n"),
            "g" => body += &format!("# TYPE {name} gauge\n"),
            _ => {}
        }
        series.iter().for_each(|(labels, value)| body += &format!("{name}{{{labels}}} {value}\n"));
        if let Some(start) = sent.start.filter(|_| name.starts_with('c')) {
            let name = name.replace("_total", "_created");
            body += &format!("# TYPE {name} gauge\n");
            series.iter().for_each(|(labels, _)| body += &format!("{name}{{{labels}}} {start}\n"));
        }
    }
    body
}

fn grouping(path: Path) -> Grouping<'static> {
    let label = |(name, value)| GroupingLabel { name: Cow::Owned(name), value: Cow::Owned(value) };
    Grouping::new(path_labels(path).into_iter().map(label).collect())
}

fn send(gateway: &Gateway, sent: &Sent) -> Answer {
    let method = match sent.method {
        Method::Post => tallygate::gateway::Method::Post,
        _ => tallygate::gateway::Method::Put,
    };
    let (grouping, body) = (grouping(sent.path), body(sent));
    let sender = SenderHeaders {
        source: sent.source.map(str::as_bytes),
        temporality: sent.temporality.map(str::as_bytes),
        ..SenderHeaders::default()
    };
    let push = PushRequest::new(method, &grouping, BodyFormat::Text, body.as_bytes());
    match gateway.push_blocking(&PushRequest { sender, ..push }) {
        Ok(Outcome::Applied | Outcome::Repeating { .. }) => Answer::Applied,
        Ok(Outcome::Dropped) => Answer::Dropped,
        Err(PushError::Refused { .. } | PushError::Target { .. }) => Answer::Refused,
        Err(PushError::Forbidden(_)) => Answer::Forbidden,
        Err(PushError::Failed(Failure::Rejected(Rejection::Full(_)))) => Answer::Full,
        other => panic!("{sent:?} ended with {other:?}"),
    }
}

fn shown(gateway: &Gateway) -> BTreeMap<String, f64> {
    let text = String::from_utf8(scraped(gateway, "")).unwrap();
    let is_pushed = |line: &&str| line.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let series = text.lines().filter(is_pushed).map(|line| {
        let (sample, value) = sample_in(line);
        let labels: Labels = sample.labels.into_iter().collect();
        (format!("{}{labels:?}", sample.name), value.parse().unwrap())
    });
    series.collect()
}

/// A gateway in memory, or with a file.
struct Subject {
    gateway: Gateway,
    put: PutMode,
    disk: Option<SimulatedDisk>,
}

impl Subject {
    fn new(rules: &Rules, put: PutMode, disk: Option<SimulatedDisk>) -> Subject {
        let mut config = Config { rules: rules.file(), ..Config::default() };
        config.push.put = put;
        let gateway = match &disk {
            Some(disk) => {
                config.persistence.file = "simulated".to_owned();
                Gateway::with_disk(&config, Box::new(disk.clone())).unwrap()
            }
            None => Gateway::new(&config).unwrap(),
        };
        Subject { gateway, put, disk }
    }

    fn restart(self, rules: &Rules, is_crash: bool) -> Subject {
        let Some(mut disk) = self.disk else { return self };
        if is_crash {
            // The old gateway can't write to the disk of the new one.
            disk = disk.after_crash(Vec::new());
        }
        self.gateway.close();
        Subject::new(rules, self.put, Some(disk))
    }
}

fn check(rules: &Rules, put: PutMode, events: &[Event], disk: Option<SimulatedDisk>) {
    let mut world = World { rules: rules.clone(), put, ..World::default() };
    let mut subject = Subject::new(rules, put, disk);
    for event in events {
        match event {
            Event::Push(sent) => {
                assert_eq!(
                    send(&subject.gateway, sent),
                    world.push(sent),
                    "{}\nto {sent:?}",
                    world.rules.text()
                );
            }
            Event::Delete(path, source) => {
                world.delete(*path, *source);
                let headers = SenderHeaders { source: source.map(str::as_bytes), ..SenderHeaders::default() };
                let deleted = subject.gateway.delete(&grouping(*path), None, headers).unwrap();
                subject.gateway.done_blocking(deleted).unwrap();
            }
            Event::Reload(rules) => world.rules = rules.clone(),
            Event::TurnOverflow => {
                let most = world.rules.groups.iter_mut().filter_map(|rule| rule.most.as_mut());
                most.for_each(|(_, folds)| *folds = !*folds);
            }
            Event::Restart(is_crash) => subject = subject.restart(&world.rules, *is_crash),
        }
        if matches!(event, Event::Reload(_) | Event::TurnOverflow) {
            subject.gateway.set_rules(RuleSet::compile(&world.rules.file()).unwrap());
        }
        assert_eq!(shown(&subject.gateway), world.shown(), "{}\nafter {event:?}", world.rules.text());
        let series: usize = world.groups.values().map(Group::series).sum();
        assert_eq!(subject.gateway.counts().1, series as u64, "{}\nafter {event:?}", world.rules.text());
    }
    subject.gateway.close();
}

// What is drawn.

const fn step(
    action: &'static str,
    sources: &'static [&'static str],
    regex: &'static str,
    target: &'static str,
    replacement: &'static str,
) -> Step {
    Step { action, sources, regex, target, replacement }
}

const GROUP_STEPS: &[Step] = &[
    step("labeldrop", &[], "pod|instance", "", ""),
    step("labeldrop", &[], "pod|zone", "", ""),
    step("labelkeep", &[], "job|zone", "", ""),
    step("labelkeep", &[], "job|team", "", ""),
    step("labeldrop", &[], "job", "", ""),
    step("labelmap", &[], "(pod|zone)", "", "p_${1}"),
    step("replace", &["job"], "(.+)", "team", "t-${1}"),
    step("replace", &["job", "zone"], "(.*);(.*)", "tier", "${2}${1}"),
    step("replace", &["zone"], "x", "pod", ""),
    step("replace", &["pod"], "1", "job", "b"),
    step("replace", &["pod"], "(.*)", "__pod", "${1}"),
    step("replace", &["__pod"], "1|2", "tier", "${0}"),
    step("keep", &["zone"], "x|", "", ""),
    step("drop", &["job", "pod"], "a;2", "", ""),
];

const METRIC_STEPS: &[Step] = &[
    step("labeldrop", &[], "pid", "", ""),
    step("labeldrop", &[], "l|p.*", "", ""),
    step("labelkeep", &[], "__name__|l", "", ""),
    step("labelkeep", &[], "l", "", ""),
    step("labelmap", &[], "(pod|pid)", "", "p_${1}"),
    step("replace", &["l"], "(.+)", "mark", "m${1}"),
    step("replace", &["zone"], "(.+)", "place", "${1}"),
    step("replace", &["l"], "1", "l", "2"),
    step("replace", &["pod"], "1?", "l", ""),
    step("replace", &["__name__"], "(.)0(.*)", "__name__", "${1}1${2}"),
    step("replace", &["__name__", "l"], "g0;1", "__name__", "g2"),
    step("replace", &["pid"], "(.*)", "job", "stolen"),
    step("replace", &["l"], "(.*)", "team", "own"),
    step("replace", &["pid"], "(.+)", "__pid", "${1}"),
    step("replace", &["__pid"], "1", "l", "p${0}"),
    step("keep", &["l"], "1|", "", ""),
    step("drop", &["l", "pid"], "1;2", "", ""),
];

/// Matchers that do not match the empty value, and others that are added to them.
const GROUP_MATCHERS: [&[Matcher]; 2] = [
    &[
        ("job", "=", "a"),
        ("job", "=~", "a|b"),
        ("job", "!=", ""),
        ("pod", "=~", ".+"),
        ("zone", "=", "x"),
        ("job", "!~", "b|"),
    ],
    &[("pod", "=", "1"), ("pod", "!=", "1"), ("zone", "=~", "x|"), ("zone", "!~", "x"), ("pod", "=", "")],
];

const METRIC_MATCHERS: [&[Matcher]; 2] = [
    &[
        ("__name__", "=", "g0"),
        ("__name__", "=~", "g.*"),
        ("__name__", "=~", "c.*|u.*"),
        ("__name__", "!~", "c.*|"),
        ("__name__", "=~", ".+_total"),
        ("__name__", "!=", ""),
        ("job", "=", "a"),
        ("zone", "=~", ".+"),
    ],
    &[("pod", "!=", "1"), ("zone", "=", ""), ("job", "=~", "a"), ("__name__", "!=", "g1")],
];

fn matchers([first, others]: [&'static [Matcher]; 2]) -> impl Strategy<Value = Vec<Matcher>> {
    let other = prop::option::weighted(0.4, prop::sample::select(others));
    (prop::sample::select(first), other)
        .prop_map(|(first, other)| [Some(first), other].into_iter().flatten().collect())
}

fn relabelling(steps: &'static [Step]) -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(prop::sample::select(steps), 1..4)]
}

fn rules() -> impl Strategy<Value = Rules> {
    let group = (
        matchers(GROUP_MATCHERS),
        relabelling(GROUP_STEPS),
        (any::<bool>(), any::<bool>()),
        prop::option::weighted(0.4, any::<bool>()),
        prop::option::weighted(0.4, (1..6usize, any::<bool>())),
        prop::bool::weighted(0.95),
    );
    let group = group.prop_map(|(selector, steps, (by_header, headers), put, most, accept)| GroupRule {
        selector,
        steps,
        by_header,
        headers: headers || by_header,
        put,
        most,
        accept,
    });
    let folds = prop::sample::select(&["sum", "min", "max", "mean", "count"][..]);
    let others = prop::sample::select(&["last", "add", "least", "greatest"][..]);
    let merge = prop_oneof![3 => folds.prop_map(Some), 1 => others.prop_map(Some), 1 => Just(None)];
    let metric = (matchers(METRIC_MATCHERS), relabelling(METRIC_STEPS), merge, temporality());
    let metric = metric.prop_map(|(selector, steps, merge, temporality)| {
        let rule = MetricRule { selector, steps, merge, temporality };
        let temporality = temporality.filter(|of| *of == "delta" || !rule.changes_labels());
        MetricRule { temporality, ..rule }
    });
    let lists = (prop::collection::vec(group, 0..4), prop::collection::vec(metric, 0..4));
    lists.prop_map(|(groups, metrics)| Rules { groups, metrics })
}

fn temporality() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(&["delta", "cumulative", "auto"][..]))
}

fn values() -> impl Strategy<Value = Path> {
    let value = || prop::sample::select(&["", "1", "2"][..]);
    let pod = prop::bool::weighted(0.1).prop_map(|has_pod| if has_pod { "9" } else { "" });
    (value(), value(), pod).prop_map(|(l, pid, pod)| [l, pid, pod])
}

fn families() -> impl Strategy<Value = Vec<Family>> {
    let names = vec!["c0_total", "c1_total", "g0", "g1", "g2", "u0", "u0_total"];
    let family = |name: &'static str| {
        let value = if name.ends_with("_total") { 0..40 } else { -9..9i32 };
        prop::collection::btree_map(values(), value, 1..5).prop_map(move |series| (name, series))
    };
    let names = prop::sample::subsequence(names, 0..4).prop_shuffle();
    names.prop_flat_map(move |names| names.into_iter().map(family).collect::<Vec<_>>())
}

fn path() -> impl Strategy<Value = Path> {
    let job = prop::sample::select(&["a", "b"][..]);
    let pod = prop::sample::select(&["", "1", "2"][..]);
    let zone = prop::sample::select(&["", "x", "y"][..]);
    (job, pod, zone).prop_map(|(job, pod, zone)| [job, pod, zone])
}

fn source() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(&["s", "t"][..]))
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let method = prop::sample::select(&[Method::Post, Method::Post, Method::Post, Method::PutReplace][..]);
    let header = prop_oneof![4 => Just(None), 1 => temporality()];
    let start = prop::option::weighted(0.5, 1_600_000_000..1_600_000_003i64);
    let sent = (path(), method, source(), header, start, families());
    let sent = sent.prop_map(|(path, method, source, temporality, start, families)| Sent {
        path,
        method,
        source,
        temporality,
        start,
        families,
    });
    let event = prop_oneof![
        20 => sent.prop_map(Event::Push),
        2 => (path(), source()).prop_map(|(path, source)| Event::Delete(path, source)),
        1 => rules().prop_map(Event::Reload),
        1 => Just(Event::TurnOverflow),
        2 => any::<bool>().prop_map(Event::Restart),
    ];
    prop::collection::vec(event, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_scrape_shows_what_rules_make_of_all_pushes(rules in rules(), events in events()) {
        check(&rules, PutMode::Replace, &events, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_scrape_shows_the_same_from_a_file(rules in rules(), events in events(), seed in any::<u64>()) {
        check(&rules, PutMode::Replace, &events, Some(SimulatedDisk::new(seed, Vec::new())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rules go and others come, where PUT does by default the one or the other.
    #[test]
    fn a_scrape_shows_what_rules_made_once_they_are_gone(
        rules in [rules(), rules()],
        put in prop::sample::select(&[PutMode::Replace, PutMode::Aggregate][..]),
        events in [events(), events(), events()],
        seed in prop::option::of(any::<u64>()),
    ) {
        let [before, after] = rules;
        let [first, mut without, mut last] = events;
        without.retain(|event| !matches!(event, Event::Reload(_)));
        without.insert(0, Event::Reload(Rules::default()));
        last.insert(0, Event::Reload(after));
        let events = [first, without, last].concat();
        check(&before, put, &events, seed.map(|seed| SimulatedDisk::new(seed, Vec::new())));
    }
}
