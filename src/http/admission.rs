//! Limits on how much of something may be in use at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::limits::Limit;
use crate::telemetry::limits::LimitMetrics;

/// A limited amount, such as connections or bytes.
#[derive(Clone, Debug)]
pub(super) struct Quota(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    limit: Limit,
    used: Arc<AtomicU64>,
    most: u64,
    limits: LimitMetrics,
}

/// A part of a [`Quota`]. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Share {
    quota: Quota,
    amount: u64,
}

impl Quota {
    /// A quota of `most`. `limit` must be one of the limits on what is in use at a time.
    pub(super) fn new(limit: Limit, most: u64, limits: &LimitMetrics) -> Quota {
        Quota(Arc::new(Counted { limit, used: limits.in_flight(limit), most, limits: limits.clone() }))
    }

    /// Takes `amount`. If that much is not left, returns `None` and counts that the limit was hit.
    pub(super) fn take(&self, amount: u64) -> Option<Share> {
        let mut share = Share { quota: self.clone(), amount: 0 };
        share.grow_to(amount).then_some(share)
    }

    /// The most that may be taken.
    pub(super) fn most(&self) -> u64 {
        self.0.most
    }

    /// The limit that it enforces.
    pub(super) fn limit(&self) -> Limit {
        self.0.limit
    }
}

impl Share {
    /// Grows the share by `more`. If that much is not left, returns false and counts that the limit was hit.
    pub(super) fn grow_by(&mut self, more: u64) -> bool {
        self.grow_to(self.amount.saturating_add(more))
    }

    /// As [`Share::grow_by`], but to no more than the whole quota.
    pub(super) fn grow_within(&mut self, more: u64) -> bool {
        self.grow_to(self.amount.saturating_add(more).min(self.quota.0.most))
    }

    /// Grows the share to `amount`. If that much is not left, returns false and counts that the limit was hit.
    pub(super) fn grow_to(&mut self, amount: u64) -> bool {
        let more = amount.saturating_sub(self.amount);
        let Counted { limit, used, most, limits } = &*self.quota.0;
        if used.fetch_add(more, Ordering::Relaxed).saturating_add(more) > *most {
            used.fetch_sub(more, Ordering::Relaxed);
            limits.hit(*limit);
            return false;
        }
        self.amount += more;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.quota.0.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn a_quota_is_given_back() {
        let telemetry = Telemetry::new(true, None).unwrap();
        let limits = telemetry.limits();
        let quota = Quota::new(Limit::BodyBytesInFlight, 10, limits);
        let mut share = quota.take(6).unwrap();
        assert!(quota.take(5).is_none() && quota.take(4).is_some());
        assert!(share.grow_to(10) && share.grow_to(3) && !share.grow_to(11));
        drop(share);
        assert_eq!(limits.in_flight(Limit::BodyBytesInFlight).load(Ordering::Relaxed), 0);
        assert_eq!(limits.hits(Limit::BodyBytesInFlight), 2);
    }
}
