//! What is written of a family and its series, whatever the format.

use crate::model::exemplar::Placed;
use crate::model::kind::Kind;
use crate::model::name::METRIC_NAME_BYTES;

/// What comes before the samples of a family.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The metric name.
    pub name: &'a str,
    /// The type.
    pub kind: Kind,
    /// The help text.
    pub help: Option<&'a str>,
    /// The unit.
    pub unit: Option<&'a str>,
    /// Set where OpenMetrics can't show the type, because that would give samples or the family a name that
    /// another family has, or because no series of the type has such values. Only the samples with this suffix
    /// are written then, as a family of their own; see [`apart`](crate::exposition::openmetrics::apart).
    pub only: Option<&'static str>,
}

impl<'a> Head<'a> {
    /// A family with this name, type and help text.
    pub fn new(name: &'a str, kind: Kind, help: Option<&'a str>) -> Head<'a> {
        Head { name, kind, help, unit: None, only: None }
    }

    /// The unit where the name `shown`, without a suffix that the type adds, ends in it; Prometheus refuses a
    /// whole scrape for another one. Clients may push what is no name; a line can't hold that.
    pub fn unit_in(&self, shown: &str) -> Option<&'a str> {
        let is_unit = |unit: &str| unit.bytes().all(|byte| METRIC_NAME_BYTES[usize::from(byte)]);
        let ends_in =
            |unit: &str| shown.strip_suffix(unit).is_some_and(|base| base.len() > 1 && base.ends_with('_'));
        self.unit.filter(|unit| !unit.is_empty() && is_unit(unit) && ends_in(unit))
    }
}

/// The labels of a series.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// The label block; empty for a series without labels.
    pub block: &'a str,
    /// Whether any of its names needs quotes.
    pub has_quoted_names: bool,
    /// How many labels there are, where they are simple ones: see
    /// [`simple_labels`](crate::model::labels::simple_labels).
    pub simple_labels: u16,
}

impl<'a> Labels<'a> {
    /// The labels of a block whose names need no quotes.
    pub fn unquoted(block: &'a str) -> Labels<'a> {
        Labels { block, has_quoted_names: false, simple_labels: 0 }
    }
}

/// What is known of a series beside its value. Not every format shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// When it began, in nanoseconds since the epoch.
    pub start: Option<i64>,
    /// When it began, as a series beside it says that was pushed.
    pub created: Option<f64>,
    /// Its exemplars.
    pub exemplars: &'a [(u32, Placed)],
}

/// Called with what was written so far between the lines of a series that may have many: takes it away if it is much.
pub type Full<'a> = &'a mut dyn FnMut(&mut Vec<u8>);
