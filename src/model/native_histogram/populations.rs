//! Populations as integers or floats.

use std::borrow::Cow;

use super::sparse::Sparse;

/// Populations. They are integers until a float is added.
#[derive(Clone, Debug, PartialEq)]
pub enum Populations {
    /// Integers with a total below 2^63, the limit of the format.
    Int(Sparse<u64>),
    /// Floats.
    Float(Sparse<f64>),
}

impl Populations {
    pub(super) fn to_float(&self) -> Cow<'_, Sparse<f64>> {
        match self {
            Populations::Int(sparse) => Cow::Owned(sparse.map(|count| count as f64)),
            Populations::Float(sparse) => Cow::Borrowed(sparse),
        }
    }

    /// Converts to floats if the total of the integers is too large.
    pub(super) fn within_limits(self) -> Populations {
        match &self {
            Populations::Int(sparse) if total(sparse) > i64::MAX as u128 => {
                Populations::Float(self.to_float().into_owned())
            }
            _ => self,
        }
    }

    pub(super) fn bucket_count(&self) -> usize {
        match self {
            Populations::Int(sparse) => sparse.bucket_count(),
            Populations::Float(sparse) => sparse.bucket_count(),
        }
    }

    pub(super) fn reduce(&mut self, steps: u32) {
        match self {
            Populations::Int(sparse) => sparse.reduce(steps),
            Populations::Float(sparse) => sparse.reduce(steps),
        }
    }

    pub(super) fn absorb(&mut self, schema: i32, threshold: f64) -> Option<i32> {
        match self {
            Populations::Int(sparse) => sparse.absorb(schema, threshold),
            Populations::Float(sparse) => sparse.absorb(schema, threshold),
        }
    }

    pub(super) fn add(&mut self, other: &Populations) {
        match (&mut *self, other) {
            (Populations::Int(a), Populations::Int(b)) if total(a) + total(b) <= i64::MAX as u128 => a.add(b),
            (Populations::Float(a), b) => a.add(&b.to_float()),
            (a, b) => {
                let mut sum = a.to_float().into_owned();
                sum.add(&b.to_float());
                *a = Populations::Float(sum);
            }
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        match self {
            Populations::Int(sparse) => sparse.shrink_to_fit(),
            Populations::Float(sparse) => sparse.shrink_to_fit(),
        }
    }

    /// The indexes of the positive and those of the negative buckets.
    pub(super) fn indexes(&self) -> [Vec<i32>; 2] {
        fn of<N>(side: &[(i32, N)]) -> Vec<i32> {
            side.iter().map(|(index, _)| *index).collect()
        }
        match self {
            Populations::Int(sparse) => [of(&sparse.positive), of(&sparse.negative)],
            Populations::Float(sparse) => [of(&sparse.positive), of(&sparse.negative)],
        }
    }

    /// The lowest positive and the lowest negative index.
    pub(super) fn lowest(&self) -> impl Iterator<Item = i32> {
        let lowest = match self {
            Populations::Int(sparse) => {
                [sparse.positive.first(), sparse.negative.first()].map(|first| first.map(|f| f.0))
            }
            Populations::Float(sparse) => {
                [sparse.positive.first(), sparse.negative.first()].map(|first| first.map(|f| f.0))
            }
        };
        lowest.into_iter().flatten()
    }
}

/// The total of all populations.
pub(super) fn total(sparse: &Sparse<u64>) -> u128 {
    sparse.populations().map(u128::from).sum()
}
