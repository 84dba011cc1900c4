//! Exemplars: single observations that stand for many, such as one request with the id of its trace.

use std::sync::Arc;

use crate::model::by_series::BySeries;

/// How many exemplars a native histogram keeps: as many as client_golang keeps by default.
pub const MAX_NATIVE: usize = 10;

/// How many characters the names and values of an exemplar's labels may have together (OpenMetrics 1.0,
/// "Exemplars").
pub const MAX_LABEL_CHARS: usize = 128;

/// One observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its labels, as a label block.
    pub block: Box<str>,
    /// The observed value.
    pub value: f64,
    /// When it was observed, in nanoseconds since the epoch.
    pub at: Option<i64>,
}

/// What of a series an exemplar stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// The value of a counter.
    Value,
    /// The bucket of a classic histogram with this upper bound.
    Bucket(f64),
    /// A native histogram.
    Native,
}

/// An exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// What it stands for.
    pub place: Place,
    /// The exemplar.
    pub exemplar: Arc<Exemplar>,
}

/// The exemplars of some series.
pub type Exemplars = BySeries<Placed>;

impl Exemplars {
    /// Adds an exemplar. A value or bucket keeps its newest, a native histogram the [`MAX_NATIVE`] newest.
    pub fn add(&mut self, series: u32, placed: Placed) {
        let at = placed.exemplar.at;
        let same = |other: &Placed| other.place == placed.place;
        if placed.place != Place::Native {
            let there = self.of_mut(series).find(|other| same(other));
            if let Some(other) = there {
                if other.exemplar.at <= at {
                    *other = placed;
                }
                return;
            }
            return self.insert(series, placed);
        }
        if self.of(series).filter(|other| same(other)).count() >= MAX_NATIVE {
            let native = self.of(series).enumerate().filter(|(_, other)| same(other));
            let Some((oldest, other)) = native.min_by_key(|(_, other)| other.exemplar.at) else { return };
            if other.exemplar.at > at {
                return;
            }
            self.remove(series, oldest);
        }
        self.insert(series, placed);
    }
}

/// The exemplar of a counter, among those of its series.
pub fn of_value(exemplars: &[(u32, Placed)]) -> Option<&Exemplar> {
    let placed = exemplars.iter().find(|(_, placed)| placed.place == Place::Value);
    placed.map(|(_, placed)| &*placed.exemplar)
}

/// The newest exemplar that falls into the bucket from `below` to `bound`, among those of its series.
///
/// The bucket it was pushed with may be a wider one: several pushes may have had different bounds.
pub fn in_bucket(exemplars: &[(u32, Placed)], below: Option<f64>, bound: f64) -> Option<&Exemplar> {
    let falls = |placed: &Placed| match placed.place {
        Place::Bucket(pushed) => {
            let value = placed.exemplar.value.min(pushed);
            value <= bound && below.is_none_or(|below| value > below)
        }
        Place::Value | Place::Native => false,
    };
    let all = exemplars.iter().filter(|(_, placed)| falls(placed)).map(|(_, placed)| &*placed.exemplar);
    all.max_by_key(|exemplar| exemplar.at)
}

/// The exemplars of a native histogram, among those of its series.
pub fn of_native(exemplars: &[(u32, Placed)]) -> impl Iterator<Item = &Exemplar> {
    let native = exemplars.iter().filter(|(_, placed)| placed.place == Place::Native);
    native.map(|(_, placed)| &*placed.exemplar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(place: Place, value: f64, at: i64) -> Placed {
        Placed { place, exemplar: Arc::new(Exemplar { block: "{}".into(), value, at: Some(at) }) }
    }

    fn values(exemplars: &Exemplars, series: u32) -> Vec<f64> {
        exemplars.of(series).map(|placed| placed.exemplar.value).collect()
    }

    #[test]
    fn each_bucket_keeps_its_newest() {
        let mut all = Exemplars::default();
        all.add(1, placed(Place::Bucket(1.0), 0.5, 10));
        all.add(0, placed(Place::Value, 7.0, 10));
        all.add(1, placed(Place::Bucket(2.0), 1.5, 10));
        all.add(1, placed(Place::Bucket(1.0), 0.6, 11));
        all.add(1, placed(Place::Bucket(2.0), 1.6, 9));
        assert_eq!((values(&all, 0), values(&all, 1)), (vec![7.0], vec![0.6, 1.5]));
        all.clear(1);
        assert_eq!((values(&all, 0), values(&all, 1), all.iter().len()), (vec![7.0], vec![], 1));
    }

    #[test]
    fn a_native_histogram_keeps_the_newest_few() {
        let mut all = Exemplars::default();
        all.add(0, placed(Place::Bucket(1.0), -1.0, 0));
        for at in 0..12 {
            all.add(0, placed(Place::Native, f64::from(at), i64::from(at)));
        }
        all.add(0, placed(Place::Native, 99.0, 1));
        all.add(1, placed(Place::Native, 50.0, 1));
        let expected: Vec<f64> = [-1.0].into_iter().chain((2..12).map(f64::from)).collect();
        assert_eq!((values(&all, 0), values(&all, 1)), (expected, vec![50.0]));
    }
}
