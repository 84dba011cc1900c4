//! Migration from a stock gateway and back: its persistence file is imported with everything in it, and the
//! original is kept. `tallygate export --stock` writes a file that a stock gateway loads.
//!
//! The samples, and the recorded answers of their gateways, are described in `tests/persistence-samples/README.md`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use tallygate::persistence::stock_file::{StockFamily, StockFile, StockGroup, read, write};

use crate::programs;
use crate::support::{Directory, Finished, Gateway, assert_valid_exposition, pushed_lines, run};

const SAMPLES: [&str; 4] = ["0-empty", "1-minimal", "2-classic", "3-native-utf8"];

fn recorded(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/persistence-samples").join(name)).unwrap()
}

/// The file of a stock gateway.
fn sample(name: &str) -> Vec<u8> {
    recorded(&format!("{name}.gob"))
}

/// Starts a gateway with this file, replacing as the stock gateway does.
fn start(file: &str) -> Gateway {
    Gateway::start(&["--no-push.aggregate", &format!("--persistence.file={file}")])
}

/// Starts a gateway that adds.
fn start_adding(file: &str) -> Gateway {
    Gateway::start(&[&format!("--persistence.file={file}")])
}

/// Stops a gateway cleanly, and returns its log.
fn stop(gateway: Gateway) -> String {
    // It handles SIGTERM once it serves.
    assert_eq!(gateway.get("/-/ready").status, 200);
    gateway.signal("TERM");
    let Finished { status, stderr, .. } = gateway.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    stderr
}

/// What the log says was left out.
fn left_out(gateway: &Gateway) -> Vec<String> {
    let log = gateway.stderr();
    let lines =
        log.lines().filter_map(|line| line.split_once("left out of the stock gateway's file\" what="));
    lines.map(|(_, what)| what.to_owned()).collect()
}

/// The groups in an answer of `/api/v1/metrics`, sorted, and with times as instants, because gateways print them in
/// different time zones.
fn groups_in(mut answer: Value) -> Vec<Value> {
    let mut groups = std::mem::take(answer["data"].as_array_mut().unwrap());
    for family in groups.iter_mut().flat_map(|group| group.as_object_mut().unwrap().values_mut()) {
        if let Some(time) = family.get_mut("time_stamp") {
            *time = nanos(time.as_str().unwrap()).into();
        }
    }
    groups.sort_by_cached_key(|group| group["labels"].to_string());
    groups
}

/// A time of RFC 3339 in nanoseconds since the Unix epoch.
fn nanos(text: &str) -> u64 {
    let (time, hours) = match text.strip_suffix("-05:00") {
        Some(time) => (format!("{time}Z"), 5),
        None => (text.to_owned(), 0),
    };
    let time = humantime::parse_rfc3339(&time).unwrap() + Duration::from_secs(hours * 3600);
    time.duration_since(UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap()
}

/// The recorded groups of the stock gateway without these families.
fn recorded_groups(name: &str, without: &[&str]) -> Vec<Value> {
    let answer = recorded(&format!("{name}.api-metrics.raw.json"));
    let mut groups = groups_in(serde_json::from_slice(&answer).unwrap());
    groups.iter_mut().for_each(|group| leave_out(group, without));
    groups
}

/// Removes these families from a group of the API.
fn leave_out(group: &mut Value, without: &[&str]) {
    group.as_object_mut().unwrap().retain(|name, _| !without.contains(&name.as_str()));
}

/// Removes labels with empty values from a group of the API, but for the `instance` that series have.
fn drop_empty_labels(value: &mut Value) {
    let Some(members) = value.as_object_mut() else {
        value.as_array_mut().into_iter().flatten().for_each(drop_empty_labels);
        return;
    };
    if let Some(labels) = members.get_mut("labels").and_then(Value::as_object_mut) {
        labels.retain(|name, value| value != "" || name == "instance");
    }
    members.values_mut().for_each(drop_empty_labels);
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// The exposition of the stock gateway, without its own metrics and without these families.
fn recorded_lines(name: &str, without: &[&str]) -> Vec<String> {
    lines_without(&String::from_utf8(recorded(&format!("{name}.metrics.txt"))).unwrap(), without)
}

/// The lines of an exposition that were pushed, without these families.
fn lines_without(exposition: &str, without: &[&str]) -> Vec<String> {
    let mut lines = pushed_lines(exposition);
    lines.retain(|line| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        // Names are escaped here.
        !without.iter().any(|family| name.starts_with(&family.replace('.', "_")))
    });
    lines
}

// Moving in.

#[test]
fn everything_is_taken_over_but_what_does_not_exist_here() {
    for (name, without) in SAMPLES.into_iter().zip([&[][..], &[], &[], &["nhcb"]]) {
        let folder = Directory::new();
        let gateway = start(&folder.write("store", sample(name)));
        assert_eq!(groups_in(gateway.api()), recorded_groups(name, without), "{name}");
        assert_eq!(pushed_lines(&gateway.scrape()), recorded_lines(name, without), "{name}");
        assert_eq!(left_out(&gateway).len(), without.len(), "{name}: {}", gateway.stderr());
        assert_valid_exposition(&gateway.scrape());
    }
}

/// A gateway that adds checks more, because it must be able to add to what it imports.
#[test]
fn what_fails_the_checks_of_a_push_is_reported_and_left_out() {
    for (name, without) in SAMPLES.into_iter().zip([&[][..], &[], &[], &["gaugehist", "native.int", "nhcb"]])
    {
        let folder = Directory::new();
        let gateway = start_adding(&folder.write("store", sample(name)));
        let mut groups = recorded_groups(name, without);
        groups.iter_mut().for_each(drop_empty_labels);
        groups.sort_by_cached_key(|group| group["labels"].to_string());
        assert_eq!(groups_in(gateway.api()), groups, "{name}");
        let lines = recorded_lines(name, without).into_iter();
        let lines = sorted(lines.map(|line| line.replace("empty=\"\",", "")));
        assert_eq!(sorted(pushed_lines(&gateway.scrape()).into_iter()), lines, "{name}");
        let reports = left_out(&gateway);
        assert_eq!(reports.len(), without.len(), "{name}: {reports:?}");
        for (report, family) in reports.iter().zip(without) {
            assert!(report.starts_with(&format!(r#""family {family} of group {{job=\"nat\","#)), "{report}");
        }
        gateway.wait_for_log(&format!("left_out={}", without.len()));
    }
}

#[test]
fn pushes_add_to_what_was_taken_over() {
    let folder = Directory::new();
    let gateway = start_adding(&folder.write("store", sample("2-classic")));
    let body = "# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\",method=\"get\"} 3\n\
                # TYPE lat_seconds histogram\nlat_seconds_bucket{path=\"/x\",le=\"0.1\"} 1\n\
                lat_seconds_bucket{path=\"/x\",le=\"1\"} 1\nlat_seconds_bucket{path=\"/x\",le=\"+Inf\"} 1\n\
                lat_seconds_sum{path=\"/x\"} 0.05\nlat_seconds_count{path=\"/x\"} 1\n";
    gateway.push("/metrics/job/batch/instance/host-1", body);
    let value = |series: &str| gateway.sample(series);
    let labels = r#"instance="host-1",job="batch""#;
    assert_eq!(value(&format!(r#"http_requests_total{{code="200",{labels},method="get"}}"#)), Some(1030.0));
    assert_eq!(value(&format!(r#"lat_seconds_bucket{{{labels},path="/x",le="0.1"}}"#)), Some(6.0));
    assert_eq!(value(&format!(r#"lat_seconds_count{{{labels},path="/x"}}"#)), Some(11.0));
}

#[test]
fn the_original_is_kept_byte_for_byte_and_not_read_again() {
    for name in SAMPLES {
        let folder = Directory::new();
        let original = sample(name);
        let file = folder.write("store", &original);
        let gateway = start(&file);
        gateway.push("/metrics/job/new", "fresh 1\n");
        let before = groups_in(gateway.api());
        assert!(stop(gateway).contains("imported the stock gateway's persistence file"));

        let gateway = start(&file);
        assert_eq!(groups_in(gateway.api()), before, "{name}");
        assert!(!stop(gateway).contains("imported"), "{name}");
        assert!(fs::read(folder.path_of("store.stock")).unwrap() == original, "{name}");
        assert_eq!(folder.names(), ["store", "store.stock"]);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_was_kept_before_is_not_overwritten() {
    let folder = Directory::new();
    let [older, newer] = ["1-minimal", "2-classic"].map(sample);
    let file = folder.write("store", &newer);
    folder.write("store.stock", &older);
    stop(start(&file));
    assert!(fs::read(folder.path_of("store.stock")).unwrap() == older);
    assert!(fs::read(folder.path_of("store.stock.1")).unwrap() == newer);

    // The same again, as after an interrupted start.
    folder.write("store", &newer);
    stop(start(&file));
    assert_eq!(folder.names(), ["store", "store.stock", "store.stock.1"]);
}

#[test]
fn a_damaged_file_is_refused_and_stays_as_it_is() {
    let whole = sample("2-classic");
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    // Cut off within the definitions, before the groups, and within the groups. Then changes of a length in the
    // definitions, of the type of the groups, and of the number of groups.
    let value = 1464;
    let damaged = [
        whole[..700].to_vec(),
        whole[..value].to_vec(),
        whole[..value + 1].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        changed(80, 0x7f),
        changed(value + 4, 0x80),
        changed(value + 6, 0x7f),
    ];
    for content in damaged {
        let folder = Directory::new();
        let file = folder.write("store", &content);
        let flags = ["--web.listen-address=127.0.0.1:0", &format!("--persistence.file={file}")];
        let Finished { status, stderr, .. } = run(&flags);
        assert_eq!(status.code(), Some(1), "{stderr}");
        let error = stderr.lines().last().unwrap();
        assert!(error.contains("it is damaged (as the file of a stock Pushgateway: "), "{error}");
        assert!(error.contains("(at byte "), "{error}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(fs::read(&file).unwrap() == content, "the file has changed");
        assert_eq!(folder.names(), ["store"]);
    }
}

// Groups that no path can name.

/// A group with these labels and one gauge, `g`.
fn group(labels: &[(&str, &str)]) -> StockGroup {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let message = b"\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\0\0\0\0\0\0\xf8\x3f".to_vec();
    let family =
        StockFamily { name: "g".to_owned(), pushed_at: 1_700_000_000_000_000_000, message: Some(message) };
    StockGroup { labels, families: vec![family] }
}

#[test]
fn groups_without_a_job_are_reported_and_left_out() {
    let folder = Directory::new();
    let groups = [group(&[]), group(&[("instance", "i")]), group(&[("job", "")]), group(&[("job", "j")])];
    let gateway = start_adding(&folder.write("store", write(&groups)));
    assert_eq!(gateway.pushed(), "# TYPE g gauge\ng{instance=\"\",job=\"j\"} 1.5\n");
    let reports = left_out(&gateway);
    assert_eq!(reports.len(), 3, "{reports:?}");
    for report in &reports {
        assert!(report.contains("it has no job"), "{report}");
    }
    assert!(reports.iter().any(|report| report.contains(r#"instance=\"i\""#)), "{reports:?}");
}

/// The stock gateway creates a group for a failed push, even beside one that differs only in an empty `instance`.
/// After that, every push to it fails. Here both are one group.
#[test]
fn a_group_that_only_failed_does_not_stand_in_the_way_of_its_twin() {
    for start in [start, start_adding] {
        let folder = Directory::new();
        let mut failed = group(&[("instance", ""), ("job", "j")]);
        failed.families.clear();
        let gateway = start(&folder.write("store", write(&[failed, group(&[("job", "j")])])));
        assert_eq!(gateway.pushed(), "# TYPE g gauge\ng{instance=\"\",job=\"j\"} 1.5\n");
        assert_eq!(left_out(&gateway), [""; 0]);
        assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn groups_and_series_that_differ_in_empty_labels_become_one_where_values_add_up() {
    // c{} 1.5 and c{k=""} 1.5
    let metric = b"\x22\x0b\x1a\x09\x09\0\0\0\0\0\0\xf8\x3f";
    let labelled = b"\x22\x12\x0a\x05\x0a\x01k\x12\0\x1a\x09\x09\0\0\0\0\0\0\xf8\x3f";
    let message = [&b"\x0a\x01c\x18\0"[..], metric, labelled].concat();
    let groups = [group(&[("job", "j")]), group(&[("env", ""), ("job", "j")])].map(|mut group| {
        group.families[0].message = Some(message.clone());
        group.families[0].name = "c".to_owned();
        group
    });
    let folder = Directory::new();
    let gateway = start_adding(&folder.write("store", write(&groups)));
    assert_eq!(gateway.pushed(), "# TYPE c counter\nc{instance=\"\",job=\"j\"} 6\n", "{}", gateway.stderr());
    assert_eq!(left_out(&gateway), [""; 0]);
    assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 1);
}

#[test]
fn groups_that_are_not_utf_8_are_reported_and_left_out() {
    let folder = Directory::new();
    let mut bytes = write(&[group(&[("job", "j")]), group(&[("job", "k")])]);
    let at = bytes.windows(6).position(|window| window == b"\x03job\x01k").unwrap();
    bytes[at + 5] = 0xff;
    let gateway = start_adding(&folder.write("store", bytes));
    assert_eq!(gateway.pushed(), "# TYPE g gauge\ng{instance=\"\",job=\"j\"} 1.5\n");
    let reports = left_out(&gateway);
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("is left out: a label of it is not UTF-8"), "{reports:?}");
}

// And back.

/// Runs `tallygate export --stock`.
fn export(to: &str, file: &str) -> Finished {
    run(&["export", "--stock", to, &format!("--persistence.file={file}")])
}

/// A file for the stock gateway, made from one of its files.
fn exported(original: &[u8]) -> Vec<u8> {
    let folder = Directory::new();
    let file = folder.write("store", original);
    stop(start(&file));
    let to = folder.path_of("exported");
    let finished = export(&to, &file);
    assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(0), ""));
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    fs::read(to).unwrap()
}

/// The groups of a file without these families.
fn groups_without(file: StockFile, without: &[&str]) -> Vec<StockGroup> {
    assert_eq!(file.skipped, []);
    let mut groups = file.groups;
    groups.iter_mut().for_each(|group| group.families.retain(|family| !without.contains(&&*family.name)));
    groups
}

#[test]
fn an_export_holds_the_same_groups_families_and_times() {
    for (name, without) in SAMPLES.into_iter().zip([&[][..], &[], &[], &["nhcb"]]) {
        let original = sample(name);
        let exported = exported(&original);
        let without_messages = |file: &[u8]| {
            let mut groups = groups_without(read(file).unwrap(), without);
            groups.iter_mut().flat_map(|group| &mut group.families).for_each(|family| family.message = None);
            groups
        };
        assert_eq!(without_messages(&exported), without_messages(&original), "{name}");

        // Their content, as it is shown once it is imported again.
        let folder = Directory::new();
        let gateway = start(&folder.write("store", exported));
        assert_eq!(groups_in(gateway.api()), recorded_groups(name, without), "{name}");
        assert_eq!(pushed_lines(&gateway.scrape()), recorded_lines(name, without), "{name}");
    }
}

#[test]
fn messages_of_an_export_are_those_of_the_stock_gateway_to_the_byte() {
    for name in ["1-minimal", "2-classic"] {
        let messages = |file: &[u8]| {
            let groups = read(file).unwrap().groups;
            let families = groups.into_iter().flat_map(|group| group.families);
            families.map(|family| (family.name, family.message.unwrap())).collect::<Vec<_>>()
        };
        let original = sample(name);
        for (ours, theirs) in messages(&exported(&original)).into_iter().zip(messages(&original)) {
            // A histogram with float counts has its fields in another order.
            let is_ordered = theirs.0 != "fh";
            let comparable = |mut message: Vec<u8>| {
                if !is_ordered {
                    message.sort_unstable();
                }
                message
            };
            assert_eq!((ours.0, comparable(ours.1)), (theirs.0, comparable(theirs.1)), "{name}");
        }
    }
}

#[test]
fn an_export_needs_a_file_that_is_there() {
    let folder = Directory::new();
    let (file, to) = (folder.path_of("store"), folder.path_of("exported"));
    let Finished { status, stderr, .. } = export(&to, &file);
    assert_eq!(status.code(), Some(1));
    assert!(stderr.starts_with(&format!("tallygate export: persistence file {file}: ")), "{stderr}");
    let Finished { status, stderr, .. } = run(&["export", "--stock", &to]);
    assert_eq!(status.code(), Some(2));
    assert!(stderr.contains("export needs the file to read: --persistence.file"), "{stderr}");
    for flags in [&["export"][..], &["export", "--stock"]] {
        let Finished { status, stderr, .. } = run(flags);
        assert_eq!(status.code(), Some(2));
        assert!(stderr.contains("--stock <FILE>") && stderr.lines().count() == 1, "{stderr}");
    }
    assert!(folder.names().is_empty());
}

#[test]
fn an_export_does_not_overwrite() {
    let folder = Directory::new();
    let file = folder.write("store", sample("1-minimal"));
    stop(start(&file));
    let to = folder.write("exported", "mine");
    let Finished { status, stderr, .. } = export(&to, &file);
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        stderr,
        format!("tallygate export: {to} is there already: name another file, or move it away\n")
    );
    assert_eq!(fs::read(&to).unwrap(), b"mine");
    // Least of all the file that it reads.
    assert_eq!(export(&file, &file).status.code(), Some(1));
    stop(start(&file));
}

#[test]
fn an_export_needs_the_gateway_to_stop_first() {
    let folder = Directory::new();
    let (file, to) = (folder.path_of("store"), folder.path_of("exported"));
    let gateway = start(&file);
    let Finished { status, stderr, .. } = export(&to, &file);
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("another process is using it"), "{stderr}");
    gateway.push("/metrics/job/a", "g 1\n");
    stop(gateway);
    assert_eq!(export(&to, &file).status.code(), Some(0));
    assert_eq!(read(&fs::read(&to).unwrap()).unwrap().groups.len(), 1);
}

#[test]
fn an_export_does_not_change_what_it_reads() {
    let folder = Directory::new();
    let file = folder.write("store", sample("2-classic"));
    let gateway = start(&file);
    let before = groups_in(gateway.api());
    stop(gateway);
    let exports = ["first", "second"].map(|name| {
        let to = folder.path_of(name);
        assert_eq!(export(&to, &file).status.code(), Some(0));
        fs::read(to).unwrap()
    });
    assert!(exports[0] == exports[1]);
    assert_eq!(groups_in(start(&file).api()), before);
}

/// Starts the stock gateway with this content as its file.
fn start_stock(program: &Path, folder: &Directory, content: &[u8]) -> Gateway {
    let file = folder.write("stock", content);
    let flags = ["--web.listen-address=127.0.0.1:0", &format!("--persistence.file={file}")];
    let gateway = Gateway::start_program(program, &flags, &[]);
    assert!(!gateway.stderr().contains("could not load"), "{}", gateway.stderr());
    gateway
}

/// The answers of a stock gateway are compared with what the same gateway shows of the original file, because an
/// older one leaves out what it does not know.
#[test]
fn a_stock_gateway_shows_the_same_with_an_export() {
    let Some(program) = programs::stock() else { return };
    let shown = |content: &[u8], without: &[&str]| {
        let folder = Directory::new();
        let gateway = start_stock(&program, &folder, content);
        let mut groups = groups_in(gateway.api());
        groups.iter_mut().for_each(|group| leave_out(group, without));
        // A gateway that does not know UTF-8 names fails every scrape with them.
        let scrape = gateway.get("/metrics");
        let lines = if scrape.status == 200 { lines_without(&scrape.text(), without) } else { Vec::new() };
        (groups, scrape.status, lines)
    };
    for (name, without) in SAMPLES.into_iter().zip([&[][..], &[], &[], &["nhcb"]]) {
        let original = sample(name);
        assert_eq!(shown(&exported(&original), without), shown(&original, without), "{name}");
    }
}

#[test]
fn a_stock_gateway_shows_what_was_pushed_here() {
    let Some(program) = programs::stock() else { return };
    let folder = Directory::new();
    let (file, to) = (folder.path_of("store"), folder.path_of("exported"));
    let gateway = start_adding(&file);
    let body = "# TYPE c_total counter\nc_total{a=\"\\\"\\\\\\n\"} 0.1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n\
                h_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\n\
                s_count 2\n# HELP g Some help.\n# TYPE g gauge\ng -Inf\nu 1e300\n";
    for path in ["/metrics/job/a", "/metrics/job/a", "/metrics/job/b/dir@base64/L3Zhcg"] {
        gateway.push(path, body);
    }
    // Other buckets than before.
    gateway.push(
        "/metrics/job/a",
        "# TYPE h histogram\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
    );
    gateway.refused("/metrics/job/failed", "c_total -1\n");
    gateway.put("/metrics/job/emptied", "");
    let (groups, lines) = (groups_in(gateway.api()), pushed_lines(&gateway.scrape()));
    stop(gateway);
    assert_eq!(export(&to, &file).status.code(), Some(0));

    let stock = start_stock(&program, &folder, &fs::read(to).unwrap());
    assert_eq!(groups_in(stock.api()), groups);
    assert_eq!(pushed_lines(&stock.scrape()), lines);
    assert_eq!(stock.post("/metrics/job/a", "more 1\n").status, 200);
}
