//! The metrics of a run.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::child::{End, Outcome};

/// Bounds of the buckets for durations, in seconds: from a moment to a day.
const BOUNDS: [u32; 14] = [1, 2, 5, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 21_600, 86_400];

/// The metrics of a run.
#[derive(Debug)]
pub(super) struct Report {
    prefix: String,
    begun: SystemTime,
}

impl Report {
    /// For a run that begins now. The names of its metrics begin with this prefix.
    pub(super) fn new(prefix: String) -> Report {
        Report { prefix, begun: SystemTime::now() }
    }

    /// The body of the push at the start.
    pub(super) fn at_the_start(&self) -> String {
        let mut text = String::new();
        self.running(&mut text, true);
        self.gauge(
            &mut text,
            "last_start_timestamp_seconds",
            "When the job started last.",
            seconds(self.begun),
        );
        text
    }

    /// The body of the push at the end.
    pub(super) fn at_the_end(&self, end: &End, was_announced: bool) -> String {
        let mut text = String::new();
        if was_announced {
            self.running(&mut text, false);
        }
        let completed = seconds(end.started) + end.took.as_secs_f64();
        let took = end.took.as_secs_f64();
        let mut gauge = |name: &str, help: &str, value: f64| self.gauge(&mut text, name, help, value);
        gauge("last_start_timestamp_seconds", "When the job started last.", seconds(end.started));
        gauge(
            "last_completion_timestamp_seconds",
            "When the job ended last, with success or without.",
            completed,
        );
        if end.result == Outcome::Success {
            gauge("last_success_timestamp_seconds", "When the job ended with exit code 0 last.", completed);
        }
        gauge("last_duration_seconds", "How long the last run took.", took);
        gauge(
            "last_exit_code",
            "The exit code of the last run; 128 and more for a signal.",
            f64::from(end.code),
        );
        gauge("last_cpu_seconds", "Processor time of the last run.", end.cpu.as_secs_f64());
        gauge("last_max_rss_bytes", "The most memory of a process of the last run.", end.max_rss as f64);
        self.runs(&mut text, end.result);
        self.durations(&mut text, took);
        text
    }

    fn running(&self, text: &mut String, is_running: bool) {
        self.gauge(text, "running", "Whether the job is running.", f64::from(u8::from(is_running)));
    }

    fn gauge(&self, text: &mut String, name: &str, help: &str, value: f64) {
        self.head(text, name, help, "gauge");
        _ = writeln!(text, "{}{name} {value}", self.prefix);
    }

    fn head(&self, text: &mut String, name: &str, help: &str, kind: &str) {
        let prefix = &self.prefix;
        _ = writeln!(text, "# HELP {prefix}{name} {help}\n# TYPE {prefix}{name} {kind}");
    }

    /// Every result has a series from the first run on, so that `increase()` sees the first one of each.
    fn runs(&self, text: &mut String, result: Outcome) {
        self.head(text, "runs_total", "Runs of the job by result.", "counter");
        for (name, outcome) in
            [("success", Outcome::Success), ("failure", Outcome::Failure), ("timeout", Outcome::Timeout)]
        {
            let value = u8::from(outcome == result);
            _ = writeln!(text, "{}runs_total{{result=\"{name}\"}} {value}", self.prefix);
        }
    }

    fn durations(&self, text: &mut String, took: f64) {
        self.head(text, "duration_seconds", "How long runs of the job took.", "histogram");
        let name = format!("{}duration_seconds", self.prefix);
        for bound in BOUNDS {
            let count = u8::from(took <= f64::from(bound));
            _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} 1\n{name}_sum {took}\n{name}_count 1");
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
