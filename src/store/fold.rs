//! What the values of sources come to in their target.
//!
//! They are folded when somebody reads them, in the order of the sources' keys, and kept until one of the versions that
//! they are of changes. Pushes pay nothing for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foldhash::fast::RandomState;

use crate::model::merge::{Fold, extreme};
use crate::model::sum::Sum;
use crate::store::family::Family;
use crate::store::group::Group;
use crate::store::piece::{PIECE_ROWS, Rows};
use crate::store::pieces::Pieces;

/// Folded families by the keys of their targets and their names.
#[derive(Debug, Default)]
pub(super) struct Folds(Mutex<Kept>);

type Kept = HashMap<(Arc<str>, Arc<str>), Folded, RandomState>;

/// A folded family, and the versions that it is of: the target's first.
#[derive(Debug)]
struct Folded {
    of: Vec<Weak<Family>>,
    pieces: Pieces,
}

impl Folded {
    fn is_of(&self, target: &Arc<Family>, sources: &[&Arc<Family>]) -> bool {
        // What was shared is never changed in place, so an address means one version as long as it is kept.
        let is_same =
            |(kept, family): (&Weak<Family>, &&Arc<Family>)| std::ptr::eq(kept.as_ptr(), Arc::as_ptr(family));
        self.of.len() == sources.len() + 1
            && self.of.iter().zip([&target].into_iter().chain(sources)).all(is_same)
    }
}

/// The sources of all groups that are looked at, while they are folded.
pub(super) struct Folding<'a> {
    folds: &'a Folds,
    sources: HashMap<&'a str, Vec<&'a Arc<Group>>, RandomState>,
    used: Kept,
}

impl<'a> Folding<'a> {
    /// Folds these sources.
    pub(super) fn new(folds: &'a Folds, sources: &'a [Arc<Group>]) -> Folding<'a> {
        let mut by_target: HashMap<&str, Vec<&Arc<Group>>, RandomState> = HashMap::default();
        for source in sources {
            if let Some(target) = source.labels.target() {
                by_target.entry(target).or_default().push(source);
            }
        }
        for sources in by_target.values_mut() {
            sources.sort_unstable_by(|a, b| a.labels.key.cmp(&b.labels.key));
        }
        Folding { folds, sources: by_target, used: Kept::default() }
    }

    /// The pieces of a family of a target as they are shown; none where they are those of the family.
    pub(super) fn pieces(&mut self, target: &Group, family: &Arc<Family>) -> Option<Pieces> {
        let fold = family.fold()?;
        let sources = self.sources.get(&*target.labels.key).map_or(&[][..], |sources| sources);
        let name = family.definition.name();
        let has_values = |group: &&'a Arc<Group>| {
            let families = group.families();
            let at = families.binary_search_by(|family| family.definition.name().cmp(name)).ok()?;
            families.get(at).filter(|family| family.fold().is_some())
        };
        let families: Vec<&Arc<Family>> = sources.iter().filter_map(has_values).collect();
        let key = (target.labels.key.clone(), name.clone());
        let kept = self.folds.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let folded = kept.filter(|kept| kept.is_of(family, &families)).unwrap_or_else(|| {
            let of = std::iter::once(&family).chain(&families).map(|family| Arc::downgrade(family)).collect();
            Folded { of, pieces: folded(family, fold, &families) }
        });
        let pieces = folded.pieces.clone();
        self.used.insert(key, folded);
        Some(pieces)
    }

    /// Keeps what was folded until the next time. After a look at `everything` nothing else is kept.
    pub(super) fn keep(self, everything: bool) {
        let mut kept = self.folds.0.lock().unwrap_or_else(PoisonError::into_inner);
        if everything {
            *kept = self.used;
        } else {
            kept.extend(self.used);
        }
    }
}

/// By this a sum is made smaller that may be too large for a number.
const SCALE: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// What some values come to.
#[derive(Clone, Copy, Default)]
struct Folder {
    sum: Sum,
    /// The same as a number, which shows where a value, or the sum, is not finite.
    plain: f64,
    scaled: f64,
    count: u64,
}

impl Folder {
    fn add(&mut self, value: f64, fold: Fold) {
        self.plain += value;
        self.scaled += value * SCALE;
        match fold {
            _ if self.count == 0 => self.sum = Sum::new(value),
            Fold::Sum | Fold::Mean => self.sum.add(value),
            Fold::Min | Fold::Max => {
                self.sum = Sum::new(extreme(self.sum.value(), value, fold == Fold::Max));
            }
            Fold::Count => {}
        }
        self.count += 1;
    }

    fn value(self, fold: Fold) -> f64 {
        let count = self.count as f64;
        match fold {
            Fold::Sum if !self.plain.is_finite() => self.plain,
            // No value is infinite, only the sum.
            Fold::Mean if self.plain.is_infinite() && self.scaled.is_finite() => self.scaled / count / SCALE,
            Fold::Mean if !self.plain.is_finite() => self.plain,
            Fold::Sum | Fold::Min | Fold::Max => self.sum.value(),
            Fold::Mean => {
                let (high, low) = self.sum.parts();
                high / count + low / count
            }
            Fold::Count => count,
        }
    }
}

/// The pieces of a target's family with the values of its sources. What no source has keeps the value that it has, as if
/// one source had it.
fn folded(target: &Family, fold: Fold, sources: &[&Arc<Family>]) -> Pieces {
    let mut folders = vec![Folder::default(); target.series_count() as usize];
    for family in sources {
        let mut expected = 0;
        for piece in family.pieces().iter() {
            let Rows::Numbers(rows) = piece.rows() else { continue };
            for (at, row) in rows.iter().enumerate() {
                let Some(position) = target.find_near(piece.block(at), expected) else { continue };
                expected = position + 1;
                if let Some(folder) = folders.get_mut(position as usize) {
                    folder.add(row.value.value(), fold);
                }
            }
        }
    }
    let piece = |(number, piece): (usize, &Arc<crate::store::piece::Piece>)| {
        let folded = piece.with_numbers(|at, own| {
            let mut folder = folders.get(number * PIECE_ROWS + at).copied().unwrap_or_default();
            if folder.count == 0 {
                folder.add(own, fold);
            }
            folder.value(fold)
        });
        Arc::new(folded)
    };
    target.pieces().iter().enumerate().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_means_keep_what_rounding_would_lose() {
        let values = [1e16, 1.0, 1.0, -1e16, 2.0, f64::NAN];
        let come_to = |fold, values: &[f64]| {
            let mut folder = Folder::default();
            values.iter().for_each(|value| folder.add(*value, fold));
            folder.value(fold)
        };
        let cases = [
            (Fold::Sum, 5, 4.0),
            (Fold::Mean, 5, 0.8),
            (Fold::Min, 6, -1e16),
            (Fold::Max, 6, 1e16),
            (Fold::Count, 6, 6.0),
        ];
        for (fold, count, expected) in cases {
            assert_eq!(come_to(fold, &values[..count]), expected, "{fold:?}");
        }
        assert!(come_to(Fold::Sum, &values).is_nan() && come_to(Fold::Min, &values[5..]).is_nan());
        let (inf, huge) = (f64::INFINITY, 1.7e308);
        assert!(come_to(Fold::Sum, &[inf, -inf]).is_nan() && come_to(Fold::Mean, &[inf, -inf]).is_nan());
        assert_eq!([Fold::Sum, Fold::Mean, Fold::Max].map(|fold| come_to(fold, &[1.0, inf])), [inf; 3]);
        assert_eq!((come_to(Fold::Sum, &[huge; 2]), come_to(Fold::Mean, &[huge; 2])), (inf, huge));
        let integers = [9_007_199_254_740_993.0_f64, 1.0, 1.0];
        assert_eq!(come_to(Fold::Mean, &integers), 9_007_199_254_740_994.0 / 3.0);
    }
}
