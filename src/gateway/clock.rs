//! The gateway's time.
//!
//! It follows the system's clock but never steps back, not even over a restart. Otherwise start times, push times
//! and the ages of idempotency keys would be wrong. While the system's clock is behind the latest time seen, the
//! gateway's time goes on at half speed until the clock has caught up.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::{Moment, nanos_of};
use crate::persistence::engine::CommonTime;

/// If the clock is further behind, the gateway logs a warning.
const WORTH_A_WARNING: Duration = Duration::from_secs(60);

/// A recorded time that is further ahead of a plausible clock is taken for a mistake and ignored.
const MISTAKEN_NANOS: i64 = 366 * 24 * 3_600_000_000_000;

/// A clock before this, the start of 2026, must be wrong, because this program did not exist yet.
const EARLIEST_NANOS: i64 = 1_767_225_600_000_000_000;

/// The gateway's clock.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    latest: AtomicI64,
    /// By how much the common clock of several gateways is ahead of the system's, in nanoseconds.
    ahead: AtomicI64,
    fell_behind: Mutex<FellBehind>,
}

/// When the system's clock was found to be behind: the monotonic time, and the gateway's time at that moment.
#[derive(Clone, Copy, Debug, Default)]
struct FellBehind {
    steady: i64,
    nanos: i64,
}

impl Clock {
    /// A clock that has not been read yet.
    pub(super) fn new() -> Clock {
        Clock {
            started: Instant::now(),
            latest: AtomicI64::new(0),
            ahead: AtomicI64::new(0),
            fell_behind: Mutex::default(),
        }
    }

    /// Sets a lower bound from the persistence file: the latest time before the restart, in nanoseconds since the
    /// epoch.
    pub(super) fn has_been(&self, nanos: i64) {
        let system = system_nanos();
        if is_mistake(nanos, system) {
            tracing::warn!(
                "the latest time in the persistence file is more than a year ahead of the clock: it does not count"
            );
            return;
        }
        // Everything from now on is later than that.
        self.latest.fetch_max(nanos.saturating_add(1), Ordering::Relaxed);
        let behind = nanos.saturating_sub(system);
        if u128::from(behind.max(0).unsigned_abs()) > WORTH_A_WARNING.as_nanos() {
            let behind =
                humantime::format_duration(Duration::from_secs(behind.unsigned_abs() / 1_000_000_000));
            tracing::warn!(
                %behind,
                "the clock is behind the latest time in the persistence file; times go on from there at half speed"
            );
        }
    }

    /// Follows a clock that several gateways have in common.
    pub(super) fn follow(&self, common: CommonTime) {
        // In this order the bounds are never too narrow.
        let end = nanos_of(common.answered.elapsed());
        let system = system_nanos();
        let begin = nanos_of(common.asked.elapsed());
        // How far it is ahead at least and at most.
        let least = common.nanos.saturating_sub(system.saturating_sub(end));
        let most = common.nanos.saturating_sub(system.saturating_sub(begin));
        let ahead = self.ahead.load(Ordering::Relaxed);
        // Only what the reading rules out is changed, so that the length of round trips does not make time jump.
        self.ahead.store(ahead.clamp(least.min(most), most.max(least)), Ordering::Relaxed);
    }

    /// By how much the clock that it follows is ahead of the system's, in nanoseconds.
    pub(super) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// The current time.
    pub(super) fn now(&self) -> Moment {
        let steady = nanos_of(self.started.elapsed());
        let system = system_nanos().saturating_add(self.ahead.load(Ordering::Relaxed));
        Moment { nanos: self.time_at(system, steady), steady }
    }

    /// The latest time that the clock has returned, in nanoseconds since the epoch.
    pub(super) fn latest(&self) -> i64 {
        self.latest.load(Ordering::Relaxed)
    }

    /// The gateway's time for these readings of the system's clock and the monotonic clock.
    fn time_at(&self, system: i64, steady: i64) -> i64 {
        let latest = self.latest.fetch_max(system, Ordering::Relaxed);
        if latest <= system {
            return system;
        }
        if is_mistake(latest, system) {
            self.latest.store(system, Ordering::Relaxed);
            return system;
        }
        let mut fell_behind = self.fell_behind.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = steady.saturating_sub(fell_behind.steady).max(0);
        let nanos = fell_behind.nanos.saturating_add(elapsed / 2);
        if nanos < latest {
            // The clock was right in between and has fallen behind again.
            *fell_behind = FellBehind { steady, nanos: latest };
            return latest;
        }
        self.latest.fetch_max(nanos, Ordering::Relaxed);
        nanos
    }
}

/// Whether `latest` must be a mistake, judged by the system's clock.
fn is_mistake(latest: i64, system: i64) -> bool {
    system >= EARLIEST_NANOS && latest.saturating_sub(system) > MISTAKEN_NANOS
}

fn system_nanos() -> i64 {
    nanos_of(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_clock_that_steps_back_is_waited_for_at_half_speed() {
        let clock = Clock::new();
        assert_eq!(clock.time_at(1000, 0), 1000);
        assert_eq!(clock.time_at(1010, 10), 1010);
        // The clock is set back.
        assert_eq!(clock.time_at(900, 20), 1010);
        assert_eq!(clock.time_at(920, 40), 1020);
        assert_eq!(clock.time_at(1000, 120), 1060);
        // The clock has caught up, and is set back again.
        assert_eq!(clock.time_at(1130, 250), 1130);
        assert_eq!(clock.time_at(1000, 260), 1130);
        assert_eq!(clock.time_at(1010, 280), 1140);
        assert_eq!(clock.latest(), 1140);
    }

    #[test]
    fn it_follows_a_common_clock_and_not_the_length_of_round_trips() {
        let clock = Clock::new();
        let hour = 3_600_000_000_000;
        let second = Duration::from_secs(1);
        let reading = |nanos| {
            let answered = Instant::now();
            CommonTime { asked: answered.checked_sub(second).unwrap_or(answered), answered, nanos }
        };
        clock.follow(reading(system_nanos() - hour));
        // Somewhere within the second of the round trip.
        let ahead = clock.ahead();
        assert!((-hour..=-hour + 2 * nanos_of(second)).contains(&ahead), "{ahead}");
        let now = clock.now().nanos;
        assert!(now < system_nanos() - hour / 2, "{now}");
        // A reading that allows this does not change it.
        clock.follow(reading(system_nanos() + ahead));
        assert_eq!(clock.ahead(), ahead);
        clock.follow(reading(system_nanos()));
        assert!(clock.ahead().abs() <= 2 * nanos_of(second));
    }

    #[test]
    fn it_is_later_than_it_has_been() {
        let clock = Clock::new();
        let later = system_nanos() + 3_600_000_000_000;
        clock.has_been(later);
        assert!(clock.now().nanos > later);
        clock.has_been(5);
        assert!(clock.now().nanos > later);
    }

    #[test]
    fn a_time_that_can_only_be_a_mistake_is_not_waited_for() {
        let now = EARLIEST_NANOS + 1000;
        let clock = Clock::new();
        assert_eq!(clock.time_at(now + 2 * MISTAKEN_NANOS, 0), now + 2 * MISTAKEN_NANOS);
        assert_eq!(clock.time_at(now, 10), now);
        assert_eq!(clock.time_at(now - 10, 20), now);
        // A clock that was not set yet says nothing about earlier times.
        assert_eq!(clock.time_at(5000, 40), now + 10);
        assert!(is_mistake(now + 20 * MISTAKEN_NANOS, now) && !is_mistake(now, 0));
    }

    proptest! {
        #[test]
        fn time_never_steps_back_and_is_never_behind(steps in prop::collection::vec((-1000i64..1000, 0i64..100), 1..100)) {
            let clock = Clock::new();
            let (mut system, mut steady, mut last) = (10_000, 0, 0);
            for (jump, elapsed) in steps {
                system += elapsed + if jump % 5 == 0 { jump } else { 0 };
                steady += elapsed;
                let now = clock.time_at(system, steady);
                prop_assert!(now >= last && now >= system, "{now} after {last} while the clock shows {system}");
                last = now;
            }
        }
    }
}
