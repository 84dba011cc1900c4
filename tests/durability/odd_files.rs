//! Paths that name something else than a regular file of the gateway: FIFOs, sockets, devices and links. The
//! gateway neither waits for them nor overwrites them, and the log says what is in the way.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::{Directory, Gateway, run};

fn start(file: &str) -> Gateway {
    Gateway::start(&[&format!("--persistence.file={file}")])
}

/// Starts a gateway with this file, which must end with 1; gives its log.
#[track_caller]
fn start_in_vain(file: &str) -> String {
    let ended = run(&["--web.listen-address=127.0.0.1:0", &format!("--persistence.file={file}")]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    ended.stderr
}

/// A file of this gateway with one series.
fn own_file(file: &str) -> Vec<u8> {
    let gateway = start(file);
    gateway.push("/metrics/job/a", "g 1\n");
    gateway.signal("TERM");
    assert_eq!(gateway.wait().status.code(), Some(0));
    fs::read(file).unwrap()
}

fn stock_file() -> Vec<u8> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/persistence-samples");
    fs::read(samples.join("1-minimal.gob")).unwrap()
}

fn make_fifo(path: &str) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn is_file(path: &str) -> bool {
    fs::symlink_metadata(path).unwrap().is_file()
}

#[test]
fn what_is_no_file_stops_the_start() {
    let folder = Directory::new();
    let [fifo, socket, device] = ["fifo", "socket", "device"].map(|name| folder.path_of(name));
    make_fifo(&fifo);
    let _listener = UnixListener::bind(&socket).unwrap();
    symlink("/dev/zero", &device).unwrap();
    for (path, what) in [(&fifo, "a FIFO"), (&socket, "a socket"), (&device, "a device")] {
        let log = start_in_vain(path);
        let said =
            format!("persistence file {path}: it is {what}, not a regular file: name a file of its own");
        assert!(log.contains(&said), "{log}");
    }
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    assert_eq!(folder.names(), ["device", "fifo", "socket"]);
}

#[test]
fn what_is_in_the_place_of_the_next_file_stops_the_start() {
    for own in [None, Some(own_file as fn(&str) -> Vec<u8>)] {
        let folder = Directory::new();
        let (file, new) = (folder.path_of("store"), folder.path_of("store.new"));
        let before = own.map(|own| own(&file));
        make_fifo(&new);
        let said = format!("{new}: it is a FIFO, not a regular file: move it away");
        let log = start_in_vain(&file);
        assert!(log.contains(&said), "{log}");
        fs::remove_file(&new).unwrap();
        // A link is not followed either.
        let other = folder.write("other", "something else");
        symlink("other", &new).unwrap();
        let log = start_in_vain(&file);
        assert!(log.contains(&format!("{new}: it is a link, not a regular file: move it away")), "{log}");
        assert_eq!(fs::read_to_string(other).unwrap(), "something else");
        assert_eq!(fs::read(&file).ok(), before);
        fs::remove_file(&new).unwrap();
        start(&file).push("/metrics/job/a", "g 2\n");
    }
}

#[test]
fn what_is_in_the_place_of_the_kept_file_stops_the_import() {
    let folder = Directory::new();
    let (file, kept) = (folder.write("store", stock_file()), folder.path_of("store.stock"));
    make_fifo(&kept);
    let log = start_in_vain(&file);
    assert!(log.contains(&format!("{kept}: it is a FIFO, not a regular file: move it away")), "{log}");
    fs::remove_file(&kept).unwrap();
    symlink("store", &kept).unwrap();
    let log = start_in_vain(&file);
    assert!(log.contains(&format!("{kept}: it is a link, not a regular file: move it away")), "{log}");
    assert_eq!(fs::read(&file).unwrap(), stock_file());
}

#[test]
fn a_copy_takes_the_place_of_a_link() {
    let folder = Directory::new();
    let (link, target) = (folder.path_of("link"), folder.path_of("target"));
    let content = own_file(&target);
    // A relative one, as is usual.
    symlink("target", &link).unwrap();
    let gateway = start(&link);
    gateway.wait_for_log("the persistence file was a link");
    assert_eq!(gateway.sample(r#"g{instance="",job="a"}"#), Some(1.0));
    gateway.push("/metrics/job/a", "g 2\n");
    drop(gateway);
    assert!(is_file(&link));
    assert_eq!(fs::metadata(&link).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read(&target).unwrap() == content, "what the link pointed to has changed");
    assert_eq!(start(&link).sample(r#"g{instance="",job="a"}"#), Some(2.0));
    assert_eq!(folder.names(), ["link", "target"]);
}

#[test]
fn a_link_to_a_file_in_use_is_refused() {
    let folder = Directory::new();
    let (link, target) = (folder.path_of("link"), folder.path_of("target"));
    let _gateway = start(&target);
    symlink("target", &link).unwrap();
    let log = start_in_vain(&link);
    assert!(log.contains("another process is using it"), "{log}");
    assert_eq!(folder.names(), ["link", "target"]);
}

#[test]
fn a_file_takes_the_place_of_a_link_to_nothing_or_to_an_empty_file() {
    for content in [None, Some("")] {
        let folder = Directory::new();
        let (link, target) = (folder.path_of("link"), folder.path_of("target"));
        if let Some(content) = content {
            folder.write("target", content);
        }
        symlink("target", &link).unwrap();
        start(&link).push("/metrics/job/a", "g 1\n");
        assert!(is_file(&link));
        assert_eq!(start(&link).sample(r#"g{instance="",job="a"}"#), Some(1.0));
        assert_eq!(fs::read_to_string(&target).ok().as_deref(), content);
    }
}

#[test]
fn the_stock_file_behind_a_link_stays_there() {
    let folder = Directory::new();
    let (link, target) = (folder.path_of("link"), folder.write("target", stock_file()));
    symlink("target", &link).unwrap();
    let gateway = start(&link);
    gateway.wait_for_log("imported the stock gateway's persistence file");
    assert!(gateway.stderr().contains(&target), "{}", gateway.stderr());
    assert!(is_file(&link));
    assert_eq!(fs::read(&target).unwrap(), stock_file());
    assert_eq!(folder.names(), ["link", "target"]);
}

#[test]
fn an_export_leaves_a_link_alone() {
    let folder = Directory::new();
    let (link, target) = (folder.path_of("link"), folder.path_of("target"));
    own_file(&target);
    symlink("target", &link).unwrap();
    let to = folder.path_of("to");
    let ended = run(&["export", "--stock", &to, &format!("--persistence.file={link}")]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_mode_that_lets_others_read_is_warned_of() {
    const WARNING: &str = "others than its owner can read the persistence file";
    let folder = Directory::new();
    let file = folder.path_of("store");
    own_file(&file);
    for (mode, is_warned_of) in [(0o600, false), (0o622, false), (0o640, true), (0o604, true), (0o644, true)]
    {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let log = start(&file).stderr();
        assert_eq!(log.matches(WARNING).count(), usize::from(is_warned_of), "{mode:o}: {log}");
        assert_eq!(log.contains(&format!("mode=0{mode:o}")), is_warned_of, "{log}");
    }
}

#[test]
fn files_of_the_web_configuration_are_not_waited_for() {
    let folder = Directory::new();
    let [web, token] = ["web.yml", "token"].map(|name| folder.path_of(name));
    make_fifo(&web);
    let config = format!("access.tokens = [{{ name = \"ci\", file = {token:?}, allow = [\"scrape\"] }}]\n");
    let config = format!("--config.file={}", folder.write("tallygate.toml", config));
    let listen = "--web.listen-address=127.0.0.1:0";
    let ended = run(&[listen, &format!("--web.config.file={web}")]);
    assert_eq!(ended.status.code(), Some(1));
    let said = format!("open {web}: it is a FIFO, not a regular file");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);

    folder.write("token", "0123456789abcdef\n");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
    let gateway = Gateway::start(&[&config]);
    let scrape = |token: &str| {
        let authorization = format!("Bearer {token}");
        gateway.request("GET", "/metrics", &[("Authorization", &*authorization)], b"").status
    };
    assert_eq!(scrape("0123456789abcdef"), 200);
    assert!(!gateway.stderr().contains("can read the file of a secret"), "{}", gateway.stderr());
    // A reload does not wait either, and the next one works.
    fs::remove_file(&token).unwrap();
    make_fifo(&token);
    gateway.signal("HUP");
    gateway.wait_for_log("token \\\"ci\\\": its file can't be read: it is a FIFO, not a regular file");
    assert_eq!(scrape("0123456789abcdef"), 200);
    fs::remove_file(&token).unwrap();
    folder.write("token", "fedcba9876543210\n");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("is in force");
    assert_eq!(scrape("fedcba9876543210"), 200);
    let log = gateway.stderr();
    assert!(log.contains("every user of this machine can read the file of a secret"), "{log}");
}

#[test]
fn a_configuration_that_does_not_end_is_no_configuration() {
    for flags in
        [&["--config.file=/dev/zero"][..], &["--config.check", "--config.file=/dev/zero"], &["@/dev/zero"]]
    {
        let ended = run(flags);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("it has more than 16 MiB"), "{}", ended.stderr);
    }
}
