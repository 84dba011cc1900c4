//! Moments, durations, and the start times of series.

use std::time::Duration;

/// A duration in nanoseconds, as times are kept; the longest for what is longer.
pub fn nanos_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// The moment of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since the epoch.
    pub nanos: i64,
    /// Nanoseconds on a monotonic clock, since some moment of this process.
    pub steady: i64,
}

impl Moment {
    /// A moment from nanoseconds since the epoch alone. For tests, and for times before the start.
    pub fn at(nanos: i64) -> Moment {
        Moment { nanos, steady: nanos }
    }
}

/// When a series began, if known.
///
/// Prometheus reads a start time as "the value was 0 then". For series that add up that is true at the time when
/// the gateway accepted the first push. A pushed value that replaces another one began when its client says, if it
/// says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Nanoseconds since the epoch. Negative if a client has given them, zero if the start is not known.
    code: i64,
}

impl Start {
    /// The start is not known.
    pub const UNKNOWN: Start = Start { code: 0 };

    /// The gateway accepted the first push of a series that adds up at this time, in nanoseconds since the epoch.
    pub fn accepted(nanos: i64) -> Start {
        Start { code: nanos.max(0) }
    }

    /// A client has given this start, in nanoseconds since the epoch.
    pub fn told(nanos: i64) -> Start {
        Start { code: -nanos.max(0) }
    }

    /// The time in nanoseconds since the epoch, if there is one.
    pub fn nanos(self) -> Option<i64> {
        (self.code != 0).then(|| self.code.saturating_abs())
    }

    /// The time at which the gateway accepted the first push of a series that adds up.
    pub fn accepted_nanos(self) -> Option<i64> {
        (self.code > 0).then_some(self.code)
    }

    /// A number that represents it on disk.
    pub fn code(self) -> i64 {
        self.code
    }

    /// The start with this number.
    pub fn from_code(code: i64) -> Start {
        Start { code }
    }
}

/// Whether the value of a gauge called `*_created` can be a start time, in seconds since the epoch. Other gauges
/// with such a name rarely have a value in the 21st century.
pub fn can_be_start(seconds: f64) -> bool {
    (946_684_800.0..4_102_444_800.0).contains(&seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_start() {
        assert_eq!((Start::UNKNOWN.nanos(), Start::UNKNOWN.accepted_nanos()), (None, None));
        assert_eq!((Start::accepted(5).nanos(), Start::accepted(5).accepted_nanos()), (Some(5), Some(5)));
        assert_eq!((Start::told(5).nanos(), Start::told(5).accepted_nanos()), (Some(5), None));
        // No counter began before the epoch.
        assert_eq!((Start::told(-5), Start::accepted(-5)), (Start::UNKNOWN, Start::UNKNOWN));
        for start in [Start::UNKNOWN, Start::accepted(7), Start::told(7)] {
            assert_eq!(Start::from_code(start.code()), start);
        }
    }
}
