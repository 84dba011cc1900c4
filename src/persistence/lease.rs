//! How long a gateway may take it for granted that no other one has taken over what it keeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a confirmation holds by default.
pub const LENGTH: Duration = Duration::from_secs(4);

/// A lease on what a shared engine keeps. Only the clock of this process counts.
#[derive(Debug)]
pub struct Lease {
    origin: Instant,
    length: Duration,
    /// When it ends, in nanoseconds since `origin`; 0 if it has ended.
    end: AtomicU64,
}

impl Lease {
    /// A lease that does not hold yet. A confirmation holds for this long, and whoever takes over waits for as long
    /// before it accepts anything.
    pub fn new(length: Duration) -> Lease {
        Lease { origin: Instant::now(), length, end: AtomicU64::new(0) }
    }

    /// Notes that the database has confirmed the lease. The question was asked at this moment or later.
    pub fn confirm(&self, asked: Instant) {
        let end = asked.saturating_duration_since(self.origin) + self.length;
        self.end.store(u64::try_from(end.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Ends the lease.
    pub fn end(&self) {
        self.end.store(0, Ordering::Release);
    }

    /// Whether it holds.
    pub fn is_held(&self) -> bool {
        self.is_held_at(Instant::now())
    }

    fn is_held_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.origin).as_nanos() < u128::from(self.end.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_from_the_question_on() {
        let lease = Lease::new(LENGTH);
        let asked = lease.origin + Duration::from_secs(60);
        assert!(!lease.is_held_at(asked));
        lease.confirm(asked);
        assert!(lease.is_held_at(asked));
        assert!(lease.is_held_at(asked + LENGTH - Duration::from_nanos(1)));
        assert!(!lease.is_held_at(asked + LENGTH));
        lease.end();
        assert!(!lease.is_held_at(asked));
    }
}
