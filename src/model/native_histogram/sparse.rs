//! Populations by bucket, without the empty ones.

use super::bounds::{bound, reduced};

/// The number of observations in a bucket.
pub trait Population: Copy + Default {
    /// Adds more observations.
    fn grow(&mut self, by: Self);
}

impl Population for u64 {
    /// The caller makes sure that the total fits.
    fn grow(&mut self, by: u64) {
        *self += by;
    }
}

impl Population for f64 {
    /// Stops at the largest number, as [`Sum`](crate::model::sum::Sum) does.
    fn grow(&mut self, by: f64) {
        *self = (*self + by).min(f64::MAX);
    }
}

/// The populated buckets of one sign, by ascending index.
pub type Buckets<N> = Vec<(i32, N)>;

/// The populations of a native histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sparse<N> {
    /// Observations in the zero bucket.
    pub zero: N,
    /// Buckets of positive observations.
    pub positive: Buckets<N>,
    /// Buckets of negative observations, by the index of their absolute value.
    pub negative: Buckets<N>,
}

impl<N: Population> Sparse<N> {
    /// How many buckets there are, without the zero bucket.
    pub fn bucket_count(&self) -> usize {
        self.positive.len() + self.negative.len()
    }

    /// Frees the memory of removed buckets.
    pub fn shrink_to_fit(&mut self) {
        self.positive.shrink_to_fit();
        self.negative.shrink_to_fit();
    }

    /// All populations: of the zero bucket, the positive and the negative ones.
    pub fn populations(&self) -> impl Iterator<Item = N> {
        let buckets = self.positive.iter().chain(&self.negative).map(|(_, count)| *count);
        std::iter::once(self.zero).chain(buckets)
    }

    /// Adds the populations of `other`, which has the same schema.
    pub fn add(&mut self, other: &Sparse<N>) {
        self.zero.grow(other.zero);
        add(&mut self.positive, &other.positive);
        add(&mut self.negative, &other.negative);
    }

    /// Joins the buckets that are one bucket in a schema that is lower by `steps`.
    pub fn reduce(&mut self, steps: u32) {
        for side in [&mut self.positive, &mut self.negative] {
            side.iter_mut().for_each(|(index, _)| *index = reduced(i64::from(*index), steps) as i32);
            side.dedup_by(|next, kept| {
                let is_same = next.0 == kept.0;
                if is_same {
                    kept.1.grow(next.1);
                }
                is_same
            });
        }
    }

    /// Moves the buckets that end at `threshold` or before into the zero bucket. Returns the highest
    /// index among them.
    pub fn absorb(&mut self, schema: i32, threshold: f64) -> Option<i32> {
        let mut highest = None;
        for side in [&mut self.positive, &mut self.negative] {
            let within = side.iter().take_while(|(index, _)| bound(*index, schema) <= threshold).count();
            for (index, count) in side.drain(..within) {
                self.zero.grow(count);
                highest = highest.max(Some(index));
            }
        }
        highest
    }

    /// Converts the populations to another type of number.
    pub fn map<M>(&self, with: impl Fn(N) -> M) -> Sparse<M> {
        let side = |side: &Buckets<N>| side.iter().map(|(index, count)| (*index, with(*count))).collect();
        Sparse { zero: with(self.zero), positive: side(&self.positive), negative: side(&self.negative) }
    }
}

/// Adds `from` to `into`, from the back, so that existing buckets move at most once.
fn add<N: Population>(into: &mut Buckets<N>, from: &[(i32, N)]) {
    let old = into.len();
    let mut have = into.iter().peekable();
    let new = from.iter().filter(|(index, _)| {
        while have.next_if(|(there, _)| there < index).is_some() {}
        have.peek().is_none_or(|(there, _)| there != index)
    });
    let new = new.count();
    into.reserve_exact(new);
    into.resize(old + new, (0, N::default()));
    let (mut read, mut write) = (old, old + new);
    for &(index, count) in from.iter().rev() {
        while read > 0 && into[read - 1].0 > index {
            read -= 1;
            write -= 1;
            into[write] = into[read];
        }
        write -= 1;
        if read > 0 && into[read - 1].0 == index {
            read -= 1;
            let mut both = into[read].1;
            both.grow(count);
            into[write] = (index, both);
        } else {
            into[write] = (index, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positive(buckets: &[(i32, u64)]) -> Sparse<u64> {
        Sparse { zero: 0, positive: buckets.to_vec(), negative: Vec::new() }
    }

    #[test]
    fn buckets_are_added_in_order() {
        for (a, b, sum) in [
            (&[][..], &[][..], &[][..]),
            (&[(1, 1)], &[], &[(1, 1)]),
            (&[], &[(1, 1)], &[(1, 1)]),
            (&[(1, 1), (5, 1)], &[(1, 2), (5, 3)], &[(1, 3), (5, 4)]),
            (&[(1, 1), (5, 1)], &[(-3, 2), (3, 3), (9, 1)], &[(-3, 2), (1, 1), (3, 3), (5, 1), (9, 1)]),
            (&[(2, 1), (3, 1), (4, 1)], &[(1, 1), (3, 1)], &[(1, 1), (2, 1), (3, 2), (4, 1)]),
        ] {
            let mut added = positive(a);
            added.add(&positive(b));
            assert_eq!(added, positive(sum));
        }
    }

    #[test]
    fn a_lower_schema_joins_neighbours() {
        let mut buckets = positive(&[(-3, 1), (-2, 2), (0, 4), (1, 8), (2, 16), (3, 32)]);
        buckets.reduce(1);
        assert_eq!(buckets, positive(&[(-1, 3), (0, 4), (1, 24), (2, 32)]));
        buckets.reduce(2);
        assert_eq!(buckets, positive(&[(0, 7), (1, 56)]));
    }

    #[test]
    fn the_zero_bucket_takes_what_ends_within_it() {
        let side = vec![(0, 1), (1, 2), (2, 4)];
        let mut buckets = Sparse { zero: 100, positive: side.clone(), negative: side };
        assert_eq!(buckets.absorb(0, 3.9), Some(1));
        assert_eq!(buckets, Sparse { zero: 106, positive: vec![(2, 4)], negative: vec![(2, 4)] });
        assert_eq!(buckets.absorb(0, 3.9), None);
    }
}
