//! Tells systemd that the gateway is ready, alive or stopping.
//!
//! Sends nothing if `NOTIFY_SOCKET` is not set.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// How often a worker sends a heartbeat.
const BEAT: Duration = Duration::from_secs(1);

/// The heartbeats of all threads that must be alive for the gateway to serve.
#[derive(Debug)]
pub struct Heartbeats {
    started: Instant,
    heartbeats: Mutex<Vec<Weak<AtomicU64>>>,
    first: Notify,
    is_stopping: AtomicBool,
}

/// The heartbeat of one thread. It counts until it is dropped.
#[derive(Debug)]
pub struct Pulse {
    started: Instant,
    millis: Arc<AtomicU64>,
}

impl Default for Heartbeats {
    fn default() -> Heartbeats {
        Heartbeats {
            started: Instant::now(),
            heartbeats: Mutex::default(),
            first: Notify::new(),
            is_stopping: AtomicBool::new(false),
        }
    }
}

impl Heartbeats {
    /// Adds the heartbeat of one more thread.
    pub(super) fn add(&self) -> Pulse {
        let pulse = Pulse { started: self.started, millis: Arc::default() };
        pulse.beat();
        self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&pulse.millis));
        pulse
    }

    /// Sends heartbeats from the event loop of this thread from now on, and notes that the thread serves.
    pub(super) fn beat_on_this_thread(self: &Arc<Self>) {
        let heartbeats = self.clone();
        actix_web::rt::spawn(async move {
            let pulse = heartbeats.add();
            heartbeats.first.notify_one();
            let mut ticks = tokio::time::interval(BEAT);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                pulse.beat();
            }
        });
    }

    /// Notes that the gateway stops, so missing heartbeats are fine.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        notify(&[NotifyState::Stopping]);
    }

    /// Whether every thread has sent a heartbeat within this time.
    fn is_alive(&self, within: Duration, now: Instant) -> bool {
        if self.is_stopping.load(Ordering::Relaxed) {
            return true;
        }
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.retain(|pulse| pulse.strong_count() > 0);
        let now = now.saturating_duration_since(self.started);
        let lives = |pulse: &Weak<AtomicU64>| {
            pulse.upgrade().is_none_or(|millis| {
                let last = Duration::from_millis(millis.load(Ordering::Relaxed));
                now.saturating_sub(last) <= within
            })
        };
        !heartbeats.is_empty() && heartbeats.iter().all(lives)
    }
}

impl Pulse {
    /// Records that the thread is alive.
    pub(super) fn beat(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }
}

/// Tells systemd that the gateway is ready once it serves. Then tells it in its watchdog interval that the gateway
/// is alive, as long as all threads send heartbeats.
pub async fn keep_informed(heartbeats: Arc<Heartbeats>) {
    heartbeats.first.notified().await;
    notify(&[NotifyState::Ready]);
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut ticks = tokio::time::interval(limit / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Heartbeats have an interval of their own, so the limit must not be shorter than two of them.
        if heartbeats.is_alive(limit.max(BEAT * 2), Instant::now()) {
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(
                "a worker shows no sign of life; the service manager is not told that all is well"
            );
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(err = %error, "can't tell the service manager how the gateway does");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_must_live_until_the_gateway_stops() {
        let heartbeats = Heartbeats::default();
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        assert!(!heartbeats.is_alive(second, now), "nobody serves");
        let first = heartbeats.add();
        let late = now + second * 60;
        assert!(heartbeats.is_alive(second, now) && !heartbeats.is_alive(second, late));
        let second_one = heartbeats.add();
        second_one.millis.store(60_000, Ordering::Relaxed);
        assert!(!heartbeats.is_alive(second, late), "one of two is not enough");
        drop(first);
        assert!(heartbeats.is_alive(second, late), "what has ended is not missed");
        drop(second_one);
        assert!(!heartbeats.is_alive(second, late));
        heartbeats.is_stopping.store(true, Ordering::Relaxed);
        assert!(heartbeats.is_alive(second, late));
    }
}
