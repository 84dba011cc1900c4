//! Since when something lasts, for time limits that are checked now and then.

use std::cell::Cell;

/// Since when something lasts, if it does. It is dated by the next check and not by the one before, which may be long ago
/// if the machine stood still. So it never seems to last longer than it does.
#[derive(Debug, Default)]
pub(super) struct Since(Cell<Option<Option<u64>>>);

impl Since {
    /// It begins now, also if it lasted already.
    pub(super) fn begin(&self) {
        self.0.set(Some(None));
    }

    /// It ends. Returns whether it lasted.
    pub(super) fn end(&self) -> bool {
        self.0.take().is_some()
    }

    /// Whether it lasts.
    pub(super) fn lasts(&self) -> bool {
        self.0.get().is_some()
    }

    /// Dates what has begun since the last check.
    pub(super) fn date(&self, now: u64) {
        if self.0.get() == Some(None) {
            self.0.set(Some(Some(now)));
        }
    }

    /// Whether it has lasted this long.
    pub(super) fn is_over(&self, now: u64, longest: u64) -> bool {
        self.0.get().flatten().is_some_and(|since| now.saturating_sub(since) >= longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_since_the_last_check_is_not_over() {
        let since = Since::default();
        since.date(1);
        assert!(!since.lasts() && !since.is_over(u64::MAX, 0));
        since.begin();
        assert!(since.lasts() && !since.is_over(1000, 0));
        since.date(1000);
        since.date(2000);
        assert!(!since.is_over(1099, 100) && since.is_over(1100, 100));
        since.begin();
        assert!(since.lasts() && !since.is_over(5000, 100));
        assert!(since.end() && !since.lasts() && !since.end());
    }
}
