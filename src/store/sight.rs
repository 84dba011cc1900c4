//! Whether something is over that has a TTL.

/// How many times its TTL something stays at most while it waits for a scrape.
const LONGEST_WAIT: i64 = 10;

/// What is known at a look, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The time of the look.
    pub now: i64,
    /// A scrape that was sent whole has shown all that was pushed up to this time.
    pub scraped: i64,
}

/// What a look finds of something that has a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is over.
    Over,
    /// It is over at this time, if nobody pushes.
    Until(i64),
    /// Its TTL is over, and it waits for a scrape, until this time at most.
    WaitsUntil(i64),
}

impl Sight {
    /// What becomes of something that has this TTL and was pushed last at this time.
    #[inline]
    pub(super) fn of(self, last: i64, ttl: i64) -> Standing {
        let earliest = last.saturating_add(ttl);
        let latest = last.saturating_add(ttl.saturating_mul(LONGEST_WAIT));
        if self.now < earliest {
            Standing::Until(earliest)
        } else if self.now >= latest || self.scraped >= last {
            Standing::Over
        } else {
            Standing::WaitsUntil(latest)
        }
    }
}

/// What a look finds of several things together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outlook {
    /// Whether any is over.
    pub(super) is_over: bool,
    /// When the first of the others may be over, if nobody pushes.
    pub(super) next: Option<i64>,
    /// Some are over once a scrape has shown what was pushed up to this time.
    pub(super) waits_since: Option<i64>,
}

impl Outlook {
    /// Takes in something that has this TTL and was pushed last at this time.
    pub(super) fn add(&mut self, last: i64, ttl: i64, sight: Sight) {
        let earlier = |other: Option<i64>, time: i64| Some(other.map_or(time, |other| other.min(time)));
        match sight.of(last, ttl) {
            Standing::Over => self.is_over = true,
            Standing::Until(time) => self.next = earlier(self.next, time),
            Standing::WaitsUntil(time) => {
                self.next = earlier(self.next, time);
                self.waits_since = earlier(self.waits_since, last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quiet_for_its_ttl_goes_once_it_was_scraped() {
        use Standing::{Over, Until, WaitsUntil};
        // It was pushed last at 100 and has a TTL of 20.
        for (now, scraped, expected) in [
            (100, 0, Until(120)),
            (119, 100, Until(120)),
            (120, 100, Over),
            (120, 110, Over),
            (120, 99, WaitsUntil(300)),
            (299, 99, WaitsUntil(300)),
            (300, 99, Over),
            (300, 0, Over),
        ] {
            assert_eq!(Sight { now, scraped }.of(100, 20), expected, "at {now}, scraped {scraped}");
        }
        assert_eq!(Sight { now: i64::MAX - 1, scraped: 0 }.of(5, i64::MAX), Until(i64::MAX));
    }

    #[test]
    fn of_several_the_first_counts() {
        let sight = Sight { now: 100, scraped: 60 };
        let mut outlook = Outlook::default();
        for (last, expected) in [
            (95, (false, Some(115), None)),
            (90, (false, Some(110), None)),
            (70, (false, Some(110), Some(70))),
            (75, (false, Some(110), Some(70))),
            (60, (true, Some(110), Some(70))),
        ] {
            outlook.add(last, 20, sight);
            assert_eq!((outlook.is_over, outlook.next, outlook.waits_since), expected, "with {last}");
        }
    }
}
