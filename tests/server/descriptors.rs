//! A low limit of open files: the gateway says what it needs, or serves with fewer connections. It never runs out
//! of file descriptors.

use std::path::Path;

use crate::programs::{self, ask_until};
use crate::support::{Connection, Directory, Finished, Gateway, binary, encode_request, run_program, sample};

const LISTEN: &str = "--web.listen-address=127.0.0.1:0";

/// The arguments of a shell that runs this command, and then the gateway with these flags and this many open files.
fn limited(files: u32, before: &str, flags: &[&str]) -> Vec<String> {
    let script = format!("{before}; ulimit -n {files}; exec \"$0\" \"$@\"");
    let program = binary().into_os_string().into_string().unwrap();
    let own = ["-c", &script, &program, LISTEN];
    own.into_iter().chain(flags.iter().copied()).map(str::to_owned).collect()
}

fn start(files: u32, flags: &[&str]) -> Gateway {
    start_after("true", files, flags)
}

fn start_after(before: &str, files: u32, flags: &[&str]) -> Gateway {
    let arguments = limited(files, before, flags);
    Gateway::start_program(Path::new("sh"), &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[])
}

fn start_in_vain(files: u32) -> Finished {
    let arguments = limited(files, "true", &[]);
    run_program(Path::new("sh"), &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[])
}

/// The maximum number of connections in the warning.
fn connections(gateway: &Gateway) -> usize {
    let log = gateway.stderr();
    let (_, number) = log.split_once(" connections=").expect("a warning");
    number.split_whitespace().next().unwrap().parse().unwrap()
}

/// Sends one request on this connection and returns the status.
fn ask(connection: &mut Connection, method: &str, path: &str, body: &[u8]) -> u16 {
    connection.send(&encode_request(method, path, &[], body)).unwrap();
    connection.read_response(method).unwrap().status
}

/// Opens and holds this many connections.
fn hold(gateway: &Gateway, count: usize) -> Vec<Connection> {
    let mut held: Vec<Connection> = (0..count).map(|_| gateway.connect()).collect();
    for connection in &mut held {
        assert_eq!(ask(connection, "GET", "/-/healthy", b""), 200);
    }
    held
}

#[track_caller]
fn assert_told(gateway: &Gateway) {
    let answer = gateway.get("/metrics");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("(limits.connections)"), "{}", answer.text());
}

/// Checks that accepting never failed. After a failure it pauses for half a second or more.
#[track_caller]
fn assert_never_ran_out(gateway: &Gateway) {
    let log = gateway.stderr();
    for words in ["Error accepting connection", "Too many open files", "os error 24"] {
        assert!(!log.contains(words), "{log}");
    }
}

#[test]
fn too_few_are_said_before_anything_is_opened() {
    for files in [8, 16, 20] {
        let Finished { status, stderr, .. } = start_in_vain(files);
        assert_eq!(status.code(), Some(1), "{stderr}");
        let said = format!("the system lets the gateway have {files} files open at a time, but it needs ");
        assert!(stderr.contains(&said), "{stderr}");
        assert!(stderr.contains("ulimit -n, LimitNOFILE="), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn what_it_says_that_it_needs_is_enough() {
    let stderr = start_in_vain(12).stderr;
    let (_, needed) = stderr.split_once("but it needs ").unwrap();
    let needed: u32 = needed.split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(start_in_vain(needed - 1).status.code(), Some(1));
    let gateway = start(needed, &[]);
    let most = connections(&gateway);
    assert!(most >= 4, "{most}");
    let mut held = hold(&gateway, most);
    for _ in 0..20 {
        assert_told(&gateway);
    }
    assert_eq!(ask(&mut held[0], "POST", "/metrics/job/a", b"m 1\n"), 200);
    drop(held);
    ask_until("a free connection", || match gateway.get("/metrics").status {
        200 => Ok(()),
        other => Err(other.to_string()),
    });
    assert_never_ran_out(&gateway);
}

/// Everything that needs a descriptor gets one, while clients open as many connections as possible.
#[test]
fn clients_never_take_the_descriptors_of_others() {
    let folder = Directory::new();
    let store = format!("--persistence.file={}", folder.path_of("store"));
    let hash = bcrypt::hash("secret", 4).unwrap();
    let limit = "rate_limit:\n  interval: 1us\n  burst: 10000\n";
    let web = folder.write("web.yml", limit);
    let flags = [&*store, &format!("--web.config.file={web}")];
    let gateway = start(1024, &flags);
    let most = connections(&gateway);
    // The number depends on the processors of the machine.
    assert!((100..1000).contains(&most), "{most}");
    let mut held = hold(&gateway, most);
    let mut others: Vec<Connection> = Vec::new();
    for _ in 0..1084 - most {
        others.push(gateway.connect());
        assert_told(&gateway);
    }
    // The persistence file, files in /proc, and the web configuration.
    assert_eq!(ask(&mut held[0], "POST", "/metrics/job/a", b"m 1\n"), 200);
    held[0].send(&encode_request("GET", "/metrics", &[], b"")).unwrap();
    let scrape = held[0].read_response("GET").unwrap().text();
    assert_eq!(sample(&scrape, "process_max_fds"), Some(1024.0));
    assert!(sample(&scrape, "process_open_fds").unwrap() <= 1024.0);
    folder.write("web.yml", format!("{limit}basic_auth_users:\n  alice: {hash}\n"));
    gateway.signal("HUP");
    gateway.wait_for_log("is in force");
    assert_told(&gateway);
    assert_never_ran_out(&gateway);
}

/// After a failure the file is opened again, which clients must not prevent.
#[test]
fn the_file_always_gets_its_descriptors() {
    let folder = Directory::new();
    let store = format!("--persistence.file={}", folder.path_of("store"));
    // Writes beyond this size fail.
    let gateway = start_after("trap '' XFSZ; ulimit -S -f 8192", 64, &[&store]);
    let most = connections(&gateway);
    let mut held = hold(&gateway, most);
    for _ in 0..100 {
        assert_told(&gateway);
    }
    let series = |push: usize| {
        let value = format!("{push}").repeat(100);
        (0..1000).map(|series| format!("g{{l=\"{series}{value}\"}} 1\n")).collect::<String>().into_bytes()
    };
    let mut pushes = 0..;
    while ask(&mut held[0], "POST", "/metrics/job/a", &series(pushes.next().unwrap())) == 200 {}
    // New connections take all free descriptors while the file is closed.
    let others: Vec<Connection> = (0..100).map(|_| gateway.connect()).collect();
    let process = format!("--pid={}", gateway.process_id());
    programs::output_of(programs::command("prlimit").args([&process, "--fsize=unlimited:"]));
    ask_until("room on the disk", || match ask(&mut held[0], "POST", "/metrics/job/b", b"m 1\n") {
        200 => Ok(()),
        other => Err(other.to_string()),
    });
    drop(others);
    assert_never_ran_out(&gateway);
}
