//! Helpers for property tests: merge values in any order and in any groups.

use proptest::prelude::*;
use proptest::sample::Index;

/// The choices for [`merged_anyhow`] and [`merged_in_groups`].
pub(super) fn choices() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 24)
}

/// Merges all values in the order and the groups that `choices` give.
pub(super) fn merged_anyhow<T>(mut all: Vec<T>, choices: &[Index], merge: impl Fn(&mut T, &T)) -> T {
    let mut choices = choices.iter().cycle();
    while all.len() > 1 {
        let one = all.swap_remove(choices.next().unwrap().index(all.len()));
        let at = choices.next().unwrap().index(all.len());
        merge(&mut all[at], &one);
    }
    all.remove(0)
}

/// Merges all values in their order, in the groups that `choices` give.
pub(super) fn merged_in_groups<T>(mut all: Vec<T>, choices: &[Index], merge: impl Fn(&mut T, &T)) -> T {
    let mut choices = choices.iter().cycle();
    while all.len() > 1 {
        let at = choices.next().unwrap().index(all.len() - 1);
        let later = all.remove(at + 1);
        merge(&mut all[at], &later);
    }
    all.remove(0)
}

/// Whether two numbers are equal or neighbouring floats.
pub(super) fn is_close(a: f64, b: f64) -> bool {
    a == b || a.next_up() == b || a.next_down() == b || (a.is_nan() && b.is_nan())
}
