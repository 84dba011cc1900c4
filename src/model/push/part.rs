//! A part of a push as a push of its own: some of its series, some with other values.

use std::sync::OnceLock;

use super::{Family, NativeAt, Push, Series, Span, Value};
use crate::model::by_series::BySeries;
use crate::model::count::Count;
use crate::model::histogram::Increased;
use crate::model::merge::Temporality;
use crate::model::native_histogram::NativeHistogram;

/// The value of a series in a part of a push.
#[derive(Clone, Debug)]
pub enum PartValue {
    /// That of the push.
    Same,
    /// Another number.
    Number(f64),
    /// Another sum and count, with the quantiles of the push.
    Summary(f64, Count),
    /// What a histogram has counted of late.
    Histogram(Increased),
}

impl Push {
    /// Whether any values may be running totals.
    pub fn has_totals(&self) -> bool {
        self.families.iter().any(|family| family.temporality != Temporality::Delta)
    }

    /// When the process began that counts a series, as far as the push says, in nanoseconds since the epoch.
    pub fn session_start(&self, series: &Series) -> Option<i64> {
        self.start(series).or(self.process_start)
    }

    /// The part of the families that `family` takes, with the values that `value` gives for their series; none for a
    /// series that is not in it. A family that loses all its series is not in it either. It tells nothing of the process that it comes from.
    pub fn part(
        &self,
        mut family: impl FnMut(&Family) -> bool,
        mut value: impl FnMut(&Family, &Series) -> Option<PartValue>,
    ) -> Push {
        let mut part = Part {
            families: Vec::with_capacity(self.families.len()),
            series: Vec::with_capacity(self.series.len()),
            buckets: self.buckets.clone(),
            natives: self.natives.clone(),
        };
        for taken in self.families.iter().filter(|taken| family(taken)) {
            let start = part.series.len() as u32;
            for one in self.series(taken) {
                if let Some(value) = value(taken, one) {
                    part.add(one, value);
                }
            }
            let series = Span { start, end: part.series.len() as u32 };
            if part.series.len() as u32 == start && !self.series(taken).is_empty() {
                continue;
            }
            part.families.push(Family { series, ..taken.clone() });
        }
        let Part { families, series, buckets, natives, .. } = part;
        Push {
            families,
            by_name: OnceLock::new(),
            series,
            text: self.text.clone(),
            buckets,
            quantiles: self.quantiles.clone(),
            natives,
            exemplars: self.exemplars.clone(),
            starts: self.starts.clone(),
            has_empty_labels: self.has_empty_labels,
            process_start: self.process_start,
            session: None,
        }
    }

    /// The same without exemplars.
    pub fn without_exemplars(self) -> Push {
        Push { exemplars: BySeries::default(), ..self }
    }
}

struct Part {
    families: Vec<Family>,
    series: Vec<Series>,
    buckets: Vec<crate::model::histogram::Bucket>,
    natives: Vec<NativeHistogram>,
}

impl Part {
    fn add(&mut self, one: &Series, value: PartValue) {
        let value = match (value, one.value) {
            (PartValue::Number(number), _) => Value::Number(number),
            (PartValue::Summary(sum, count), Value::Summary { quantiles, .. }) => {
                Value::Summary { sum, count, quantiles }
            }
            (
                PartValue::Histogram(Increased { buckets, native, sum, total }),
                Value::Histogram { policy, .. },
            ) => {
                let start = self.buckets.len() as u32;
                self.buckets.extend(buckets);
                let buckets = Span { start, end: self.buckets.len() as u32 };
                let native = native.map(|native| NativeAt::push(&mut self.natives, native));
                Value::Histogram { sum, total, buckets, native, policy }
            }
            _ => one.value,
        };
        self.series.push(Series { block: one.block, value, offset: one.offset });
    }
}
