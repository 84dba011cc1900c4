//! Imports the persistence file of a stock gateway, and exports a store to such a file.

use std::borrow::Cow;
use std::collections::HashMap;

use bumpalo::Bump;

use super::exposure::write_row;
use super::scrape::{PUSH_FAILURE_TIME_HELP, PUSH_TIME_HELP};
use super::source::seconds;
use crate::exposition::negotiation::{Format, Syntax};
use crate::exposition::writer::{Details, Head, Labels, Writer};
use crate::exposition::{BodyFormat, Names, ParseError, Reading, protobuf};
use crate::message::Excerpt;
use crate::model::escaping::{Escaping, colliding_label};
use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::kind::Kind;
use crate::model::labels::{EmptyLabels, ShownLabels};
use crate::model::name::is_unusable_label_name;
use crate::model::push::{GROUP_FAMILIES, Push};
use crate::model::refusal::Cause;
use crate::model::time::Moment;
use crate::persistence::stock_file::{StockFamily, StockFile, StockGroup};
use crate::progress::Steps;
use crate::store::metadata::Metadata;
use crate::store::semantics::Semantics;
use crate::store::times::Times;
use crate::store::{FamilyView, GroupView, Part, Rejection, Store, Terms, Transaction};

/// Protobuf without escaping of names.
const PLAIN_PROTOBUF: Format = Format { syntax: Syntax::Protobuf, escaping: Escaping::AllowUtf8 };

/// The names of [`GROUP_FAMILIES`].
const PUSH_TIME: &str = GROUP_FAMILIES[0];
const PUSH_FAILURE_TIME: &str = GROUP_FAMILIES[1];

/// Imports a stock gateway's file into an empty store with the push times in the file. If a time is missing, uses
/// `now`. Returns a sentence for everything that fails the checks of a push and is left out.
pub(super) fn import(
    file: &StockFile,
    store: &Store,
    now: Moment,
    aggregate: bool,
    steps: &Steps,
) -> Vec<String> {
    let mut left_out: Vec<String> = file.skipped.iter().map(ToString::to_string).collect();
    left_out.extend(take_in(&file.groups, store, now, aggregate, steps));
    store.restored();
    left_out
}

fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<GroupingLabel<'a>> {
    pairs.map(|(name, value)| GroupingLabel { name: name.into(), value: value.into() }).collect()
}

/// Adds groups to a store with the push times that they have. Returns a sentence for everything that is left out.
fn take_in(groups: &[StockGroup], store: &Store, now: Moment, aggregate: bool, steps: &Steps) -> Vec<String> {
    let mut left_out = Vec::new();
    let mut known: HashMap<String, Times> = HashMap::new();
    let mut families: Vec<(&StockFamily, Grouping<'_>)> = Vec::new();
    let mut all_times: Vec<(Times, Grouping<'_>)> = Vec::new();
    for group in groups {
        let pairs = group.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let grouping = Grouping::with(labels(pairs), EmptyLabels::of(aggregate));
        if !grouping.labels().iter().any(|label| label.name == "job" && !label.value.is_empty()) {
            left_out.push(format!("group {}: it has no job", ShownLabels::of(grouping.key())));
            continue;
        }
        let is_unusable = |label: &&GroupingLabel<'_>| is_unusable_label_name(&label.name);
        let unusable = grouping.labels().iter().find(is_unusable).map(|label| label.name.to_string());
        if let Some(name) = unusable.or_else(|| colliding_label(grouping.key())) {
            let (group, name) = (ShownLabels::of(grouping.key()), Excerpt::of(&name));
            let sentence = format!("group {group}: no scrape can show its label {name:?}");
            left_out.push(sentence);
            continue;
        }
        let pushed = group.families.iter().filter(|family| !GROUP_FAMILIES.contains(&&*family.name));
        families.extend(pushed.map(|family| (family, grouping.clone())));
        all_times.push((times(group, now), grouping));
    }
    // In this order the latest push wins if two groups become one.
    families.sort_by_key(|(family, _)| family.pushed_at);
    steps.phase("importing the stock gateway's file", families.len() as u64);
    for (family, grouping) in families {
        steps.add(1);
        if let Err(cause) = import_family(family, &grouping, store, now, aggregate) {
            let (name, group) = (Excerpt::of(&family.name), ShownLabels::of(grouping.key()));
            left_out.push(format!("family {name} of group {group}: {cause}"));
        }
    }
    for (times, grouping) in all_times {
        let key = grouping.key().to_owned();
        let times = *known.entry(key).and_modify(|known| known.join(times)).or_insert(times);
        if !store.restore_times(&grouping, times) {
            left_out.push(format!(
                "group {}: another differs from it only in labels with empty values",
                ShownLabels::of(grouping.key())
            ));
        }
    }
    left_out
}

fn import_family(
    family: &StockFamily,
    grouping: &Grouping<'_>,
    store: &Store,
    now: Moment,
    aggregate: bool,
) -> Result<(), String> {
    let Some(message) = &family.message else { return Ok(()) };
    let pushed_at = if family.pushed_at == 0 { now } else { Moment::at(family.pushed_at) };
    let import = |message: &[u8]| import_message(message, grouping, store, pushed_at, aggregate);
    let imported = import(message).or_else(|error| match error {
        // Series that differ only in labels with empty values become one, so they are imported one after the other.
        ImportError::Refused(Cause::DuplicateSeries { .. }) if aggregate => {
            protobuf::single_series(message).iter().try_for_each(|message| import(message))
        }
        error => Err(error),
    });
    imported.map_err(|error| error.to_string())
}

/// Why a family is left out.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Malformed(#[from] ParseError),
    #[error("{0}")]
    Refused(Cause),
    #[error(transparent)]
    Rejected(Rejection),
}

impl From<Rejection> for ImportError {
    fn from(rejection: Rejection) -> ImportError {
        match rejection {
            Rejection::Refused(refusal) => ImportError::Refused(refusal.cause),
            rejection => ImportError::Rejected(rejection),
        }
    }
}

fn import_message(
    message: &[u8],
    grouping: &Grouping<'_>,
    store: &Store,
    pushed_at: Moment,
    aggregate: bool,
) -> Result<(), ImportError> {
    let body = delimited(message);
    let arena = Bump::new();
    let reading = Reading { empty_labels: EmptyLabels::of(aggregate), ..Reading::unlimited(Names::Utf8) };
    let parsed = BodyFormat::Protobuf.parse(&body, &reading, &arena)?;
    let push = Push::prepare(&parsed, grouping, aggregate).map_err(Rejection::from)?;
    let semantics = if aggregate { Semantics::merging() } else { Semantics::replacing(false) };
    let grouping = Cow::Borrowed(grouping);
    let terms = Terms::default();
    let part = Part::Push { grouping, push, semantics, source: None, terms };
    store.submit(&Transaction::of(part), pushed_at)?;
    Ok(())
}

/// When a group was created, last pushed to, and last failed. The stock gateway keeps these as families of the
/// group, whose own timestamps are more exact than their values. It does not count the pushes of a group.
fn times(group: &StockGroup, now: Moment) -> Times {
    let of = |name| {
        let Some(family) = group.families.iter().find(|family| family.name == name) else { return (0, 0) };
        // The value is zero before the first push, or if no push has failed.
        let happened = family.message.as_deref().and_then(single_value).is_some_and(|value| value != 0.0);
        (family.pushed_at, if happened { family.pushed_at } else { 0 })
    };
    let ((first_pushed, pushed_at), (first_failed, failed_at)) = (of(PUSH_TIME), of(PUSH_FAILURE_TIME));
    let created = [first_pushed, first_failed].into_iter().filter(|time| *time != 0).min();
    let created_at = created.unwrap_or(now.nanos);
    Times { created_at, pushed_at, failed_at, pushes: 0 }
}

/// A length-delimited stream of this message alone.
fn delimited(message: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(message.len() + 10);
    protobuf::delimit(&mut stream, message);
    stream
}

fn single_value(message: &[u8]) -> Option<f64> {
    let body = delimited(message);
    let arena = Bump::new();
    let parsed = protobuf::parse(&body, &arena).ok()?;
    let series = parsed.series_of(parsed.families.first()?).next()?;
    match series.value {
        crate::model::body::Value::Number(value) => Some(value),
        _ => None,
    }
}

/// Converts these groups to those of a stock gateway's file.
pub(super) fn export(groups: &[GroupView], steps: &Steps) -> Vec<StockGroup> {
    steps.phase("exporting groups", groups.len() as u64);
    groups.iter().inspect(|_| steps.add(1)).map(export_group).collect()
}

fn export_group(group: &GroupView) -> StockGroup {
    let first = |nanos: i64| if nanos == 0 { group.times.created_at } else { nanos };
    let own = |name: &str, help: &str, nanos: i64| StockFamily {
        name: name.to_owned(),
        pushed_at: first(nanos),
        message: Some(message(Head::new(name, Kind::Gauge, Some(help)), |writer, out| {
            let labels = Labels::unquoted(&group.labels.series_block);
            writer.number(out, labels, seconds(nanos), Details::default());
        })),
    };
    let mut families: Vec<StockFamily> = group.families.iter().map(export_family).collect();
    families.push(own(PUSH_TIME, PUSH_TIME_HELP, group.times.pushed_at));
    families.push(own(PUSH_FAILURE_TIME, PUSH_FAILURE_TIME_HELP, group.times.failed_at));
    families.sort_by(|a, b| a.name.cmp(&b.name));
    let labels = group.labels.labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    StockGroup { labels: labels.collect(), families }
}

fn export_family(family: &FamilyView) -> StockFamily {
    let write = |writer: &mut Writer, out: &mut Vec<u8>| {
        for piece in family.pieces.iter() {
            for at in 0..piece.len() {
                write_row(writer, out, piece, at, piece.block(at), None, &mut |_| {});
            }
        }
    };
    let Metadata { help, unit } = &family.metadata;
    let head = Head { unit: unit.as_deref(), ..Head::new(&family.name, family.kind, help.as_deref()) };
    StockFamily {
        name: family.name.to_string(),
        pushed_at: family.pushed_at,
        message: Some(message(head, write)),
    }
}

/// The protobuf message of a family.
fn message(head: Head<'_>, mut write: impl FnMut(&mut Writer, &mut Vec<u8>)) -> Vec<u8> {
    let mut writer = Writer::new(PLAIN_PROTOBUF, false);
    let mut out = Vec::new();
    let mut family = |writer: &mut Writer| {
        writer.begin(&mut out, head);
        write(writer, &mut out);
    };
    writer.measure();
    family(&mut writer);
    writer.measured();
    family(&mut writer);
    protobuf::undelimited(&out).to_vec()
}
