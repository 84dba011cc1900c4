//! Names that only OpenMetrics can't have side by side.
//!
//! There a family has a name of its own, to which its type adds suffixes, and no other family may be
//! called like one of its samples (OpenMetrics 1.0, "Suffixes"). In the other formats, and so in a store,
//! a gauge `x` can stand beside a counter `x_total`, and does where clients push `x_created` as a gauge.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::exposition::openmetrics;
use crate::gateway::scrape::Source;
use crate::model::kind::{Form, Kind};
use crate::store::piece::RowValue;
use crate::store::snapshot::SnapshotFamily;

/// When the series of a family began, in seconds since the epoch, by label block.
type Created<'a> = HashMap<&'a str, f64, RandomState>;

/// What is shown in another way because of such names.
#[derive(Debug, Default)]
pub(super) struct Clashes<'a> {
    /// Families that are shown without their type.
    plain: HashSet<&'a str, RandomState>,
    /// Start times that were pushed as series, by the name of the family that they belong to.
    created: HashMap<&'a str, Created<'a>, RandomState>,
    /// The families that these start times are in.
    folded: HashSet<&'a str, RandomState>,
}

impl<'a> Clashes<'a> {
    /// What clashes among these families.
    pub(super) fn among(sources: &'a [Source<'a>]) -> Clashes<'a> {
        let all: HashMap<&str, &Source<'_>, RandomState> =
            sources.iter().map(|source| (source.name(), source)).collect();
        let kind = |name: &str| all.get(name).map(|source| source.kind());
        let mut clashes = Clashes::default();
        for source in sources {
            let name = source.name();
            let form = openmetrics::form(name, source.kind());
            if form.kind.has_start()
                && let Some(Source::Pushed(family)) = all.get(&*format!("{}_created", form.name))
            {
                if family.kind.form() == Form::Number {
                    clashes.fold(name, family);
                } else {
                    clashes.plain.insert(name);
                }
            }
            let has_own = |suffix: &str| kind(&format!("{name}{suffix}")).is_some();
            if form.kind == Kind::GaugeHistogram && (has_own("_gcount") || has_own("_gsum")) {
                clashes.plain.insert(name);
            }
            let is_taken = || {
                kind(form.name).is_some()
                    || (form.kind == Kind::Info
                        && kind(&format!("{}_total", form.name)) == Some(Kind::Counter))
                    || is_sample_name(form.name, kind)
            };
            if form.name != name && is_taken() {
                clashes.plain.insert(name);
            }
        }
        clashes
    }

    fn fold(&mut self, name: &'a str, created: &'a SnapshotFamily) {
        let times = self.created.entry(name).or_default();
        for (piece, rows) in created.pieces() {
            for row in 0..rows {
                if let RowValue::Number(seconds) = piece.value(row) {
                    times.insert(piece.block(row), seconds);
                }
            }
        }
        self.folded.insert(created.name());
    }

    /// Whether a family is shown without its type.
    pub(super) fn is_plain(&self, name: &str) -> bool {
        self.plain.contains(name)
    }

    /// Whether a family is shown within another one.
    pub(super) fn is_folded(&self, name: &str) -> bool {
        self.folded.contains(name)
    }

    /// The start times that were pushed for a family.
    pub(super) fn created_of(&self, name: &str) -> Option<&Created<'a>> {
        self.created.get(name)
    }
}

/// Whether this is the name of samples of a histogram or summary.
fn is_sample_name(name: &str, kind: impl Fn(&str) -> Option<Kind>) -> bool {
    name.rfind('_').is_some_and(|at| {
        let (base, suffix) = name.split_at(at);
        kind(base).is_some_and(|kind| kind.sample_suffixes().contains(&suffix))
    })
}
