//! Metrics of rules.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounterVec, IntGauge};

use super::declare::metrics;

metrics! {
    /// Metrics of rules.
    pub struct RuleMetrics {
        is_current: IntGauge = "tallygate_rules_last_reload_successful",
            "Whether the rules of the configuration file, as they were when it was last read, are in force.";
        read_at: Gauge = "tallygate_rules_last_reload_success_timestamp_seconds",
            "When the rules that are in force were read.";
        reloads: IntCounterVec by ["result"] = "tallygate_rules_reloads_total",
            "How often the rules were read again, by whether they came into force.";
        pushes: IntCounterVec by ["rule"] = "tallygate_rule_pushes_total",
            "Pushes for which a group rule decided, by its number in the configuration file.";
    }
}

/// The most rules whose pushes are counted apart.
const MOST_COUNTED: usize = 1000;

impl RuleMetrics {
    /// Shows every result from the start. The rules that a gateway starts with are in force.
    pub(super) fn prepare(&self) {
        for result in ["success", "failure"] {
            self.reloads.with_label_values(&[result]);
        }
        self.in_force();
    }

    /// Counts rules that were read again and are in force. What earlier rules counted has other numbers, and goes.
    pub fn reloaded(&self) {
        self.reloads.with_label_values(&["success"]).inc();
        self.pushes.reset();
        self.in_force();
    }

    /// Counts rules that can't be used; the old ones stay in force.
    pub fn refused(&self) {
        self.reloads.with_label_values(&["failure"]).inc();
        self.is_current.set(0);
    }

    /// Counts a push for which the rule with this number, counted from 1, decided.
    pub fn pushed(&self, rule: usize) {
        if rule <= MOST_COUNTED {
            let mut digits = itoa::Buffer::new();
            self.pushes.with_label_values(&[digits.format(rule)]).inc();
        }
    }

    /// Whether the rules, as they were when they were last read, are in force.
    pub fn are_current(&self) -> bool {
        self.is_current.get() == 1
    }

    fn in_force(&self) {
        self.is_current.set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.read_at.set(now.as_secs_f64());
    }
}
