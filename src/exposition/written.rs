//! What is written of a family and its series, in any format.

use crate::model::exemplar::Placed;
use crate::model::kind::Kind;
use crate::model::name::METRIC_NAME_BYTES;

/// The metadata of a family.
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
    /// Set if OpenMetrics can't show the type, because the family or its samples would get a name that another
    /// family has, or because the type does not allow some value. Only the samples with this suffix are written
    /// then, as a family of their own; see [`apart`](crate::exposition::openmetrics::apart).
    pub only: Option<&'static str>,
}

impl<'a> Head<'a> {
    /// A family with this name, type and help text.
    pub fn new(name: &'a str, kind: Kind, help: Option<&'a str>) -> Head<'a> {
        Head { name, kind, help, unit: None, only: None }
    }

    /// The unit, if the name `shown`, without the suffix of its type, ends with it. Otherwise Prometheus would
    /// refuse the whole scrape. Also leaves out units that are not valid names, because clients may push any text.
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
    /// The label block. Empty for a series without labels.
    pub block: &'a str,
    /// Whether any of its names needs quotes.
    pub has_quoted_names: bool,
    /// The number of labels if all are simple; see [`simple_labels`](crate::model::labels::simple_labels).
    pub simple_labels: u16,
}

impl<'a> Labels<'a> {
    /// The labels of a block whose names need no quotes.
    pub fn unquoted(block: &'a str) -> Labels<'a> {
        Labels { block, has_quoted_names: false, simple_labels: 0 }
    }
}

/// Details of a series beside its value. Not every format shows them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// Its start time, in nanoseconds since the epoch.
    pub start: Option<i64>,
    /// Its start time, if it was pushed as a series of its own.
    pub created: Option<f64>,
    /// Its exemplars.
    pub exemplars: &'a [(u32, Placed)],
}

/// Called with the output so far while a series with many lines is written. Takes the output away if it is large.
pub type Full<'a> = &'a mut dyn FnMut(&mut Vec<u8>);
