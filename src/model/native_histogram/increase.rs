//! What native buckets have counted since their sender's push before.

use super::populations::Populations;
use super::sparse::{Buckets, Sparse};
use super::state::NativeHistogram;

impl NativeHistogram {
    /// What was counted since `before`, which the same sender pushed before. None if any bucket has fallen, or the
    /// resolution is higher than it was: then the sender has begun anew.
    pub fn increase(&self, before: &NativeHistogram) -> Option<NativeHistogram> {
        if self.schema > before.schema || self.zero_threshold < before.zero_threshold {
            return None;
        }
        let mut before = before.clone();
        before.reduce_to(self.schema);
        if self.zero_threshold > before.zero_threshold {
            before.populations.absorb(self.schema, self.zero_threshold);
        }
        let populations = match (&self.populations, &before.populations) {
            (Populations::Int(now), Populations::Int(before)) => {
                Populations::Int(minus(now, before, u64::checked_sub)?)
            }
            (now, before) => {
                let fall = |now: f64, before: f64| (now >= before).then_some(now - before);
                Populations::Float(minus(&now.to_float(), &before.to_float(), fall)?)
            }
        };
        Some(NativeHistogram { populations, ..self.clone() })
    }
}

fn minus<N: Copy + Default + PartialEq>(
    now: &Sparse<N>,
    before: &Sparse<N>,
    minus: impl Fn(N, N) -> Option<N>,
) -> Option<Sparse<N>> {
    let side = |now: &Buckets<N>, before: &Buckets<N>| {
        let mut before = before.iter().peekable();
        let mut left = Buckets::with_capacity(now.len());
        for &(index, count) in now {
            // A bucket that is not there any more has fallen.
            if before.peek().is_some_and(|(earlier, _)| *earlier < index) {
                return None;
            }
            let counted = before.next_if(|(earlier, _)| *earlier == index).map_or(N::default(), |(_, n)| *n);
            let count = minus(count, counted)?;
            if count != N::default() {
                left.push((index, count));
            }
        }
        before.next().is_none().then_some(left)
    };
    Some(Sparse {
        zero: minus(now.zero, before.zero)?,
        positive: side(&now.positive, &before.positive)?,
        negative: side(&now.negative, &before.negative)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bounds::bound;
    use super::super::state::Parts;
    use super::*;

    /// What a client of this schema and zero threshold counts of observations between buckets of schema 3.
    fn counted(observed: &[(bool, i32)], schema: i32, zero_threshold: f64) -> NativeHistogram {
        let empty = Populations::Int(Sparse::default());
        let parts = Parts {
            schema: 3,
            zero_threshold: 0.0,
            thresholds_differ: false,
            absorbed: None,
            populations: empty,
        };
        let mut all = NativeHistogram::from_parts(parts).unwrap();
        for (is_positive, index) in observed {
            let (one, none) = (vec![(*index, 1)], Vec::new());
            let (positive, negative) = if *is_positive { (one, none) } else { (none, one) };
            let populations = Populations::Int(Sparse { zero: 0, positive, negative });
            all.merge(&NativeHistogram { populations, ..all.emptied() });
        }
        all.reduce_to(schema);
        all.populations.absorb(schema, zero_threshold);
        NativeHistogram { zero_threshold, ..all }
    }

    proptest! {
        #[test]
        fn an_increase_and_what_was_before_are_the_total(
            observed in prop::collection::vec((any::<bool>(), -30..30i32), 1..40),
            at in 0..40usize,
            schemas in (-2..4i32, -2..4i32),
            thresholds in (0..3i32, 0..3i32),
        ) {
            // The edges of the zero bucket are those of buckets of every schema.
            let threshold = |n: i32| if n == 0 { 0.0 } else { bound(n - 2, -2) };
            let at = at.min(observed.len());
            let before = counted(&observed[..at], schemas.0, threshold(thresholds.0));
            let now = counted(&observed, schemas.1, threshold(thresholds.1));
            let increase = now.increase(&before);
            if schemas.1 > schemas.0 || thresholds.1 < thresholds.0 {
                prop_assert_eq!(increase, None);
            } else {
                prop_assert_eq!(increase, Some(counted(&observed[at..], schemas.1, threshold(thresholds.1))));
                let fell = before.increase(&now);
                prop_assert!(at == observed.len() || fell.is_none(), "{fell:?}");
            }
        }
    }
}
