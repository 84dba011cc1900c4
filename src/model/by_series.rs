//! What only few series have, kept beside them.

use std::ops::Range;

/// Items of some series, which are told apart by numbers. A series without any takes no room.
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

    /// The items of a series, in the order in which they came.
    #[inline]
    pub fn of(&self, series: u32) -> impl Iterator<Item = &T> + Clone {
        self.items[self.range(series)].iter().map(|(_, item)| item)
    }

    /// The same, each with its number.
    #[inline]
    pub fn slice(&self, series: u32) -> &[(u32, T)] {
        &self.items[self.range(series)]
    }

    /// The items of a series, to be changed.
    pub fn of_mut(&mut self, series: u32) -> impl Iterator<Item = &mut T> {
        let range = self.range(series);
        self.items[range].iter_mut().map(|(_, item)| item)
    }

    /// Adds an item behind the others of its series.
    pub fn insert(&mut self, series: u32, item: T) {
        self.items.insert(self.items.partition_point(|(other, _)| *other <= series), (series, item));
    }

    /// Adds an item whose place is found by [`BySeries::sort`], which must follow when items don't come in
    /// the order of their series.
    #[inline]
    pub fn push(&mut self, series: u32, item: T) {
        self.items.push((series, item));
    }

    /// Brings the items into the order of their series.
    pub fn sort(&mut self) {
        self.items.sort_by_key(|(series, _)| *series);
    }

    /// Removes the item of a series that is at this position among its items.
    pub fn remove(&mut self, series: u32, at: usize) {
        let range = self.range(series);
        if at < range.len() {
            self.items.remove(range.start + at);
        }
    }

    /// Removes the items of a series.
    pub fn clear(&mut self, series: u32) {
        self.items.drain(self.range(series));
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
        let all = [(3, 'a'), (1, 'b'), (3, 'c'), (7, 'd'), (1, 'e')];
        let (mut items, mut sorted) = (BySeries::default(), BySeries::default());
        for (series, item) in all {
            items.insert(series, item);
            sorted.push(series, item);
        }
        sorted.sort();
        assert_eq!(items, sorted);
        let of = |items: &BySeries<char>, series| items.of(series).collect::<String>();
        assert_eq!([1, 2, 3, 7].map(|series| of(&items, series)), ["be", "", "ac", "d"]);
        items.remove(3, 0);
        items.clear(1);
        items.remove(7, 1);
        assert_eq!(items.iter().collect::<Vec<_>>(), [(3, &'c'), (7, &'d')]);
    }
}
