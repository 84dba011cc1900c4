//! Rules of every kind, and pushes that all of them change.

/// Pushes with a `pod` are of the group without it, which tells pods apart as sources. No TTL ends within a test.
pub(crate) const RULES: &str = r#"
[[groups]]
match = '{pod!=""}'
relabel = [{ action = "labeldrop", regex = "pod" }]
ttl = "24h"
source_ttl = "24h"
max_series = 12
overflow = "fold"

[[metrics]]
match = '{__name__=~"depth|replaced_total",pod!=""}'
merge = "sum"
series_ttl = "24h"

[[metrics]]
match = 'peak'
merge = "max"

[[metrics]]
match = 'ticks_total'
temporality = "cumulative"

[[metrics]]
match = 'runs_total'
temporality = "auto"

[[metrics]]
match = 'duration_seconds'
observe = { buckets = [1, 10] }
"#;

/// What a pod pushes that has pushed so often. After as many pushes `depth`, `ticks_total` and `runs_total` are the sums
/// of the counts of all pods, `peak` is the highest, there are as many observations of 2, and all `noisy_total`
/// together are the number of pushes.
pub(crate) fn body(count: u64, noise: u64) -> String {
    format!(
        "# TYPE depth gauge\ndepth {count}\n# TYPE peak gauge\npeak {count}\n# TYPE ticks_total counter\n\
         ticks_total {count}\n# TYPE runs_total counter\nruns_total {count}\n# TYPE runs_created gauge\n\
         runs_created 1.6e9\nduration_seconds 2\n# TYPE noisy_total counter\nnoisy_total{{n=\"{noise}\"}} 1\n"
    )
}
