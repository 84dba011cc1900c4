//! A checked push with its grouping labels, ready to be merged.
//!
//! Turning a body into a push is a pure function of the body, the grouping and the configuration.
//! A [`Push`] owns its data, so that it can wait in a queue.

mod checks;
mod created;
mod labels;
mod part;
mod prepare;
mod session;
pub mod value;

pub use created::absorb_created;
pub use part::PartValue;
pub use session::Session;
pub use value::{NativeAt, Span, Value};

use std::sync::OnceLock;

use crate::model::by_series::BySeries;
use crate::model::exemplar::{self, Place};
use crate::model::histogram::Bucket;
use crate::model::kind::Kind;
use crate::model::merge::{Merge, Temporality};
use crate::model::native_histogram::NativeHistogram;
use crate::model::refusal::describe;
use crate::model::summary::Quantile;

/// The names of the families that the gateway keeps for every group. Pushed families of these names
/// are ignored.
pub const GROUP_FAMILIES: [&str; 2] = ["push_time_seconds", "push_failure_time_seconds"];

/// A checked push.
#[derive(Debug)]
pub struct Push {
    families: Vec<Family>,
    /// Positions of the families, sorted by name, once a family was looked for: few pushes need that.
    by_name: OnceLock<Vec<u32>>,
    series: Vec<Series>,
    text: String,
    buckets: Vec<Bucket>,
    quantiles: Vec<Quantile>,
    natives: Vec<NativeHistogram>,
    /// By where in the text the label block of the series begins.
    exemplars: BySeries<Exemplar>,
    starts: BySeries<i64>,
    has_empty_labels: bool,
    /// When the process began that pushes, if the push says, in nanoseconds since the epoch.
    process_start: Option<i64>,
    session: Option<Session>,
}

/// An exemplar of a series.
#[derive(Clone, Copy, Debug)]
struct Exemplar {
    place: Place,
    block: Span,
    value: f64,
    at: Option<i64>,
}

/// One family of a push.
#[derive(Clone, Debug)]
pub struct Family {
    name: Span,
    /// The type.
    pub kind: Kind,
    /// How its values are merged with existing ones.
    pub merge: Merge,
    /// The same where a rule says it, and not the type.
    pub rule: Option<Merge>,
    /// What its values are.
    pub temporality: Temporality,
    /// Each of its series goes when no push has brought it for this long, in nanoseconds. `None`: series stay.
    pub series_ttl: Option<i64>,
    /// Whether it takes the place of the family that is there, with all its series, whatever the method says.
    pub is_whole: bool,
    help: Option<Span>,
    unit: Option<Span>,
    series: Span,
}

/// One series of a push.
#[derive(Debug)]
pub struct Series {
    block: Span,
    /// The pushed value.
    pub value: Value,
    /// Where in a text body the series begins, in bytes.
    pub offset: Option<u32>,
}

impl Push {
    /// The families, in the order of the body.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The family of this name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        let name_at = |position: u32| self.name(&self.families[position as usize]);
        let by_name = self.by_name.get_or_init(|| {
            let mut by_name: Vec<u32> = (0..self.families.len() as u32).collect();
            by_name.sort_unstable_by_key(|&position| name_at(position));
            by_name
        });
        let at = by_name.binary_search_by(|&position| name_at(position).cmp(name)).ok()?;
        self.families.get(by_name[at] as usize)
    }

    /// The name of a family.
    pub fn name(&self, family: &Family) -> &str {
        self.str(family.name)
    }

    /// The help text of a family, if the push gives one.
    pub fn help(&self, family: &Family) -> Option<&str> {
        family.help.map(|span| self.str(span))
    }

    /// The unit of a family, if the push gives one.
    pub fn unit(&self, family: &Family) -> Option<&str> {
        family.unit.map(|span| self.str(span))
    }

    /// How many classic buckets all series have together.
    pub fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// How many quantiles all series have together.
    pub fn quantile_count(&self) -> usize {
        self.quantiles.len()
    }

    /// How many exemplars all series have together.
    pub fn exemplar_count(&self) -> usize {
        self.exemplars.iter().len()
    }

    /// How much memory the native parts of all series take, in bytes.
    pub fn native_size(&self) -> usize {
        self.natives.iter().map(NativeHistogram::size).sum()
    }

    /// Whether any series has an exemplar.
    pub fn has_exemplars(&self) -> bool {
        !self.exemplars.is_empty()
    }

    /// What the push tells of the process that it comes from, if it adds values and tells when that began.
    pub fn session(&self) -> Option<Session> {
        self.session
    }

    /// Whether any series may have a label with an empty value, `instance` aside.
    pub fn has_empty_labels(&self) -> bool {
        self.has_empty_labels
    }

    /// The exemplars of a series.
    pub fn exemplars(&self, series: &Series) -> impl Iterator<Item = (Place, exemplar::Exemplar)> {
        let exemplar = |exemplar: &Exemplar| {
            let block = self.str(exemplar.block).into();
            (exemplar.place, exemplar::Exemplar { block, value: exemplar.value, at: exemplar.at })
        };
        self.exemplars.of(series.block.start).map(exemplar)
    }

    /// When a series began, in nanoseconds since the epoch, if the push says.
    pub fn start(&self, series: &Series) -> Option<i64> {
        self.starts.of(series.block.start).next().copied()
    }

    /// The series of a family.
    pub fn series(&self, family: &Family) -> &[Series] {
        family.series.of(&self.series)
    }

    /// The label block of a series.
    pub fn block(&self, series: &Series) -> &str {
        self.str(series.block)
    }

    /// The buckets of a histogram: ascending and cumulative where the family adds.
    pub fn buckets(&self, span: Span) -> &[Bucket] {
        span.of(&self.buckets)
    }

    /// The native part of a histogram.
    pub fn native(&self, at: Option<NativeAt>) -> Option<&NativeHistogram> {
        at?.of(&self.natives)
    }

    /// The quantiles of a summary.
    pub fn quantiles(&self, span: Span) -> &[Quantile] {
        span.of(&self.quantiles)
    }

    /// A description of a series for messages.
    pub fn describe(&self, family: &Family, series: &Series) -> String {
        describe(self.name(family), family.kind, self.block(series), &series.value)
    }

    /// How much memory the push takes, in bytes.
    pub fn size(&self) -> usize {
        self.text.capacity()
            + self.families.capacity() * size_of::<Family>()
            + self.series.capacity() * size_of::<Series>()
            + self.buckets.capacity() * size_of::<Bucket>()
            + self.quantiles.capacity() * size_of::<Quantile>()
            + self.exemplars.size()
            + self.starts.size()
            + self.native_size()
    }

    fn str(&self, span: Span) -> &str {
        span.text(&self.text)
    }
}
