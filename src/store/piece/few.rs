//! A list that holds a single item without memory of its own.

use std::ops::{Deref, DerefMut};
use std::slice;

/// Any number of items. Most lists of numbers have one, because most families have one series.
#[derive(Clone, Debug)]
pub enum Few<T> {
    /// One item.
    One(T),
    /// Any number of items.
    Many(Vec<T>),
}

/// A list that items are added to.
pub(super) trait List<T>: Deref<Target = [T]> {
    /// Reserves room for exactly this many more items.
    fn reserve(&mut self, more: usize);

    /// Adds an item at the end.
    fn add(&mut self, item: T);

    /// Frees unused room.
    fn shrink(&mut self);
}

impl<T> Default for Few<T> {
    fn default() -> Few<T> {
        Few::Many(Vec::new())
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Few::One(item) => slice::from_ref(item),
            Few::Many(items) => items,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Few::One(item) => slice::from_mut(item),
            Few::Many(items) => items,
        }
    }
}

impl<T> List<T> for Few<T> {
    fn reserve(&mut self, more: usize) {
        if self.len() + more <= 1 {
            return;
        }
        *self = match std::mem::take(self) {
            Few::One(item) => {
                let mut items = Vec::with_capacity(1 + more);
                items.push(item);
                Few::Many(items)
            }
            Few::Many(mut items) => {
                items.reserve_exact(more);
                Few::Many(items)
            }
        };
    }

    fn add(&mut self, item: T) {
        match self {
            Few::Many(items) if items.capacity() > 0 => items.push(item),
            Few::Many(_) => *self = Few::One(item),
            Few::One(_) => {
                self.reserve(1);
                self.add(item);
            }
        }
    }

    fn shrink(&mut self) {
        if let Few::Many(items) = self {
            items.shrink_to_fit();
        }
    }
}

impl<T> List<T> for Vec<T> {
    fn reserve(&mut self, more: usize) {
        self.reserve_exact(more);
    }

    fn add(&mut self, item: T) {
        self.push(item);
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_in_order_and_one_needs_no_memory() {
        for steps in [&[1][..], &[1, 1], &[2], &[1, 3, 1], &[0, 1, 0]] {
            let mut items = Few::default();
            let mut len = 0;
            for &more in steps {
                items.reserve(more);
                (len..len + more).for_each(|item| items.add(item));
                len += more;
                assert_eq!(*items, *(0..len).collect::<Vec<usize>>());
            }
            assert_eq!(matches!(items, Few::One(_)), len == 1, "{steps:?}");
            items[len - 1] = 7;
            assert_eq!(items.last(), Some(&7));
        }
    }
}
