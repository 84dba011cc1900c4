//! The page in a real Chromium: everything that a user does on it, on a desktop and on a phone.
//!
//! A test needs `chromium` and `chromedriver`, and is skipped if they are missing. Problems that the browser
//! reports (script errors, violations of the content security policy) fail a test.

mod accessibility;
mod api;
mod browser;
mod compression;
mod copying;
mod deleting;
mod files;
mod health;
mod keyboard;
mod large;
mod logins;
mod oddities;
mod place;
mod proxy;
mod reading;
mod refusals;
mod screens;
mod series;
mod sites;
mod sources;
mod status;
mod tasks;

use crate::support::Gateway;

/// A metric of each type, in the group of a backup.
const BACKUP: &str = r#"# HELP backup_chunk_bytes Sizes of the chunks that were written.
# TYPE backup_chunk_bytes summary
backup_chunk_bytes{quantile="0.5"} 65536
backup_chunk_bytes{quantile="0.99"} 1.048576e+06
backup_chunk_bytes_sum 9.5e+09
backup_chunk_bytes_count 91824
# HELP backup_duration_seconds How long a backup takes, from the first file to the last.
# TYPE backup_duration_seconds histogram
backup_duration_seconds_bucket{le="1"} 3
backup_duration_seconds_bucket{le="5"} 19
backup_duration_seconds_bucket{le="10"} 64
backup_duration_seconds_bucket{le="30"} 120
backup_duration_seconds_bucket{le="60"} 141
backup_duration_seconds_bucket{le="300"} 149
backup_duration_seconds_bucket{le="+Inf"} 150
backup_duration_seconds_sum 2841.5
backup_duration_seconds_count 150
# HELP backup_files_total Files that were copied, by volume.
# TYPE backup_files_total counter
backup_files_total{volume="home"} 1250
backup_files_total{volume="srv"} 43817
# TYPE backup_lag_seconds gauge
backup_lag_seconds 1.5e-7
"#;

const BACKUP_PATH: &str = "/metrics/job/nightly_backup/instance/db1";

/// A selector of the group with these labels, as the page writes them.
fn group(labels: &str) -> String {
    format!(".group:has([aria-label='Delete group {{{labels}}}'])")
}

/// A selector of a family in an open group.
fn family(name: &str) -> String {
    format!(".family[data-name='{name}']")
}

/// The button that opens the row of a selector.
fn toggle(row: &str) -> String {
    format!("{row} > .row .toggle")
}

/// Pushes a counter to each of these jobs. Its value is the position of the job.
fn push_jobs(gateway: &Gateway, jobs: &[&str]) {
    for (at, job) in jobs.iter().enumerate() {
        gateway
            .push(&format!("/metrics/job/{job}"), &format!("# TYPE runs_total counter\nruns_total {at}\n"));
    }
}
