//! Metrics of TLS, logins and the web configuration file.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge};

use super::declare::metrics;

metrics! {
    /// Metrics of TLS, logins and the web configuration file.
    pub struct WebMetrics {
        is_current: IntGauge = "tallygate_web_config_last_reload_successful",
            "Whether the web configuration file and the files that it names, as they are now, are in force.";
        read_at: Gauge = "tallygate_web_config_last_reload_success_timestamp_seconds",
            "When the web configuration that is in force was read, 0 if there is none.";
        denied: IntCounterVec by ["reason"] = "tallygate_denied_requests_total",
            "Requests that were turned away: without a valid login, without the permission, from another site, for \
             another host, or while there were too many.";
        handshake_failures: IntCounter = "tallygate_tls_handshake_failures_total",
            "Connections that ended before they were encrypted.";
    }
}

/// Why a request was turned away before it was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// 401: its login is missing or wrong.
    Unauthorized,
    /// 403: its login lacks the permission.
    Forbidden,
    /// 403: according to the browser it comes from another site.
    OtherSite,
    /// 421: it is for a host that is not among the allowed ones.
    OtherHost,
    /// 503: too many logins wait to be checked.
    Busy,
    /// 429: it exceeded the rate limit.
    RateLimited,
}

impl Denial {
    const ALL: [Denial; 6] = [
        Denial::Unauthorized,
        Denial::Forbidden,
        Denial::OtherSite,
        Denial::OtherHost,
        Denial::Busy,
        Denial::RateLimited,
    ];

    fn reason(self) -> &'static str {
        match self {
            Denial::Unauthorized => "unauthorized",
            Denial::Forbidden => "forbidden",
            Denial::OtherSite => "other_site",
            Denial::OtherHost => "other_host",
            Denial::Busy => "busy",
            Denial::RateLimited => "rate_limited",
        }
    }
}

impl WebMetrics {
    /// Shows every reason from the start. Without a web configuration file, nothing is wrong with it.
    pub(super) fn prepare(&self) {
        self.is_current.set(1);
        for denial in Denial::ALL {
            self.denied.with_label_values(&[denial.reason()]);
        }
    }

    /// Sets that the web configuration was read and is in force.
    pub fn config_read(&self) {
        self.is_current.set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.read_at.set(now.as_secs_f64());
    }

    /// Sets that the web configuration has changed and can't be used.
    pub fn config_refused(&self) {
        self.is_current.set(0);
    }

    /// Whether the web configuration is in force as it is now.
    pub fn is_current(&self) -> bool {
        self.is_current.get() == 1
    }

    /// Counts a request that was turned away.
    pub fn denied(&self, denial: Denial) {
        self.denied.with_label_values(&[denial.reason()]).inc();
    }

    /// Counts a connection whose TLS handshake failed.
    pub fn handshake_failed(&self) {
        self.handshake_failures.inc();
    }
}
