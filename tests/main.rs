//! All tests outside the source files: one program, with one folder for each subject. Most tests start the real
//! binary and talk to it over real sockets.
//!
//! A single program is compiled and linked only once. So its tests share a process: none changes the environment or
//! the current directory, and each has its own ports and its own [folder](support::Directory).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test reports")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of a test that fails is shown")]

// Support for the tests.
mod certificates;
#[path = "../fuzz/checks/mod.rs"]
mod checks;
mod logins;
mod programs;
mod scraper;
mod support;

// The tests.
mod abuse;
mod cli;
mod clients;
mod conformance;
mod deployment {
    mod kubernetes;
    mod systemd;
}
mod docs;
mod durability {
    #[cfg(feature = "postgres")]
    mod balanced;
    mod clocks;
    mod contract;
    mod crash;
    #[cfg(feature = "postgres")]
    mod database;
    mod expiry;
    mod faults;
    mod odd_files;
    mod persistence;
    mod races;
    #[cfg(feature = "postgres")]
    mod replicas;
    mod stock_gateway_file;
    mod stock_import;
}
mod exposition {
    mod exemplars;
    mod formats;
    mod native_histograms;
    mod openmetrics;
    mod parsers;
    mod start_times;
    mod strict_parsers;
}
mod invariants {
    mod fuzz;
    mod properties;
    mod rules;
    mod sources;
    mod tidy;
}
mod monitoring {
    mod dashboards;
    mod own_metrics;
    mod prometheus;
    mod relabelling;
}
mod page;
mod push {
    mod aggregation;
    mod deletion;
    mod doubles;
    mod empty_labels;
    mod errors;
    mod idempotency;
    mod names;
    mod paths;
    mod refusals;
    mod reports;
    mod running_totals;
    mod sources;
}
mod rules {
    mod command;
    mod compatibility;
    mod expiry;
    mod fleet;
    mod groups;
    mod metrics;
    mod reload;
    mod sources;
}
mod security {
    mod access;
    mod secrets;
    mod sites;
    mod tls;
    mod tls_sessions;
    mod web_reload;
}
mod server {
    mod descriptors;
    mod http;
    mod lifecycle;
    mod limits;
    mod protocols;
}

/// The compiler ignores a file that no `mod` names.
#[test]
fn every_file_of_tests_is_named() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    let top = read(&root.join("main.rs"));
    for folder in root.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let names = top.clone() + &read(&folder.join("mod.rs"));
        for file in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            if file.extension().is_some_and(|extension| extension == "rs") && stem != "mod" {
                assert!(names.contains(&format!("mod {stem};")), "{} is not named", file.display());
            }
        }
    }
    let beside = root.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let beside: Vec<_> = beside.filter(|name| name.ends_with(".rs")).collect();
    assert_eq!(beside, ["main.rs"], "a file beside main.rs is a program of its own");
}
