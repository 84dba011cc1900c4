//! `/api/v1/groups`: the groups and series for the page, in pages.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};

use super::json::{Each, Success, error_json, send_json, to_short_json};
use super::query::{self, BadParameter, SeriesQuery};
use super::refusals::Refusal;
use super::series::Series;
use super::{json, timestamp, with_cors};
use crate::exposition::Names;
use crate::gateway::browse::{Asker, GroupDetail, GroupPage, GroupSummary, Missing, SeriesPage};
use crate::http::connection::Watch;
use crate::http::path::decode;
use crate::http::{State, compress, stream};
use crate::model::escaping::escape_values;
use crate::model::name::is_legacy_label_name;
use crate::store::FamilySummary;
use crate::store::group_labels::GroupLabels;

/// Larger answers are streamed.
const SMALL: usize = 64 * 1024;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    BadParameter(#[from] BadParameter),
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("the answer could not be written")]
    Stopped,
}

/// The status with which Prometheus counts a request whose client has gone.
const CLIENT_GONE: u16 = 499;

impl Error {
    fn code(&self) -> StatusCode {
        match self {
            Error::BadParameter(_) => StatusCode::BAD_REQUEST,
            Error::Missing(Missing::Asker) => {
                StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Error::Missing(_) => StatusCode::NOT_FOUND,
            Error::Stopped => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error type as in the HTTP API of Prometheus.
    fn kind(&self) -> &'static str {
        match self {
            Error::BadParameter(_) => "bad_data",
            Error::Missing(Missing::Asker) => "canceled",
            Error::Missing(_) => "not_found",
            Error::Stopped => "internal",
        }
    }
}

/// Lists groups, a page at a time.
pub(in crate::http) async fn groups(state: &Arc<State>, request: &HttpRequest) -> HttpResponse {
    answer(state, request, "api/v1/groups", |state, query, asker| {
        let query = query::groups(query)?;
        Ok(FoundGroups { page: state.gateway.browse_groups(&query, asker)?, names: state.gateway.names() })
    })
    .await
}

/// Shows one group.
pub(in crate::http) async fn group(state: &Arc<State>, request: &HttpRequest, id: &str) -> HttpResponse {
    let key = key_of(id);
    answer(state, request, "api/v1/groups/id", move |state, _, _| {
        let detail = key.and_then(|key| state.gateway.browse_group(&key)).ok_or(Missing::Group)?;
        Ok(FoundGroup { detail, names: state.gateway.names() })
    })
    .await
}

/// Lists series of a family of a group, a page at a time.
pub(in crate::http) async fn series(state: &Arc<State>, request: &HttpRequest, id: &str) -> HttpResponse {
    let key = key_of(id);
    answer(state, request, "api/v1/groups/id/series", move |state, query, asker| {
        let SeriesQuery { family, words, window } = query::series(query)?;
        let key = key.ok_or(Missing::Group)?;
        Ok(FoundSeries(state.gateway.browse_series(&key, &family, &words, window, asker)?))
    })
    .await
}

/// Answers with the result of `find` for the query of the request. `find` runs on a thread that may block, and only
/// while the client waits. At most as many run at a time as there are processors; waiting requests hold no share,
/// which scrapes may need. The share is taken before `find` runs, because its result may be large.
pub(super) async fn answer<F: Serialize + Send + 'static>(
    state: &Arc<State>,
    request: &HttpRequest,
    handler: &str,
    find: impl FnOnce(&State, &str, &Asker) -> Result<F, Error> + Send + 'static,
) -> HttpResponse {
    let count = |code: StatusCode| {
        state.gateway.telemetry().request(handler, request.method().as_str(), code.as_u16());
    };
    let attended = request.conn_data::<Rc<Watch>>().map(Watch::attended);
    let asker = attended.as_ref().map(|attended| attended.asker().clone()).unwrap_or_default();
    let turn = state.finding.clone().acquire_owned().await;
    let share = match stream::share(state) {
        Ok(share) => share,
        Err(busy) => {
            count(busy.status());
            return *busy;
        }
    };
    let query = request.uri().query().unwrap_or_default().to_owned();
    let takes_gzip = compress::takes_gzip(request);
    let found = {
        let state = state.clone();
        // The thread holds the share, because it goes on if the client has gone.
        web::block(move || {
            // Released when the thread ends, even if the client has gone.
            let _turn = turn;
            let found = find(&state, &query, &asker)?;
            let short = to_short_json(&Success { status: "success", data: &found }, SMALL);
            Ok((found, short.map(|body| compress::Body::of(body, takes_gzip)), share))
        })
        .await
        .unwrap_or(Err(Error::Stopped))
    };
    count(found.as_ref().map_or_else(Error::code, |_| StatusCode::OK));
    match found {
        Ok((_, Some(body), _)) => body.send(json()),
        Ok((found, None, share)) => {
            let answer = compress::headed(json(), takes_gzip);
            stream::answer(state, share, answer, move |send| {
                send_json(&Success { status: "success", data: found }, takes_gzip, send).map(|()| None)
            })
        }
        Err(error) => {
            let mut answer = with_cors(HttpResponse::build(error.code()));
            answer.content_type("application/json").body(error_json(error.kind(), &error))
        }
    }
}

/// A page of groups.
struct FoundGroups {
    page: GroupPage,
    names: Names,
}

impl Serialize for FoundGroups {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let page = &self.page;
        let shown = Page {
            total: page.total,
            matching: page.matching,
            total_series: page.total_series,
            series: page.series,
            groups: Each(|| page.groups.iter().map(|group| Group::of(group, self.names))),
        };
        shown.serialize(serializer)
    }
}

/// One group and its families.
struct FoundGroup {
    detail: GroupDetail,
    names: Names,
}

impl Serialize for FoundGroup {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let GroupDetail { summary, families, sources } = &self.detail;
        let shown = WholeGroup {
            group: Group::of(summary, self.names),
            sources: *sources,
            families_list: Each(|| families.iter().map(Family::of)),
        };
        shown.serialize(serializer)
    }
}

/// A page of series.
struct FoundSeries(SeriesPage);

impl Serialize for FoundSeries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let page = &self.0;
        let shown = SeriesList {
            family: Family::of(page.family()),
            matching: page.matching,
            series: Each(|| page.series().map(|series| Series::of(page.labels_of(series.block), series))),
        };
        shown.serialize(serializer)
    }
}

#[derive(Serialize)]
struct Page<L> {
    total: u64,
    matching: u64,
    total_series: u64,
    series: u64,
    groups: L,
}

#[derive(Serialize)]
struct Group<'a> {
    id: String,
    labels: Vec<(&'a str, &'a str)>,
    path: String,
    pushed_at: Option<String>,
    failed_at: Option<String>,
    last_push_successful: bool,
    failed: bool,
    last_refusal: Option<Refusal<'a>>,
    suspected_running_totals: bool,
    pushes: u64,
    families: u64,
    series: u64,
}

#[derive(Serialize)]
struct WholeGroup<'a, L> {
    #[serde(flatten)]
    group: Group<'a>,
    sources: usize,
    families_list: L,
}

#[derive(Serialize)]
struct Family<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: String,
    help: &'a str,
    unit: &'a str,
    pushed_at: Option<String>,
    series: u32,
}

#[derive(Serialize)]
struct SeriesList<'a, L> {
    family: Family<'a>,
    matching: u64,
    series: L,
}

impl<'a> Group<'a> {
    fn of(group: &'a GroupSummary, names: Names) -> Group<'a> {
        let labels = job_first(&group.labels);
        Group {
            id: URL_SAFE_NO_PAD.encode(&*group.labels.key),
            path: path_of(&labels, names),
            labels,
            pushed_at: time(group.times.pushed_at),
            failed_at: time(group.times.failed_at),
            last_push_successful: group.times.last_push_successful(),
            failed: group.has_failed(),
            last_refusal: group.refused.as_deref().map(Refusal::of),
            suspected_running_totals: group.has_running_totals,
            pushes: group.times.pushes,
            families: group.families,
            series: group.series,
        }
    }
}

impl<'a> Family<'a> {
    fn of(family: &'a FamilySummary) -> Family<'a> {
        Family {
            name: &family.name,
            kind: family.kind.upper_name().to_ascii_lowercase(),
            help: family.metadata.help.as_deref().unwrap_or_default(),
            unit: family.metadata.unit.as_deref().unwrap_or_default(),
            pushed_at: time(family.pushed_at),
            series: family.series,
        }
    }
}

pub(super) fn time(nanos: i64) -> Option<String> {
    (nanos != 0).then(|| timestamp(nanos))
}

/// The group key for this id, which is still percent-encoded. `None` if no group can have it.
pub(in crate::http) fn key_of(id: &str) -> Option<String> {
    let key = URL_SAFE_NO_PAD.decode(decode(id)?).ok()?;
    String::from_utf8(key).ok()
}

fn job_first(group: &GroupLabels) -> Vec<(&str, &str)> {
    let mut labels: Vec<(&str, &str)> =
        group.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    // The sort is stable, so the other labels stay sorted.
    labels.sort_by_key(|(name, _)| *name != "job");
    labels
}

/// The path of the group below `/metrics/`, as the page of the stock gateway writes it. Values are always base64 with
/// a `=` at the end, so that an empty value is a path component too.
fn path_of(labels: &[(&str, &str)], names: Names) -> String {
    let component = |(name, value): &(&str, &str)| {
        format!("{}@base64/{}=", name_in_path(name, names), URL_SAFE_NO_PAD.encode(value))
    };
    labels.iter().map(component).collect::<Vec<_>>().join("/")
}

/// The spelling of a label name in a path.
fn name_in_path(name: &str, names: Names) -> Cow<'_, str> {
    let means_itself = is_legacy_label_name(name) && (names == Names::Legacy || !name.starts_with("U__"));
    if means_itself { Cow::Borrowed(name) } else { Cow::Owned(escape_values(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::path::{JobEncoding, grouping};
    use crate::model::grouping::{Grouping, GroupingLabel};
    use crate::model::labels::EmptyLabels;
    use proptest::prelude::*;

    fn group(labels: &[(String, String)]) -> GroupLabels {
        let label = |(name, value): &(String, String)| GroupingLabel {
            name: name.clone().into(),
            value: value.clone().into(),
        };
        GroupLabels::of(&Grouping::new(labels.iter().map(label).collect()))
    }

    fn grouping_of(path: &str, names: Names) -> Grouping<'_> {
        let rest = path.strip_prefix("job@base64/").unwrap();
        let (job, labels) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        grouping(JobEncoding::Base64, job, labels, names, EmptyLabels::Kept).unwrap()
    }

    #[test]
    fn paths_are_those_of_the_stock_page() {
        let labels = [("instance", "x"), ("empty", ""), ("job", "a"), ("U__x", "?>")];
        let labels = group(&labels.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let labels = job_first(&labels);
        let rest = "@base64/Pz4=/empty@base64/=/instance@base64/eA=";
        assert_eq!(path_of(&labels, Names::Legacy), format!("job@base64/YQ=/U__x{rest}"));
        assert_eq!(path_of(&labels, Names::Utf8), format!("job@base64/YQ=/U__U____x{rest}"));
    }

    proptest! {
        #[test]
        fn identity_and_path_name_the_group(
            job in "\\PC{1,5}",
            labels in prop::collection::btree_map("(U__)?[a/@%ä_.\"\n]{1,8}(@base64)?", "\\PC{0,5}", 0..4),
        ) {
            let is_usable = |name: &str| !crate::model::name::is_unusable_label_name(name) && !name.starts_with("__");
            let mut labels: Vec<(String, String)> = labels.into_iter().filter(|(name, _)| is_usable(name)).collect();
            labels.push(("job".to_owned(), job));
            let group = group(&labels);
            prop_assume!(crate::model::escaping::colliding_label(&group.key).is_none());
            let path = path_of(&job_first(&group), Names::Utf8);
            let named = grouping_of(&path, Names::Utf8);
            prop_assert_eq!(named.key(), &*group.key);
            let key = key_of(&URL_SAFE_NO_PAD.encode(&*group.key));
            prop_assert_eq!(key.as_deref(), Some(&*group.key));
        }
    }

    #[test]
    fn what_is_no_identity_names_no_group() {
        for id in ["e30=", "e3 0", "%zz", "_w", "a"] {
            assert_eq!(key_of(id), None, "{id}");
        }
        assert_eq!(key_of("e3%30").as_deref(), Some("{}"));
    }
}
