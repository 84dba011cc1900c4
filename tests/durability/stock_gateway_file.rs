//! The stock gateway itself loads the files that are written for it, and what it saves can be read again.
//!
//! Skipped if there is no stock gateway; see `tests/programs/mod.rs`.

use std::path::Path;

use serde_json::Value;
use tallygate::persistence::stock_file::{StockGroup, read, write};

use crate::programs;
use crate::support::{Directory, Gateway};

/// A file that was recorded from a stock gateway.
fn sample(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/persistence-samples");
    std::fs::read(folder.join(name)).unwrap()
}

/// Starts the stock gateway with a file.
fn start(stock: &Path, file: &str) -> Gateway {
    let flags = ["--web.listen-address=127.0.0.1:0", &format!("--persistence.file={file}")];
    Gateway::start_program(stock, &flags, &[])
}

/// The groups in the API, sorted and without times, which are printed in the time zone of the file.
fn groups_in_api(gateway: &Gateway) -> Vec<String> {
    let mut answer = gateway.api();
    let groups = answer["data"].as_array_mut().unwrap();
    for family in groups.iter_mut().flat_map(|group| group.as_object_mut().unwrap().values_mut()) {
        if let Some(family) = family.as_object_mut() {
            family.remove("time_stamp");
        }
    }
    let mut groups: Vec<_> = groups.iter().map(Value::to_string).collect();
    groups.sort();
    groups
}

/// The groups of a file as the stock gateway shows them, and as it saves them at shutdown.
fn groups_at_stock(stock: &Path, file: &[u8]) -> (Vec<String>, Vec<StockGroup>) {
    let folder = Directory::new();
    let path = folder.write("file", file);
    let gateway = start(stock, &path);
    assert!(!gateway.stderr().contains("could not load"), "{}", gateway.stderr());
    let shown = groups_in_api(&gateway);
    gateway.signal("TERM");
    gateway.wait();
    let written = read(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(written.skipped, []);
    (shown, written.groups)
}

/// The groups without messages, which a gateway older than the sample may write differently.
fn times_in(mut groups: Vec<StockGroup>) -> Vec<StockGroup> {
    for family in groups.iter_mut().flat_map(|group| &mut group.families) {
        family.message = None;
    }
    groups
}

#[test]
fn a_file_means_the_same_to_the_stock_gateway_once_it_is_read_and_written() {
    let Some(stock) = programs::stock() else { return };
    for name in ["0-empty.gob", "1-minimal.gob", "2-classic.gob", "3-native-utf8.gob"] {
        let original = sample(name);
        let groups = read(&original).unwrap().groups;
        let ours = groups_at_stock(&stock, &write(&groups));
        assert_eq!(ours, groups_at_stock(&stock, &original), "{name}");
        let (shown, written) = ours;
        assert_eq!(shown.len(), groups.len(), "{name}");
        assert_eq!(times_in(written), times_in(groups), "{name}");
    }
}

#[test]
fn a_push_finds_its_group() {
    let Some(stock) = programs::stock() else { return };
    let folder = Directory::new();
    let mut groups = read(&sample("1-minimal.gob")).unwrap().groups;
    groups.push(groups[0].clone());
    groups[1].labels.insert(0, ("a".into(), "b/c".into()));
    let gateway = start(&stock, &folder.write("file", write(&groups)));
    // Each group is checked against the others, so a group under a wrong key would clash.
    assert_eq!(gateway.delete("/metrics/job/j/a@base64/Yi9j").status, 202);
    gateway.push("/metrics/job/j", "g 2\n");
    let groups = groups_in_api(&gateway);
    assert!(groups.len() == 1 && groups[0].contains(r#""value":"2""#), "{groups:?}");
}
