//! The rate limit: a token bucket for all requests together.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::config::web::RateLimit;

/// A bucket that gets one token per interval and holds at most a burst of them. It starts full.
#[derive(Debug)]
pub(super) struct Limiter {
    pub(super) limit: RateLimit,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit, now: Instant) -> Limiter {
        Limiter { limit, bucket: Mutex::new(Bucket { tokens: f64::from(limit.burst), at: now }) }
    }

    /// Takes a token. False if there is none.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let new = now.saturating_duration_since(bucket.at).as_secs_f64() / self.limit.interval.as_secs_f64();
        bucket.tokens = (bucket.tokens + new).min(f64::from(self.limit.burst));
        bucket.at = bucket.at.max(now);
        let is_allowed = bucket.tokens >= 1.0;
        if is_allowed {
            bucket.tokens -= 1.0;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_one_per_interval() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let limiter = Limiter::new(RateLimit { interval: Duration::from_secs(1), burst: 2 }, start);
        let allowed: Vec<bool> = [0, 0, 0, 999, 1000, 1001, 5000, 5000, 5000]
            .iter()
            .map(|millis| limiter.allows(at(*millis)))
            .collect();
        assert_eq!(allowed, [true, true, false, false, true, false, true, true, false]);
        let none = Limiter::new(RateLimit { interval: Duration::from_secs(1), burst: 0 }, start);
        assert!(!none.allows(at(0)) && !none.allows(at(60_000)));
    }
}
