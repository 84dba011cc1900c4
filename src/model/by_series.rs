//! Data that only few series have, stored beside the series.

use std::ops::Range;

/// Items of some series, which are identified by numbers. A series without items takes no memory.
#[derive(Clone, Debug, PartialEq)]
pub struct BySeries<T> {
    /// Sorted by number.
    items: Vec<(u32, T)>,
}

impl<T> Default for BySeries<T> {
    fn default() -> BySeries<T> {
        BySeries { items: Vec::new() }
    }
}

impl<T> BySeries<T> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All items with the number of their series, in the order of these numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &T)> + Clone {
        self.items.iter().map(|(series, item)| (*series, item))
    }

    /// The items of a series, in the order in which they were added.
    #[inline]
    pub fn of(&self, series: u32) -> impl Iterator<Item = &T> + Clone {
        self.items[self.range(series)].iter().map(|(_, item)| item)
    }

    /// As [`BySeries::of`], with the number of the series.
    #[inline]
    pub fn slice(&self, series: u32) -> &[(u32, T)] {
        &self.items[self.range(series)]
    }

    /// Replaces the items of a series.
    pub fn set(&mut self, series: u32, items: Vec<T>) {
        let range = self.range(series);
        self.items.splice(range, items.into_iter().map(|item| (series, item)));
    }

    /// Adds an item at the end. If items do not come in the order of their series, [`BySeries::sort`] must follow.
    #[inline]
    pub fn push(&mut self, series: u32, item: T) {
        self.items.push((series, item));
    }

    /// Sorts the items by their series.
    pub fn sort(&mut self) {
        self.items.sort_by_key(|(series, _)| *series);
    }

    /// How much memory the items take, in bytes.
    pub fn size(&self) -> usize {
        self.items.capacity() * size_of::<(u32, T)>()
    }

    #[inline]
    fn range(&self, series: u32) -> Range<usize> {
        if self.items.is_empty() {
            return 0..0;
        }
        let start = self.items.partition_point(|(other, _)| *other < series);
        let len = self.items[start..].iter().take_while(|(other, _)| *other == series).count();
        start..start + len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_with_their_series() {
        let mut items = BySeries::default();
        for (series, item) in [(3, 'a'), (1, 'b'), (3, 'c'), (7, 'd'), (1, 'e')] {
            items.push(series, item);
        }
        items.sort();
        let of = |items: &BySeries<char>, series| items.of(series).collect::<String>();
        assert_eq!([1, 2, 3, 7].map(|series| of(&items, series)), ["be", "", "ac", "d"]);
        items.set(3, vec!['x', 'y', 'z']);
        items.set(1, Vec::new());
        items.set(2, vec!['f']);
        assert_eq!([1, 2, 3, 7].map(|series| of(&items, series)), ["", "f", "xyz", "d"]);
    }
}
