//! Runs the checks of the fuzz targets over their seeds, which include inputs that fuzzing found. See `fuzz/`.

use std::path::Path;

use crate::checks;

/// Runs a check over every file of a folder of `fuzz/seeds`.
fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    for seed in seeds {
        println!("{}", seed.display());
        check(&std::fs::read(&seed).unwrap());
    }
}

#[test]
fn text() {
    run("text", checks::text);
}

#[test]
fn openmetrics() {
    run("openmetrics", checks::openmetrics);
}

#[test]
fn protobuf() {
    run("protobuf", checks::protobuf);
}

#[test]
fn headers() {
    run("headers", checks::headers);
}

#[test]
fn path() {
    run("path", checks::path);
}

#[test]
fn stock_file() {
    run("stock_file", checks::stock_file);
}

#[test]
fn selector() {
    run("selector", checks::selector);
}

#[test]
fn relabelling() {
    run("relabelling", checks::relabelling);
}

#[test]
fn rules() {
    run("rules", checks::rules);
}
