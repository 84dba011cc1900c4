//! The content of a request body, before it is checked and gets its grouping labels.
//!
//! Every parser produces this form. It borrows names, labels and help texts from the body, or from an arena if
//! their form in the body differs. Everything else is in flat vectors, so that parsing allocates per push and not
//! per sample. The samples of a family and the buckets of a histogram may be scattered over the body, so both are
//! linked lists within their vectors.

mod clear_mode;
mod limits;
mod rearrange;

use crate::model::by_series::BySeries;
use crate::model::count::Count;
use crate::model::exemplar::Place;
use crate::model::histogram::Bucket;
use crate::model::kind::Kind;
use crate::model::labels::EmptyLabels;
use crate::model::limits::{Limit, PushLimits, TooMuch};
use crate::model::name::is_unusable_label_name;
use crate::model::native_histogram::Encoded;
#[cfg(test)]
use crate::model::native_histogram::{EncodedBuckets, Span};
use crate::model::summary::Quantile;

pub use clear_mode::ClearMode;

/// A parsed body.
#[derive(Debug)]
pub struct Body<'a> {
    /// The families in the order in which the body mentions them first.
    pub families: Vec<Family<'a>>,
    series: Vec<Linked<Series>>,
    composites: Vec<Composite>,
    labels: Vec<Label<'a>>,
    buckets: Vec<Linked<Bucket>>,
    quantiles: Vec<Linked<Quantile>>,
    natives: Vec<Encoded>,
    exemplars: BySeries<Exemplar>,
    starts: BySeries<i64>,
    samples: usize,
    limits: PushLimits,
    empty_labels: EmptyLabels,
    /// Whether a label with an empty value has been added since any were dropped.
    has_empty_labels: bool,
    /// Whether any label was dropped.
    has_dropped_labels: bool,
}

/// One family of a body.
#[derive(Debug)]
pub struct Family<'a> {
    /// The metric name.
    pub name: &'a str,
    /// The name under which it was pushed, which rules decide on; relabelling may have changed it.
    pub pushed_name: &'a str,
    /// The declared type, if the body declares one.
    pub kind: Option<Kind>,
    /// The help text, if the body gives one.
    pub help: Option<&'a str>,
    /// The unit, if the body gives one.
    pub unit: Option<&'a str>,
    /// How it is merged, if its series say so; see [`Body::take_clear_modes`].
    pub clear_mode: Option<ClearMode>,
    /// Its series, in the order of the body.
    pub series: Chain,
}

/// One label of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label<'a> {
    /// The label name.
    pub name: &'a str,
    /// The value, escaped as in the text format.
    pub escaped_value: &'a str,
}

impl<'a> Family<'a> {
    /// A family without series.
    pub fn new(name: &'a str) -> Family<'a> {
        Family {
            name,
            pushed_name: name,
            kind: None,
            help: None,
            unit: None,
            clear_mode: None,
            series: Chain::default(),
        }
    }

    /// The same without its series.
    #[must_use]
    pub fn without_series(&self) -> Family<'a> {
        Family { series: Chain::default(), ..*self }
    }
}

/// An exemplar of a series.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar {
    /// The part of the series that it belongs to.
    pub place: Place,
    labels: (u32, u32),
    /// The observed value.
    pub value: f64,
    /// When it was observed, in nanoseconds since the epoch.
    pub at: Option<i64>,
}

/// One series of a family.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    family: u32,
    labels: (u32, u32),
    /// The pushed value.
    pub value: Value,
    /// The offset of its first sample in a text body, in bytes.
    pub offset: Option<u32>,
    /// Whether any of its samples has a timestamp.
    pub has_timestamp: bool,
}

/// The pushed value of one series.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A value that does not fit the type of its family.
    Missing,
    /// A counter, gauge or untyped sample.
    Number(f64),
    /// A summary or histogram; see [`Body::composite`].
    Composite(u32),
}

/// The parts of a summary or histogram in a body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Composite {
    /// The `_sum` sample.
    pub sum: Option<f64>,
    /// The `_count` sample.
    pub count: Option<Count>,
    /// Whether its sum or count was given more than once, with labels that differ only in empty values.
    pub is_repeated: bool,
    buckets: Chain,
    quantiles: Chain,
    native: Option<u32>,
}

impl Composite {
    /// How many buckets there are.
    pub fn bucket_count(&self) -> usize {
        self.buckets.len()
    }
}

/// The ends of a linked list in one of the vectors of a [`Body`].
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    first: u32,
    last: u32,
    len: u32,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { first: END, last: END, len: 0 }
    }
}

impl Chain {
    /// How many items the list has.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the list has no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

const END: u32 = u32::MAX;

impl Series {
    /// The position of its family in [`Body::families`].
    pub fn family(&self) -> usize {
        self.family as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Linked<T> {
    item: T,
    next: u32,
}

fn append<T>(items: &mut Vec<Linked<T>>, chain: &mut Chain, item: T) -> u32 {
    let at = items.len() as u32;
    items.push(Linked { item, next: END });
    match items.get_mut(chain.last as usize) {
        Some(last) if !chain.is_empty() => last.next = at,
        _ => chain.first = at,
    }
    chain.last = at;
    chain.len += 1;
    at
}

fn follow<T>(items: &[Linked<T>], chain: Chain) -> impl Iterator<Item = (u32, &T)> {
    let mut at = chain.first;
    std::iter::from_fn(move || {
        let linked = items.get(at as usize)?;
        let here = std::mem::replace(&mut at, linked.next);
        Some((here, &linked.item))
    })
}

impl<'a> Body<'a> {
    /// An empty body with room for this many series and labels.
    pub fn with_capacity(series: usize, labels: usize) -> Body<'a> {
        Body {
            families: Vec::with_capacity(8),
            series: Vec::with_capacity(series),
            composites: Vec::new(),
            labels: Vec::with_capacity(labels),
            buckets: Vec::new(),
            quantiles: Vec::new(),
            natives: Vec::new(),
            exemplars: BySeries::default(),
            starts: BySeries::default(),
            samples: 0,
            limits: PushLimits::NONE,
            empty_labels: EmptyLabels::Kept,
            has_empty_labels: false,
            has_dropped_labels: false,
        }
    }

    /// Sets how labels with empty values are treated.
    pub fn with_empty_labels(self, empty_labels: EmptyLabels) -> Body<'a> {
        Body { empty_labels, ..self }
    }

    /// How many series the body has.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// The series of a family.
    pub fn series_of(&self, family: &Family<'a>) -> impl Iterator<Item = &Series> {
        self.handles_of(family).map(|(_, series)| series)
    }

    /// The series of a family with their handles.
    pub fn handles_of(&self, family: &Family<'a>) -> impl Iterator<Item = (u32, &Series)> {
        follow(&self.series, family.series)
    }

    /// How much memory the body takes, in bytes.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        let native = |encoded: &Encoded| {
            let of = |side: &EncodedBuckets| {
                side.spans.capacity() * size_of::<Span>()
                    + (side.deltas.capacity() + side.counts.capacity()) * 8
            };
            size_of::<Encoded>() + of(&encoded.negative) + of(&encoded.positive)
        };
        self.families.capacity() * size_of::<Family<'_>>()
            + self.series.capacity() * size_of::<Linked<Series>>()
            + self.composites.capacity() * size_of::<Composite>()
            + self.labels.capacity() * size_of::<Label<'_>>()
            + self.buckets.capacity() * size_of::<Linked<Bucket>>()
            + self.quantiles.capacity() * size_of::<Linked<Quantile>>()
            + self.natives.iter().map(native).sum::<usize>()
            + self.exemplars.size()
            + self.starts.size()
    }

    /// How many bytes the names and values of the labels of all series and exemplars have.
    pub fn label_bytes(&self) -> usize {
        self.labels.iter().map(|label| label.name.len() + label.escaped_value.len()).sum()
    }

    /// How many labels all series and exemplars have.
    pub fn label_count(&self) -> usize {
        self.labels.len()
    }

    /// Ends the body: nothing more will be added.
    pub fn finish(&mut self) {
        self.exemplars.sort();
        self.starts.sort();
    }

    /// Whether any series has exemplars.
    pub fn has_exemplars(&self) -> bool {
        !self.exemplars.is_empty()
    }

    /// The exemplars of the series with this handle.
    pub fn exemplars_of(&self, handle: u32) -> impl Iterator<Item = &Exemplar> {
        self.exemplars.of(handle)
    }

    /// The labels of an exemplar, in the order of the body.
    pub fn exemplar_labels(&self, exemplar: &Exemplar) -> &[Label<'a>] {
        &self.labels[exemplar.labels.0 as usize..exemplar.labels.1 as usize]
    }

    /// When the series with this handle began, in nanoseconds since the epoch, if the body says.
    pub fn start_of(&self, handle: u32) -> Option<i64> {
        self.starts.of(handle).last().copied()
    }

    /// The labels of a series, in the order of the body.
    pub fn labels_of(&self, series: &Series) -> &[Label<'a>] {
        &self.labels[series.labels.0 as usize..series.labels.1 as usize]
    }

    /// The parts of a composite value.
    pub fn composite(&self, number: u32) -> &Composite {
        &self.composites[number as usize]
    }

    /// The buckets of a histogram.
    pub fn buckets_of(&self, composite: &Composite) -> impl Iterator<Item = Bucket> + '_ {
        follow(&self.buckets, composite.buckets).map(|(_, bucket)| *bucket)
    }

    /// The native part of a histogram.
    pub fn native_of(&self, composite: &Composite) -> Option<&Encoded> {
        self.natives.get(composite.native? as usize)
    }

    /// The quantiles of a summary.
    pub fn quantiles_of(&self, composite: &Composite) -> impl Iterator<Item = Quantile> + '_ {
        follow(&self.quantiles, composite.quantiles).map(|(_, quantile)| *quantile)
    }

    /// Adds a label. All labels added since [`Body::label_mark`] belong to one series.
    ///
    /// # Errors
    ///
    /// If there are too many.
    #[inline]
    pub fn push_label(&mut self, label: Label<'a>) -> Result<(), TooMuch> {
        self.has_empty_labels |= label.escaped_value.is_empty();
        self.push_exemplar_label(label)
    }

    /// Adds a label of an exemplar, where an empty value counts as any other.
    ///
    /// # Errors
    ///
    /// If there are too many.
    #[inline]
    pub fn push_exemplar_label(&mut self, label: Label<'a>) -> Result<(), TooMuch> {
        if !self.has_room(1) {
            return Err(TooMuch(Limit::LabelPairsPerPush));
        }
        self.labels.push(label);
        Ok(())
    }

    /// Whether this many labels can be added.
    #[inline]
    pub fn has_room(&self, labels: usize) -> bool {
        self.labels.len() + labels <= self.limits.label_pairs
    }

    /// Whether labels that count as absent were added. [`Body::drop_empty_labels`] has to drop them.
    #[inline]
    pub fn has_labels_to_drop(&self) -> bool {
        self.has_empty_labels && self.empty_labels == EmptyLabels::Absent
    }

    /// Whether any label may have an empty value.
    pub fn has_empty_labels(&self) -> bool {
        self.has_empty_labels
    }

    /// Whether [`Body::drop_empty_labels`] has dropped any.
    pub fn has_dropped_labels(&self) -> bool {
        self.has_dropped_labels
    }

    /// Drops the labels since `mark` that count as absent. They have been checked. Labels with names that no label
    /// can have stay, so that they are refused.
    #[cold]
    pub fn drop_empty_labels(&mut self, mark: usize) {
        self.has_empty_labels = false;
        self.has_dropped_labels = true;
        let mut at = 0;
        let (_, labels) = self.labels.split_at_mut(mark);
        for read in 0..labels.len() {
            let label = labels[read];
            if !label.escaped_value.is_empty() || is_unusable_label_name(label.name) {
                labels[at] = label;
                at += 1;
            }
        }
        self.labels.truncate(mark + at);
    }

    /// The position of the next label.
    pub fn label_mark(&self) -> usize {
        self.labels.len()
    }

    /// The labels added since `mark`.
    pub fn labels_since(&self, mark: usize) -> &[Label<'a>] {
        &self.labels[mark..]
    }

    /// Removes the labels added since `mark`.
    pub fn drop_labels(&mut self, mark: usize) {
        self.labels.truncate(mark);
    }

    /// Adds a series to the family at `family`, with the labels added since `mark`. Returns its
    /// handle.
    pub fn push_series(&mut self, family: usize, mark: usize, value: Value, offset: Option<u32>) -> u32 {
        let series = Series {
            family: family as u32,
            labels: (mark as u32, self.labels.len() as u32),
            value,
            offset,
            has_timestamp: false,
        };
        append(&mut self.series, &mut self.families[family].series, series)
    }

    /// The series with this handle.
    pub fn series(&self, handle: u32) -> &Series {
        &self.series[handle as usize].item
    }

    /// The series with this handle, for changes.
    pub fn series_mut(&mut self, handle: u32) -> &mut Series {
        &mut self.series[handle as usize].item
    }

    /// Adds a summary or histogram without any of its parts. Returns its handle.
    pub fn push_composite(&mut self, family: usize, mark: usize, offset: Option<u32>) -> u32 {
        let number = self.composites.len() as u32;
        if number == 0 {
            // A histogram has about a dozen buckets, and a body with one histogram often has several.
            self.buckets.reserve(32);
        }
        self.composites.push(Composite::default());
        self.push_series(family, mark, Value::Composite(number), offset)
    }

    /// The parts of the summary or histogram with this handle, for changes.
    pub fn composite_mut(&mut self, handle: u32) -> Option<&mut Composite> {
        match self.series(handle).value {
            Value::Composite(number) => self.composites.get_mut(number as usize),
            Value::Missing | Value::Number(_) => None,
        }
    }

    /// Adds a bucket to the histogram with this handle.
    pub fn push_bucket(&mut self, handle: u32, bucket: Bucket) {
        if let Value::Composite(number) = self.series(handle).value {
            append(&mut self.buckets, &mut self.composites[number as usize].buckets, bucket);
        }
    }

    /// Adds a quantile to the summary with this handle.
    pub fn push_quantile(&mut self, handle: u32, quantile: Quantile) {
        if let Value::Composite(number) = self.series(handle).value {
            append(&mut self.quantiles, &mut self.composites[number as usize].quantiles, quantile);
        }
    }

    /// Adds an exemplar to the series with this handle, with the labels added since `mark`.
    pub fn push_exemplar(&mut self, handle: u32, place: Place, mark: usize, value: f64, at: Option<i64>) {
        let labels = (mark as u32, self.labels.len() as u32);
        self.exemplars.push(handle, Exemplar { place, labels, value, at });
    }

    /// Sets when the series with this handle began, in nanoseconds since the epoch.
    pub fn push_start(&mut self, handle: u32, nanos: i64) {
        self.starts.push(handle, nanos);
    }

    /// Sets the native part of the histogram with this handle.
    pub fn push_native(&mut self, handle: u32, native: Encoded) {
        let at = self.natives.len() as u32;
        if let Some(composite) = self.composite_mut(handle) {
            composite.native = Some(at);
            self.natives.push(native);
        }
    }
}
