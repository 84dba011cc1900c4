//! Names and values that only OpenMetrics can't show.
//!
//! In OpenMetrics a family has a name of its own, to which its type adds suffixes, and no other family may have the
//! name of one of its samples (OpenMetrics 1.0, "Suffixes"). In the other formats, and so in the store, a gauge `x`
//! may exist beside a counter `x_total`. This happens if clients push `x_created` as a gauge.
//!
//! OpenMetrics also allows fewer values for a type: no negative sum, no quantile of 1.5. One family that breaks
//! such a rule makes strict parsers refuse the whole scrape. The gateway shows it without its type; the samples
//! stay the same.
//! are.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::exposition::openmetrics;
use crate::gateway::source::Source;
use crate::model::escaping::Escaping;
use crate::model::kind::{Form, Kind};
use crate::model::time::can_be_start;
use crate::store::piece::{Piece, RowValue, Rows};

/// When the series of a family began, in seconds since the epoch, by label block.
type Created<'a> = HashMap<&'a str, f64, RandomState>;

/// The families that OpenMetrics must show differently.
#[derive(Debug, Default)]
pub(super) struct Clashes<'a> {
    /// Families that are shown without their type, with the suffixes of their samples: see
    /// [`openmetrics::apart`].
    plain: HashMap<&'a str, &'static [&'static str], RandomState>,
    /// Start times that were pushed as series, by the name of the family that they belong to.
    created: HashMap<&'a str, Created<'a>, RandomState>,
    /// The families that hold these start times. They are not shown on their own.
    folded: HashSet<&'a str, RandomState>,
}

impl<'a> Clashes<'a> {
    /// Finds the clashes among these families, which are sorted by name. `escaping` gives the names that are shown.
    pub(super) fn among(sources: &'a [Source<'a>], escaping: Escaping) -> Clashes<'a> {
        let shown = Shown::of(sources, escaping);
        let mut clashes = Clashes::default();
        for (name, sources) in &shown.families {
            let form = openmetrics::form(name, sources[0].kind());
            let has_start = form.kind.has_start();
            let created = has_start.then(|| shown.families.get(&*format!("{}_created", form.name))).flatten();
            let is_clash = shown.is_clash(name, form);
            if is_clash
                || !sources.iter().all(|source| has_values_of(form.kind, source))
                || created.is_some_and(|created| !clashes.fold(sources, created))
            {
                clashes.plain.insert(sources[0].name(), openmetrics::apart(form.kind, is_clash));
            }
        }
        clashes
    }

    /// Shows the start times of a family within it, if `created` has nothing else. `created` is the family with the
    /// name of these start times.
    fn fold(&mut self, sources: &[Source<'a>], created: &[Source<'a>]) -> bool {
        let ([Source::Pushed(family)], [Source::Pushed(created)]) = (sources, created) else { return false };
        let rows = created.pieces().flat_map(|piece| (0..piece.len()).map(move |row| (piece, row)));
        let time = |(piece, row): (&'a Piece, usize)| match piece.value(row) {
            RowValue::Number(seconds) if can_be_start(seconds) => Some((piece.block(row), seconds)),
            _ => None,
        };
        let Some(times) = rows.map(time).collect::<Option<Created<'a>>>() else { return false };
        let known = family.blocks().filter(|block| times.contains_key(block)).count();
        if known < times.len() {
            return false;
        }
        self.created.insert(family.name(), times);
        self.folded.insert(created.name());
        true
    }

    /// The suffixes of the samples of a family that is shown without its type.
    pub(super) fn suffixes_of(&self, name: &str) -> Option<&'static [&'static str]> {
        self.plain.get(name).copied()
    }

    /// Whether a family is shown only as start times of another one.
    pub(super) fn is_folded(&self, name: &str) -> bool {
        self.folded.contains(name)
    }

    /// The start times that were pushed for a family.
    pub(super) fn created_of(&self, name: &str) -> Option<&Created<'a>> {
        self.created.get(name)
    }
}

/// Whether this type allows the values of all series of a family.
fn has_values_of(kind: Kind, source: &Source<'_>) -> bool {
    let Source::Pushed(family) = source else { return true };
    if matches!(kind, Kind::Gauge | Kind::Untyped) {
        return true;
    }
    family.pieces().all(|piece| match piece.rows() {
        Rows::Numbers(rows) => rows.iter().all(|row| openmetrics::can_be_number(kind, row.value.value())),
        Rows::Summaries(rows) => rows.iter().all(|row| openmetrics::can_be_summary(&row.value)),
        Rows::Histograms(rows) => rows.iter().all(|row| openmetrics::can_be_histogram(kind, &row.value)),
    })
}

/// The families by the names under which they are shown.
struct Shown<'a> {
    families: HashMap<Cow<'a, str>, &'a [Source<'a>], RandomState>,
}

impl<'a> Shown<'a> {
    fn of(sources: &'a [Source<'a>], escaping: Escaping) -> Shown<'a> {
        let families = sources.chunk_by(|a, b| a.name() == b.name());
        Shown { families: families.map(|family| (escaping.metric_name(family[0].name()), family)).collect() }
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        self.families.get(name).map(|sources| sources[0].kind())
    }

    /// Whether a family with this name and form would have the same name as another family or one of its samples.
    fn is_clash(&self, name: &str, form: openmetrics::Form<'_>) -> bool {
        let has_own = |suffix: &str| self.kind(&format!("{name}{suffix}")).is_some();
        if form.kind == Kind::GaugeHistogram && (has_own("_gcount") || has_own("_gsum")) {
            return true;
        }
        let is_taken = || {
            self.kind(form.name).is_some()
                || (form.kind == Kind::Info
                    && self.kind(&format!("{}_total", form.name)) == Some(Kind::Counter))
                || self.is_sample_name(form.name)
        };
        form.name != name && is_taken()
    }

    /// Whether another family has samples of this name.
    fn is_sample_name(&self, name: &str) -> bool {
        let Some((base, suffix)) = name.rfind('_').map(|at| name.split_at(at)) else { return false };
        let kind = self.kind(base);
        let has = |kind: Kind| match suffix {
            "_created" => kind.has_start() && kind.form() != Form::Number,
            "_gcount" | "_gsum" => kind == Kind::GaugeHistogram,
            _ => kind.sample_suffixes().contains(&suffix),
        };
        kind.is_some_and(has)
            || (suffix == "_created" && self.kind(&format!("{base}_total")) == Some(Kind::Counter))
    }
}
