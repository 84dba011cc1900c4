//! Summaries with quantiles over the last ten minutes, as client_golang has them.
//!
//! The `prometheus` crate has no summary. This one keeps five histograms of two minutes each
//! (client_golang: `MaxAge` 10 min, `AgeBuckets` 5) and answers quantiles within 1 %.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, MetricFamily, MetricType};

use super::declare::{Declaration, Declared};
use crate::model::kind::Kind;

const WINDOWS: usize = 5;
const WINDOW: Duration = Duration::from_secs(120);
const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];
const SIGNIFICANT_DIGITS: u8 = 2;

/// The methods of a push, as values of the label `method`.
pub(super) const PUSH_METHODS: [&str; 2] = ["post", "put"];

/// A summary for each method of a push.
#[derive(Clone, Debug)]
pub(super) struct SummaryVec {
    desc: Desc,
    /// What one recorded unit is worth in the unit of the metric.
    unit: f64,
    by_method: Arc<[Mutex<Option<Summary>>; PUSH_METHODS.len()]>,
}

#[derive(Debug)]
struct Summary {
    windows: [Histogram<u32>; WINDOWS],
    current: usize,
    current_since: Instant,
    count: u64,
    sum: u64,
}

impl Declared for SummaryVec {
    const KIND: Kind = Kind::Summary;
    /// What one recorded unit is worth in the unit of the metric.
    type Shape = f64;

    fn declared(declaration: &Declaration, unit: f64) -> prometheus::Result<SummaryVec> {
        let &Declaration { name, help, labels } = declaration;
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())?;
        Ok(SummaryVec { desc, unit, by_method: Arc::default() })
    }
}

impl SummaryVec {
    /// Records an observation at this time for the method at this position.
    pub(super) fn observe(&self, method: usize, units: u64, now: Instant) {
        let mut summary = self.by_method[method].lock().unwrap_or_else(PoisonError::into_inner);
        if summary.is_none() {
            *summary = Summary::new(now);
        }
        if let Some(summary) = &mut *summary {
            summary.observe(units, now);
        }
    }
}

impl Summary {
    fn new(now: Instant) -> Option<Summary> {
        // The largest value is 2^40: eighteen minutes in nanoseconds, a terabyte in bytes. Larger ones count as that.
        let window = || Histogram::new_with_max(1 << 40, SIGNIFICANT_DIGITS);
        let windows = [window().ok()?, window().ok()?, window().ok()?, window().ok()?, window().ok()?];
        Some(Summary { windows, current: 0, current_since: now, count: 0, sum: 0 })
    }

    fn observe(&mut self, units: u64, now: Instant) {
        self.rotate(now);
        self.windows[self.current].saturating_record(units);
        self.count += 1;
        self.sum = self.sum.saturating_add(units);
    }

    fn rotate(&mut self, now: Instant) {
        for _ in 0..WINDOWS {
            if now.saturating_duration_since(self.current_since) < WINDOW {
                return;
            }
            self.current = (self.current + 1) % WINDOWS;
            self.current_since += WINDOW;
            self.windows[self.current].reset();
        }
        self.current_since = now;
    }

    fn quantiles(&mut self, now: Instant) -> [f64; QUANTILES.len()] {
        self.rotate(now);
        let mut all = self.windows[0].clone();
        for window in &self.windows[1..] {
            // All windows have the same bounds, so adding can't fail.
            let _ = all.add(window);
        }
        QUANTILES.map(|q| if all.is_empty() { f64::NAN } else { all.value_at_quantile(q) as f64 })
    }
}

impl Collector for SummaryVec {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        let mut metrics = Vec::new();
        for (method, summary) in PUSH_METHODS.iter().zip(&*self.by_method) {
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(summary) = &mut *summary else { continue };
            let label = self.desc.variable_labels.iter().map(|name| {
                let mut label = proto::LabelPair::default();
                label.set_name(name.clone());
                label.set_value((*method).to_owned());
                label
            });
            let mut value = proto::Summary::default();
            value.set_sample_count(summary.count);
            value.set_sample_sum(summary.sum as f64 * self.unit);
            let quantiles = QUANTILES.iter().zip(summary.quantiles(Instant::now())).map(|(q, units)| {
                let mut quantile = proto::Quantile::default();
                quantile.set_quantile(*q);
                quantile.set_value(units * self.unit);
                quantile
            });
            value.set_quantile(quantiles.collect());
            let mut metric = proto::Metric::default();
            metric.set_label(label.collect());
            metric.set_summary(value);
            metrics.push(metric);
        }
        family.set_metric(metrics);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_forget_what_is_older_than_ten_minutes() {
        let start = Instant::now();
        let mut summary = Summary::new(start).unwrap();
        for units in 1..=1000 {
            summary.observe(units, start);
        }
        let [low, middle, high] = summary.quantiles(start + WINDOW);
        assert!((99.0..=101.0).contains(&low) && (495.0..=505.0).contains(&middle), "{low} {middle}");
        assert!((891.0..=909.0).contains(&high), "{high}");
        summary.observe(7, start + WINDOW * 4);
        assert_eq!(summary.quantiles(start + WINDOW * 6), [7.0; 3]);
        assert!(summary.quantiles(start + WINDOW * 60).iter().all(|q| q.is_nan()));
        assert_eq!((summary.count, summary.sum), (1001, 500_507));
    }
}
