//! The persistence file. Its content survives a restart, an unusable file stops the start and stays unchanged, and
//! a full disk costs only the pushes that did not fit.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redb::{Database, ReadableDatabase, TableDefinition};
use serde_json::Value;

use crate::programs::{self, ask_until};
use crate::support::{
    Directory, Finished, Gateway, Response, assert_valid_exposition, binary, pushed_lines, run, run_program,
};

/// Flags for a gateway with this file. The port is free.
fn flags(file: &str) -> [String; 2] {
    ["--web.listen-address=127.0.0.1:0".to_owned(), format!("--persistence.file={file}")]
}

/// The arguments of a program that runs the gateway with this file.
fn command(arguments: &[&str], file: &str) -> Vec<String> {
    let own = [binary().into_os_string().into_string().unwrap()];
    arguments.iter().map(ToString::to_string).chain(own).chain(flags(file)).collect()
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn start(file: &str) -> Gateway {
    Gateway::start_exactly(&texts(&flags(file)), &[])
}

/// A start that ends by itself.
fn start_in_vain(file: &str) -> Finished {
    run(&texts(&flags(file)))
}

/// Everything that a restart must bring back.
fn state(gateway: &Gateway) -> Value {
    let keys = gateway.sample("tallygate_idempotency_keys").unwrap();
    let mut listed: Value = serde_json::from_slice(&gateway.get("/api/v1/groups?limit=500").body).unwrap();
    for group in listed["data"]["groups"].as_array_mut().unwrap() {
        // Reasons are in memory only.
        group["last_refusal"].take();
    }
    serde_json::json!({
        "groups": gateway.api()["data"], "listed": listed, "shown": gateway.pushed(), "keys": keys
    })
}

/// Metrics of every type.
const METRICS: &str = "\
# HELP c_total What \\\\ counts.
# TYPE c_total counter
c_total{path=\"/a\"} 0.1
c_total{path=\"/\u{fc}\"} 1e17
# TYPE h histogram
h_bucket{le=\"1\"} 1
h_bucket{le=\"+Inf\"} 3
h_sum 4.5
h_count 3
# TYPE s summary
s{quantile=\"0.5\"} 7
s_sum 8
s_count 9
# TYPE g gauge
g NaN
u -0
";

/// A push with a new key.
#[track_caller]
fn push(gateway: &Gateway, path: &str, key: &str) {
    let response = gateway.request("POST", path, &[("Idempotency-Key", key)], METRICS.as_bytes());
    assert_eq!((response.status, response.header("Idempotent-Replayed")), (200, None), "{}", response.text());
}

/// Makes groups of each kind: with metrics, emptied, failed, deleted.
fn fill(gateway: &Gateway) {
    for number in 0..6 {
        push(gateway, &format!("/metrics/job/j{}/instance/i", number % 3), &number.to_string());
    }
    assert_eq!(gateway.put("/metrics/job/emptied", "").status, 200);
    gateway.refused("/metrics/job/failed", "c_total -1\n");
    assert_eq!(gateway.delete("/metrics/job/j1/instance/i").status, 202);
}

/// Makes a cleanly closed file, and returns the last state of its gateway.
fn filled(file: &str) -> Value {
    let gateway = start(file);
    fill(&gateway);
    let state = state(&gateway);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().status.code(), Some(0));
    state
}

/// Checks that a start failed with a message about this file, and without a stack trace.
#[track_caller]
fn assert_refused(file: &str, finished: &Finished, message: &str) {
    let Finished { status, stderr, .. } = finished;
    assert_eq!(status.code(), Some(1), "{stderr}");
    let error = stderr.lines().last().unwrap_or_default();
    assert!(error.contains("the gateway can't start"), "{stderr}");
    assert!(error.contains(&format!("persistence file {file}: ")), "{stderr}");
    assert!(error.contains(message), "not about {message:?}:\n{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
}

/// Checks that the gateway does not start with this content as its file, prints this, and changes nothing.
#[track_caller]
fn refused(content: &[u8], message: &str) {
    let folder = Directory::new();
    let file = folder.write("store", content);
    assert_refused(&file, &start_in_vain(&file), message);
    assert_eq!(folder.names(), ["store"]);
    assert!(fs::read(&file).unwrap() == content, "the file has changed");
}

// What is kept.

#[test]
fn a_restart_shows_the_same() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    let before = filled(&file);
    for _ in 0..2 {
        let gateway = start(&file);
        assert_eq!(state(&gateway), before);
        assert_valid_exposition(&gateway.scrape());
        gateway.signal("TERM");
        gateway.wait();
    }
    assert_eq!(folder.names(), ["store"]);
}

#[test]
fn pushes_add_to_what_was_there_before() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    for round in 1..=3 {
        let gateway = start(&file);
        push(&gateway, "/metrics/job/a", &round.to_string());
        let count = gateway.sample(r#"h_bucket{instance="",job="a",le="+Inf"}"#);
        assert_eq!(count, Some(3.0 * f64::from(round)));
    }
}

#[test]
fn sums_are_kept_to_the_last_bit() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    // The 1 that does not fit into 1e16 is not lost before the next one arrives.
    for (value, total) in [("1e16", 1e16), ("1", 1e16), ("1", 1e16 + 2.0)] {
        let gateway = start(&file);
        gateway.push("/metrics/job/a", &format!("c_total {value}\n"));
        assert_eq!(gateway.sample(r#"c_total{instance="",job="a"}"#), Some(total));
    }
}

#[test]
fn the_file_is_for_the_gateway_only() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    drop(start(&file));
    assert_eq!(mode(), 0o600);
    // Permissions that somebody has relaxed by hand stay.
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    drop(start(&file));
    assert_eq!(mode(), 0o640);
}

#[test]
fn an_empty_file_is_an_empty_store() {
    let folder = Directory::new();
    let file = folder.write("store", "");
    let gateway = start(&file);
    assert_eq!(gateway.pushed(), "");
    // The file may have been cut off.
    gateway.wait_for_log("the persistence file is empty");
    gateway.push("/metrics/job/a", "g 1\n");
    drop(gateway);
    assert_eq!(start(&file).sample(r#"g{instance="",job="a"}"#), Some(1.0));
}

#[test]
fn a_file_that_was_replaced_under_the_gateway_is_not_overwritten() {
    let folder = Directory::new();
    let (file, other) = (folder.path_of("store"), folder.path_of("other"));
    filled(&other);
    let limit = format!("trap '' XFSZ; ulimit -S -f {BLOCKS_OF_512_BYTES}; exec \"$0\" \"$@\"");
    let gateway = Gateway::start_program(Path::new("sh"), &texts(&command(&["-c", &limit], &file)), &[]);
    let mut pusher = Pusher { acknowledged: Vec::new() };
    while pusher.push(&gateway).is_none() {}
    fs::rename(&other, &file).unwrap();
    let content = fs::read(&file).unwrap();
    raise_limit(&gateway);
    ask_until("a reason", || {
        let reason = gateway.get("/-/ready").text();
        if reason.contains("another file has taken its place") { Ok(()) } else { Err(reason) }
    });
    assert!(fs::read(&file).unwrap() == content, "the file has changed");
}

/// Changes that can't be written at shutdown are lost, which must be reported.
#[test]
fn a_stop_that_loses_something_fails() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    let config = folder.write("config.toml", "[persistence]\nsync = \"interval\"\ninterval = \"1h\"\n");
    let limit = format!("trap '' XFSZ; ulimit -S -f {BLOCKS_OF_512_BYTES}; exec \"$0\" \"$@\"");
    let mut arguments = command(&["-c", &limit], &file);
    arguments.push(format!("--config.file={config}"));
    let gateway = Gateway::start_program(Path::new("sh"), &texts(&arguments), &[]);
    let mut pusher = Pusher { acknowledged: Vec::new() };
    // More than the file can hold.
    while pusher.acknowledged.len() * Pusher::SERIES as usize * 24 < 512 * BLOCKS_OF_512_BYTES as usize {
        assert!(pusher.push(&gateway).is_none());
    }
    gateway.signal("TERM");
    let Finished { status, stderr, .. } = gateway.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the latest changes are lost: they can't be written"), "{stderr}");
}

#[test]
fn the_interval_is_accepted_and_shown() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    let [address, file_flag] = flags(&file);
    let gateway = Gateway::start_exactly(&[&address, &file_flag, "--persistence.interval=90s"], &[]);
    let status: Value = serde_json::from_slice(&gateway.get("/api/v1/status").body).unwrap();
    let shown = &status["data"]["flags"];
    assert_eq!(shown["persistence.interval"], "1m30s");
    assert_eq!(shown["persistence.file"], file);
}

#[test]
fn a_gateway_that_can_keep_pushes_is_ready() {
    let folder = Directory::new();
    let gateway = start(&folder.path_of("store"));
    for path in ["/-/ready", "/-/healthy"] {
        let response = gateway.get(path);
        assert_eq!((response.status, response.text().as_str()), (200, "OK"), "{path}");
    }
}

// Files that can't be used.

/// Offsets in a file: close together in the header, which locates everything else, and then one in each page.
fn offsets(length: usize) -> impl Iterator<Item = usize> {
    const HEADER: usize = 320;
    (0..HEADER).step_by(7).chain((HEADER..length).step_by(1021))
}

/// The file with some bits of one byte flipped.
fn damaged(file: &[u8], offset: usize) -> Vec<u8> {
    let mut bytes = file.to_vec();
    bytes[offset] ^= if offset.is_multiple_of(2) { 0xff } else { 0x10 };
    bytes
}

/// Starts a gateway with each damaged version of a file. If it starts, it must show one of these states. The last
/// one is the state in the file.
fn damage_everywhere(original: &[u8], states: &[Value]) {
    let folder = Directory::new();
    let mut found = 0;
    for offset in offsets(original.len()) {
        let content = damaged(original, offset);
        let file = folder.write("store", &content);
        match Gateway::try_start(&[&format!("--persistence.file={file}")]) {
            Ok(gateway) => {
                let shown = state(&gateway);
                assert!(states.contains(&shown), "wrong values with a flip at {offset}");
                assert!(!gateway.stderr().contains("panicked"), "{offset}: {}", gateway.stderr());
                found += usize::from(states.last() != Some(&shown));
            }
            Err(finished) => {
                // The first bytes identify the file type.
                let message = if offset < 9 { "it is neither a file of this gateway" } else { "damaged" };
                assert_refused(&file, &finished, message);
                assert!(fs::read(&file).unwrap() == content, "the file was changed after a flip at {offset}");
                found += 1;
            }
        }
    }
    // Unused pages may hold anything. The other offsets must have hit used ones.
    assert!(found >= 20, "{found}");
}

#[test]
fn a_damaged_file_is_found_out_or_does_no_harm() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    let state = filled(&file);
    damage_everywhere(&fs::read(&file).unwrap(), &[state]);
}

/// After a kill, the last commit may be unfinished, and damage in it looks the same. So the state before it is the
/// only other one allowed.
#[test]
fn a_damaged_file_of_a_killed_gateway_loses_its_last_push_at_most() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    let gateway = start(&file);
    fill(&gateway);
    let before = state(&gateway);
    push(&gateway, "/metrics/job/j0", "last");
    let last = state(&gateway);
    drop(gateway);
    damage_everywhere(&fs::read(&file).unwrap(), &[before, last]);
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    filled(&file);
    let whole = fs::read(&file).unwrap();
    for length in [1, 8] {
        refused(&whole[..length], "it is neither a file of this gateway nor of a stock Pushgateway");
    }
    for length in [9, 64, 319, 320, 4096, 10_000, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        refused(&whole[..length], "it is damaged");
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let garbage: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for content in [b"# TYPE c_total counter\nc_total 1\n", &b"\0"[..], b"\x1f\x8b\x08\0", b"{}", &garbage] {
        refused(content, "it is neither a file of this gateway nor of a stock Pushgateway");
    }
    refused(&[&b"redb\x1a\x0a\xa9\x0d\x0a"[..], &garbage].concat(), "it is damaged");
}

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const OTHER: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("other");
const OTHER_META: TableDefinition<'_, u64, u64> = TableDefinition::new("meta");

/// Changes a database. Returns its bytes after a clean close and after a crash.
fn database(file: &str, change: impl Fn(&redb::WriteTransaction)) -> [Vec<u8>; 2] {
    let database = Database::create(file).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
    let crashed = fs::read(file).unwrap();
    drop(database);
    [fs::read(file).unwrap(), crashed]
}

/// Checks that the gateway does not start with this database, and prints this. Returns the database afterwards:
/// redb marks a file as open, so its bytes change, but not its content.
#[track_caller]
fn refused_database(content: &[u8], message: &str) -> Database {
    let folder = Directory::new();
    let file = folder.write("store", content);
    assert_refused(&file, &start_in_vain(&file), message);
    assert_eq!(folder.names(), ["store"]);
    Database::open(file).unwrap()
}

#[test]
fn the_database_of_another_program_is_refused() {
    const MESSAGE: &str = "it is a redb file, but none of this gateway";
    let folder = Directory::new();
    for content in database(&folder.path_of("other"), |transaction| {
        transaction.open_table(OTHER).unwrap().insert(1, &b"theirs"[..]).unwrap();
    }) {
        let database = refused_database(&content, MESSAGE);
        let other = database.begin_read().unwrap().open_table(OTHER).unwrap();
        assert_eq!(other.get(1).unwrap().unwrap().value(), b"theirs");
    }
    for content in database(&folder.path_of("meta"), |transaction| {
        transaction.open_table(OTHER_META).unwrap().insert(1, 2).unwrap();
    }) {
        let database = refused_database(&content, MESSAGE);
        let meta = database.begin_read().unwrap().open_table(OTHER_META).unwrap();
        assert_eq!(meta.get(1).unwrap().unwrap().value(), 2);
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    let before = filled(&file);
    let with_format = |format| {
        database(&file, |transaction| {
            transaction.open_table(META).unwrap().insert("format", format).unwrap();
        })
    };
    for content in with_format(4) {
        let message = "a newer tallygate wrote it (format 4, this one knows 3)";
        let database = refused_database(&content, message);
        let meta = database.begin_read().unwrap().open_table(META).unwrap();
        assert_eq!(meta.get("format").unwrap().unwrap().value(), 4);
    }
    // Only the format was wrong.
    for format in [1, 2, 3] {
        with_format(format);
        assert_eq!(state(&start(&file)), before);
    }
}

#[test]
fn a_file_in_use_is_refused_and_its_gateway_goes_on() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    let gateway = start(&file);
    fill(&gateway);
    let before = state(&gateway);
    assert_refused(&file, &start_in_vain(&file), "another process is using it");
    assert_eq!(state(&gateway), before);
    push(&gateway, "/metrics/job/j0", "more");
    let before = state(&gateway);
    drop(gateway);
    assert_eq!(state(&start(&file)), before);
}

#[test]
fn a_folder_is_refused() {
    let folder = Directory::new();
    let path = folder.path_of("folder");
    fs::create_dir(&path).unwrap();
    assert_refused(&path, &start_in_vain(&path), "name a file, not a folder");
    assert_eq!(folder.names(), ["folder"]);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn a_missing_folder_is_refused_and_not_created() {
    let folder = Directory::new();
    let file = folder.path_of("missing/store");
    assert_refused(&file, &start_in_vain(&file), "create the folder, or name another file");
    assert!(folder.names().is_empty());
}

// Permissions.

/// A program, with arguments, that runs another one so that permissions apply to it. For root they apply after it
/// has dropped its capabilities.
fn under_permissions() -> Option<(&'static Path, &'static [&'static str])> {
    const WITHOUT_CAPABILITIES: &[&str] = &["--bounding-set=-all", "--inh-caps=-all", "--"];
    let folder = Directory::new();
    let probe = folder.write("probe", "");
    fs::set_permissions(&probe, Permissions::from_mode(0o000)).unwrap();
    for (program, arguments) in [("env", &[][..]), ("setpriv", WITHOUT_CAPABILITIES)] {
        let runs = |command: &[&str]| {
            let output = Command::new(program).args(arguments).args(command).output();
            output.is_ok_and(|output| output.status.success())
        };
        if runs(&["true"]) && !runs(&["cat", &probe]) {
            return Some((Path::new(program), arguments));
        }
    }
    eprintln!("skipped: this user may open every file, and setpriv does not change that");
    None
}

/// A file or folder with other permissions until it is dropped.
struct Restricted<'a>(&'a Path, Permissions);

impl<'a> Restricted<'a> {
    fn to(path: &'a Path, mode: u32) -> Restricted<'a> {
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        Restricted(path, before)
    }
}

impl Drop for Restricted<'_> {
    fn drop(&mut self) {
        fs::set_permissions(self.0, self.1.clone()).unwrap();
    }
}

#[test]
fn a_file_without_permission_is_refused() {
    let Some((program, arguments)) = under_permissions() else { return };
    let folder = Directory::new();
    let file = folder.path_of("store");
    filled(&file);
    let before = fs::read(&file).unwrap();
    for mode in [0o000, 0o400] {
        let restricted = Restricted::to(Path::new(&file), mode);
        let finished = run_program(program, &texts(&command(arguments, &file)), &[]);
        drop(restricted);
        assert_refused(&file, &finished, "Permission denied");
        assert_refused(&file, &finished, "the gateway must own the file and its folder");
        assert!(fs::read(&file).unwrap() == before);
    }
}

#[test]
fn in_a_read_only_folder_a_file_can_be_used_but_not_created() {
    let Some((program, arguments)) = under_permissions() else { return };
    let folder = Directory::new();
    let file = folder.path_of("store");
    let before = filled(&file);
    let _restricted = Restricted::to(folder.path(), 0o500);

    let gateway = Gateway::start_program(program, &texts(&command(arguments, &file)), &[]);
    assert_eq!(state(&gateway), before);
    push(&gateway, "/metrics/job/j0", "more");
    let more = state(&gateway);
    drop(gateway);
    assert_eq!(state(&start(&file)), more);

    let new = folder.path_of("new");
    let finished = run_program(program, &texts(&command(arguments, &new)), &[]);
    assert_refused(&new, &finished, "Permission denied");
}

// A full disk.

/// Pushes to one group after the other.
struct Pusher {
    /// The jobs of the groups that were acknowledged, sorted.
    acknowledged: Vec<String>,
}

impl Pusher {
    const SERIES: u32 = 300;

    /// Pushes data that needs some space. Returns the answer if it was refused.
    fn push(&mut self, gateway: &Gateway) -> Option<Response> {
        let number = self.acknowledged.len();
        let job = format!("g{number:05}");
        // Labels that have little in common.
        let label = |series: u32| format!("{:x}", u64::from(series + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let body: String = (0..Self::SERIES)
            .map(|series| format!("g{{l=\"{}{}\"}} {number}\n", label(series), label(series * 7919)))
            .collect();
        let response = gateway.post(&format!("/metrics/job/{job}"), &body);
        if response.status == 200 {
            self.acknowledged.push(job);
            return None;
        }
        assert_eq!(response.status, 503, "{}", response.text());
        Some(response)
    }

    /// Checks that exactly the acknowledged pushes are visible.
    #[track_caller]
    fn assert_seen(&self, gateway: &Gateway) {
        let scrape = gateway.scrape();
        let jobs = pushed_lines(&scrape).into_iter().filter_map(|line| {
            let labels = line.strip_prefix("push_time_seconds{")?;
            Some(labels.split('"').nth(3)?.to_owned())
        });
        assert_eq!(jobs.collect::<Vec<_>>(), self.acknowledged);
        let series = scrape.lines().filter(|line| line.starts_with("g{")).count();
        assert_eq!(series, self.acknowledged.len() * Self::SERIES as usize);
    }
}

/// Fills the disk of a gateway with pushes, frees space, and kills the gateway.
fn fill_up(start: impl Fn() -> Gateway, make_room: impl FnOnce(&Gateway)) {
    let gateway = start();
    let mut pusher = Pusher { acknowledged: Vec::new() };
    let refusal = loop {
        if let Some(refusal) = pusher.push(&gateway) {
            break refusal;
        }
    };
    assert!(!pusher.acknowledged.is_empty());
    pusher.assert_seen(&gateway);
    assert!(refusal.header("Retry-After").unwrap().parse::<u32>().unwrap() > 0);
    assert!(refusal.text().contains("try again later"), "{}", refusal.text());
    assert!(gateway.sample(r#"tallygate_commits_total{result="failed"}"#).unwrap() >= 1.0);

    // A smaller write may fit meanwhile, so the gateway is ready again until the next push.
    let reason = ask_until("a gateway that is not ready", || {
        pusher.push(&gateway);
        let ready = gateway.get("/-/ready");
        if ready.status == 503 { Ok(ready.text()) } else { Err("it is ready".to_owned()) }
    });
    assert!(reason.starts_with("pushes can't be kept: persistence file "), "{reason}");
    assert!(reason.contains("(os error "), "{reason}");
    assert_eq!(gateway.get("/-/healthy").status, 200);
    pusher.assert_seen(&gateway);
    assert_valid_exposition(&gateway.scrape());

    make_room(&gateway);
    ask_until("a push that is kept", || match pusher.push(&gateway) {
        None => Ok(()),
        Some(refusal) => Err(refusal.text()),
    });
    assert_eq!(gateway.get("/-/ready").status, 200);
    gateway.wait_for_log("the persistence file can be written again");
    assert!(pusher.push(&gateway).is_none());
    pusher.assert_seen(&gateway);

    let before = state(&gateway);
    // Kills the gateway.
    drop(gateway);
    let gateway = start();
    assert!(state(&gateway) == before, "a restart shows something else");
    pusher.assert_seen(&gateway);
}

#[test]
fn a_full_disk_refuses_pushes_until_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let file = disk.folder.path_of("store");
    let ballast = disk.seen_from_here("ballast");
    fs::write(&ballast, vec![0; SmallDisk::BYTES / 3]).unwrap();
    fill_up(|| disk.start(&file), |_| fs::remove_file(&ballast).unwrap());
}

/// How large a file may be at most, in the tests that limit it.
const BLOCKS_OF_512_BYTES: u32 = 1024;

/// Lets the files of a gateway grow again.
fn raise_limit(gateway: &Gateway) {
    let process = format!("--pid={}", gateway.process_id());
    programs::output_of(Command::new("prlimit").args([&process, "--fsize=unlimited:"]));
}

/// The same with a limit of the file size, which needs no privileges.
#[test]
fn a_file_at_its_limit_refuses_pushes_until_it_is_raised() {
    let folder = Directory::new();
    let file = folder.path_of("store");
    // A write beyond the limit sends a signal, which the shell ignores and so does the gateway.
    let script = format!("trap '' XFSZ; ulimit -S -f {BLOCKS_OF_512_BYTES}; exec \"$0\" \"$@\"");
    let is_limited = Cell::new(true);
    let start = || {
        if is_limited.get() {
            Gateway::start_program(Path::new("sh"), &texts(&command(&["-c", &script], &file)), &[])
        } else {
            start(&file)
        }
    };
    fill_up(start, |gateway| {
        // The gateway keeps the file locked while it can't write it.
        assert_refused(&file, &start_in_vain(&file), "another process is using it");
        raise_limit(gateway);
        is_limited.set(false);
    });
}

/// A small file system in memory, in its own mount namespace, which ends with the process that holds it.
struct SmallDisk {
    holder: Child,
    /// Where it is for the programs that are started with [`SmallDisk::start`].
    folder: Directory,
}

impl SmallDisk {
    const BYTES: usize = 1 << 20;

    /// Skips, and prints why, if mounting is not permitted, as in most containers. This also holds with
    /// `TALLYGATE_TEST_ALL=1`, because nothing can be installed to change it, and a file at its size limit looks
    /// the same to the gateway.
    fn mount() -> Option<SmallDisk> {
        let folder = Directory::new();
        let mount = format!("mount -t tmpfs -o size={} tallygate-test", SmallDisk::BYTES);
        let script = format!("{mount} '{}' && echo mounted && exec cat", folder.path().display());
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .inspect_err(|error| eprintln!("skipped: there is no unshare: {error}"))
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line == "mounted\n" {
            return Some(SmallDisk { holder, folder });
        }
        let output = holder.wait_with_output().unwrap();
        eprintln!("skipped: mounting is not permitted: {}", String::from_utf8_lossy(&output.stderr).trim());
        None
    }

    /// The path of a file on it for this process.
    fn seen_from_here(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.folder.path().strip_prefix("/").unwrap()).join(name)
    }

    fn start(&self, file: &str) -> Gateway {
        let holder = self.holder.id().to_string();
        let enter = ["--target", &holder, "--user", "--mount", "--preserve-credentials", "--"];
        Gateway::start_program(Path::new("nsenter"), &texts(&command(&enter, file)), &[])
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The namespace and the file system go with it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
