//! `/api/v1/groups/ID/sources`: the sources of a group and what each contributes, in pages.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use serde::{Serialize, Serializer};

use super::groups::{Error, answer, key_of, time};
use super::json::Each;
use super::query;
use super::series::Series;
use crate::gateway::browse::{Missing, SourcePage, source_labels};
use crate::http::State;
use crate::model::labels::pairs;
use crate::store::{FamilyView, GroupView};

/// Lists sources of a group, a page at a time.
pub(in crate::http) async fn sources(state: &Arc<State>, request: &HttpRequest, id: &str) -> HttpResponse {
    let key = key_of(id);
    answer(state, request, "api/v1/groups/id/sources", move |state, query, asker| {
        let query = query::sources(query)?;
        let key = key.ok_or(Missing::Group)?;
        Ok::<_, Error>(FoundSources(state.gateway.browse_sources(&key, &query, asker)?))
    })
    .await
}

/// A page of sources.
struct FoundSources(SourcePage);

impl Serialize for FoundSources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let page = &self.0;
        let shown = SourceList { total: page.total, sources: Each(|| page.sources.iter().map(Source::of)) };
        shown.serialize(serializer)
    }
}

#[derive(Serialize)]
struct SourceList<L> {
    total: usize,
    sources: L,
}

#[derive(Serialize)]
struct Source<'a> {
    /// What tells it apart, as labels.
    labels: Vec<(String, String)>,
    pushed_at: Option<String>,
    pushes: u64,
    families: Vec<SourceFamily<'a>>,
}

/// What a source remembers of a family.
#[derive(Serialize)]
struct SourceFamily<'a> {
    name: &'a str,
    /// Whether the latest values are folded over the sources. Else they are the totals that the source pushed last.
    folded: bool,
    series: Vec<Series<'a>>,
}

impl<'a> Source<'a> {
    fn of(source: &'a GroupView) -> Source<'a> {
        let labels = pairs(source.labels.source().unwrap_or_default());
        Source {
            labels: labels.map(|pair| (pair.name().into_owned(), pair.value().into_owned())).collect(),
            pushed_at: time(source.times.pushed_at),
            pushes: source.times.pushes,
            families: source.families.iter().map(|family| SourceFamily::of(source, family)).collect(),
        }
    }
}

impl<'a> SourceFamily<'a> {
    fn of(source: &'a GroupView, family: &'a FamilyView) -> SourceFamily<'a> {
        let series = family.series().map(|series| Series::of(source_labels(source, series.block), series));
        SourceFamily { name: &family.name, folded: family.is_folded(), series: series.collect() }
    }
}
