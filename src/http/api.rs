//! `/api/v1/`: build, settings and content of the gateway as JSON, in the stock gateway's form.

mod groups;
mod health;
mod json;
mod limits;
mod query;
mod refusals;
mod series;
mod sources;
mod status;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use json::{Each, Success, send_json};
use serde::{Serialize, Serializer};

use super::{State, compress, stream};
use crate::gateway::scrape::{PUSH_FAILURE_TIME_HELP, PUSH_TIME_HELP};
use crate::gateway::source::seconds;
use crate::model::count::Count;
use crate::model::histogram::Histogram;
use crate::model::kind::Kind;
use crate::model::labels::pairs;
use crate::model::native_histogram::{Includes, ShownBucket};
use crate::model::number::format_f64_signed;
use crate::model::summary::Summary;
use crate::store::group_labels::GroupLabels;
use crate::store::{FamilyView, GroupView, RowValue, SeriesView};
pub(super) use groups::{group, groups, key_of, series};
pub(super) use health::health;
pub(super) use json::{error_json, success_json};
pub(super) use refusals::refusals;
pub(super) use sources::sources;
pub(super) use status::{started_at, status};

/// Adds the headers that let a page of another origin read the answer.
fn with_cors(mut answer: HttpResponseBuilder) -> HttpResponseBuilder {
    for (name, value) in [
        ("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin"),
        ("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS"),
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Expose-Headers", "Date"),
        ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ] {
        answer.insert_header((name, value));
    }
    answer
}

fn json() -> HttpResponseBuilder {
    let mut answer = with_cors(HttpResponse::Ok());
    answer.content_type("application/json");
    answer
}

/// `OPTIONS` on any path of the API.
pub(super) fn options(state: &State) -> HttpResponse {
    state.gateway.telemetry().request("api/v1/options", "options", 200);
    with_cors(HttpResponse::Ok()).finish()
}

/// All groups with all their metrics. Written series by series, so that a large store needs little memory.
pub(super) fn metrics(state: &Arc<State>, request: &HttpRequest) -> HttpResponse {
    state.gateway.telemetry().request("api/v1/metrics", request.method().as_str(), 200);
    let share = match stream::share(state) {
        Ok(share) => share,
        Err(busy) => return *busy,
    };
    let theirs = state.clone();
    let is_gzip = compress::takes_gzip(request);
    stream::answer(state, share, compress::headed(json(), is_gzip), move |send| {
        // Groups that are deleted meanwhile are left out.
        let groups = theirs.gateway.group_labels();
        let group = |labels: &Arc<GroupLabels>| theirs.gateway.group(&labels.key).map(Shown);
        let data = Each(|| groups.iter().filter_map(group));
        send_json(&Success { status: "success", data }, is_gzip, send).map(|()| None)
    })
}

/// The members of a group. Its families are beside its labels, as in the stock gateway.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Labels(BTreeMap<&'a str, &'a str>),
    LastPushSuccessful(bool),
    Own(Family<'a, [Metric<'a>; 1]>),
    Pushed(Pushed<'a>),
}

#[derive(Serialize)]
struct Family<'a, M> {
    time_stamp: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    help: &'a str,
    metrics: M,
}

/// A family that is converted only when it is written.
struct Pushed<'a>(&'a FamilyView);

impl Serialize for Pushed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let family = self.0;
        let shown = Family {
            time_stamp: timestamp(family.pushed_at),
            kind: family.kind.upper_name(),
            help: family.metadata.help.as_deref().unwrap_or_default(),
            metrics: Each(|| family.series().map(|series| metric(series, family.kind))),
        };
        shown.serialize(serializer)
    }
}

type Labels<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// One series. The members are in alphabetical order.
#[derive(Serialize)]
#[serde(untagged)]
enum Metric<'a> {
    Number { labels: Labels<'a>, value: String },
    Summary { count: String, labels: Labels<'a>, quantiles: BTreeMap<String, String>, sum: String },
    Histogram { buckets: Buckets, count: String, labels: Labels<'a>, sum: String },
}

enum Buckets {
    /// Cumulative counts by upper bound.
    Classic(ByBound),
    /// Which bounds a bucket includes, its lower and its upper bound, its population.
    Native(Vec<ShownBucket>, bool),
}

impl Serialize for Buckets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Buckets::Classic(buckets) => serializer.collect_map(buckets.shown()),
            Buckets::Native(buckets, is_float) => serializer.collect_seq(buckets.iter().map(|bucket| {
                let [lower, upper] = [bucket.lower, bucket.upper].map(format_f64_signed);
                (bucket.includes as u8, lower, upper, count_text(bucket.count, *is_float))
            })),
        }
    }
}

/// The classic buckets of a histogram, sorted by the text of their bounds. There may be very many.
struct ByBound {
    texts: String,
    /// The position of the text of each bound, and the count of its bucket.
    buckets: Vec<(Range<usize>, Count)>,
    is_float: bool,
}

impl ByBound {
    fn of(histogram: &Histogram) -> ByBound {
        let (mut texts, mut buckets) = (String::new(), Vec::new());
        histogram.buckets(|bound, _, count| {
            let start = texts.len();
            texts.push_str(bound);
            buckets.push((start..texts.len(), count));
        });
        buckets.sort_unstable_by(|(a, _), (b, _)| texts[a.clone()].cmp(&texts[b.clone()]));
        ByBound { texts, buckets, is_float: histogram.is_float() }
    }

    fn shown(&self) -> impl Iterator<Item = (&str, String)> {
        let ByBound { texts, buckets, is_float } = self;
        buckets.iter().map(|(bound, count)| (&texts[bound.clone()], histogram_count_text(*count, *is_float)))
    }
}

/// A group that is converted family by family when it is written, because it may have very many.
struct Shown(GroupView);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut own = own_members(&self.0).into_iter().peekable();
        let mut families = self.0.families.iter().peekable();
        serializer.collect_map(std::iter::from_fn(|| {
            // A pushed family with the name of one of the group's own members takes its place.
            let comes_first =
                |(name, _): &(&str, Member<'_>)| families.peek().is_none_or(|family| **name < *family.name);
            if let Some(member) = own.next_if(comes_first) {
                return Some(member);
            }
            let family = families.next()?;
            own.next_if(|(name, _)| **name == *family.name);
            Some((&*family.name, Member::Pushed(Pushed(family))))
        }))
    }
}

/// The members that every group has beside its families, sorted by name.
fn own_members(group: &GroupView) -> [(&'static str, Member<'_>); 4] {
    let labels = &group.labels;
    let own = |nanos: i64, since: i64, help| {
        let value = format_f64_signed(seconds(nanos));
        let metrics = [Metric::Number { labels: labels_of(&labels.series_block), value }];
        Member::Own(Family { time_stamp: timestamp(since), kind: Kind::Gauge.upper_name(), help, metrics })
    };
    let first = |nanos: i64| if nanos == 0 { group.times.created_at } else { nanos };
    [
        ("labels", Member::Labels(labels.labels.iter().map(|(name, value)| (&**name, &**value)).collect())),
        ("last_push_successful", Member::LastPushSuccessful(group.last_push_successful())),
        (
            "push_failure_time_seconds",
            own(group.times.failed_at, first(group.times.failed_at), PUSH_FAILURE_TIME_HELP),
        ),
        ("push_time_seconds", own(group.times.pushed_at, first(group.times.pushed_at), PUSH_TIME_HELP)),
    ]
}

fn metric(series: SeriesView<'_>, kind: Kind) -> Metric<'_> {
    let labels = labels_of(series.block);
    match series.value {
        RowValue::Number(value) => Metric::Number { labels, value: format_f64_signed(value) },
        RowValue::Summary(summary) => summary_object(labels, summary),
        // The stock gateway shows no values of a gauge histogram.
        RowValue::Histogram(_) if kind == Kind::GaugeHistogram => {
            Metric::Number { labels, value: "0".into() }
        }
        RowValue::Histogram(histogram) => histogram_object(labels, histogram),
    }
}

fn summary_object<'a>(labels: Labels<'a>, summary: &Summary) -> Metric<'a> {
    let quantile =
        |q: &crate::model::summary::Quantile| (format_f64_signed(q.quantile), format_f64_signed(q.value));
    Metric::Summary {
        count: count_text(summary.count.value(), false),
        labels,
        quantiles: summary.quantiles.iter().map(quantile).collect(),
        sum: format_f64_signed(summary.sum.value()),
    }
}

fn histogram_object<'a>(labels: Labels<'a>, histogram: &Histogram) -> Metric<'a> {
    let is_float = histogram.is_float();
    Metric::Histogram {
        buckets: match native_buckets(histogram) {
            Some(buckets) => Buckets::Native(buckets, is_float),
            None => Buckets::Classic(ByBound::of(histogram)),
        },
        count: histogram_count_text(histogram.count(), is_float),
        labels,
        sum: format_f64_signed(histogram.sum.value()),
    }
}

/// The populated buckets of what the stock gateway takes for a native histogram: one with spans. Prometheus also
/// takes one with only a zero bucket for native, the stock gateway does not.
fn native_buckets(histogram: &Histogram) -> Option<Vec<ShownBucket>> {
    let native = histogram.native()?;
    let buckets = native.buckets();
    let has_spans = match buckets.iter().find(|bucket| bucket.includes != Includes::Both) {
        Some(_) => true,
        // Without a zero bucket, only a span, perhaps an empty one, can have made it native.
        None => buckets.is_empty() && native.zero_threshold() == 0.0,
    };
    has_spans.then_some(buckets)
}

/// The count of a histogram. If it is not a number, the stock gateway shows 0, the value of the missing integer.
fn histogram_count_text(count: Count, is_float: bool) -> String {
    if count.as_f64().is_nan() { "0".to_owned() } else { count_text(count, is_float) }
}

/// A count: with all its digits if it is an integer and `is_float` is false.
fn count_text(count: Count, is_float: bool) -> String {
    match count {
        Count::Int(count) if !is_float => count.to_string(),
        count => format_f64_signed(count.as_f64()),
    }
}

fn labels_of(block: &str) -> Labels<'_> {
    pairs(block).map(|pair| (pair.name(), pair.value())).collect()
}

/// RFC 3339 with as many digits of a second as there are, as Go's `RFC3339Nano`.
fn timestamp(nanos: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(nanos.unsigned_abs());
    let text = humantime::format_rfc3339_nanos(time).to_string();
    let digits = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{digits}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_times() {
        assert_eq!(timestamp(1_795_331_944_441_011_443), "2026-11-22T07:19:04.441011443Z");
        assert_eq!(timestamp(1_795_331_944_500_000_000), "2026-11-22T07:19:04.5Z");
        assert_eq!(timestamp(1_795_331_944_000_000_000), "2026-11-22T07:19:04Z");
    }
}
