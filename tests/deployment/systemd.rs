//! Socket activation by systemd, and notifications to systemd.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use crate::programs;
use crate::support::{Connection, Directory, Gateway, PATIENCE, binary, encode_request, run_with};

/// Starts the gateway as systemd does, with this socket as descriptor 3.
fn start_with_socket(socket: OwnedFd, flags: &[&str]) -> Child {
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    Command::new("sh")
        .args(["-c", script])
        .arg(binary())
        .args(flags)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The notification socket of a service manager, and its path.
fn notify_socket(folder: &Directory) -> (UnixDatagram, String) {
    let path = folder.path_of("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (socket, path)
}

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_socket_from_systemd_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A client connects before the gateway runs, and waits.
    let mut early = Connection::open(address).unwrap();
    early.send(&encode_request("POST", "/metrics/job/a", &[], b"m 1\n")).unwrap();
    let flags = ["--web.systemd-socket", "--web.listen-address=127.0.0.1:1"];
    let mut gateway = Process(start_with_socket(listener.into(), &flags));
    assert_eq!(early.read_response("POST").unwrap().status, 200);
    let mut lines = BufReader::new(gateway.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(
        lines
            .any(|line| line.contains("Listening on systemd activated listeners instead of port listeners."))
    );
    assert!(lines.any(|line| line.contains(&format!("msg=\"Listening on\" address={address}"))));
    assert!(
        lines.any(|line| line.contains(&format!("msg=\"TLS is disabled.\" http2=false address={address}")))
    );
    let mut another = Connection::open(address).unwrap();
    another.send(&encode_request("GET", "/metrics", &[], b"")).unwrap();
    assert!(another.read_response("GET").unwrap().text().contains("m{instance=\"\",job=\"a\"} 1\n"));
}

#[test]
fn without_a_usable_socket_the_start_fails() {
    let finished = run_with(&["--web.systemd-socket"], &[]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("no socket activation file descriptors found"), "{}", finished.stderr);
    // The sockets are meant for another process.
    let finished = run_with(&["--web.systemd-socket"], &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")]);
    assert!(finished.stderr.contains("no socket activation file descriptors found"), "{}", finished.stderr);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    for (descriptor, reason) in [
        (OwnedFd::from(File::open("/dev/null").unwrap()), "fd 3 is not a socket"),
        (OwnedFd::from(UnixDatagram::unbound().unwrap()), "fd 3 is not a valid tcp socket"),
        (OwnedFd::from(connection), "it is a connection, as with Accept=yes; use Accept=no"),
    ] {
        let output = start_with_socket(descriptor, &["--web.systemd-socket"]).wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains(&format!("socket 1 from systemd can't be listened on: {reason}")), "{log}");
    }
}

#[test]
fn systemd_is_told_of_start_life_and_stop() {
    let folder = Directory::new();
    let (socket, path) = notify_socket(&folder);
    let next = || {
        let mut message = [0; 1000];
        let length = socket.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let environment = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "200000")];
    let gateway = Gateway::start_with(&[], &environment);
    assert_eq!(next(), "READY=1\n");
    gateway.push("/metrics/job/a", "m 1\n");
    (0..5).for_each(|_| assert_eq!(next(), "WATCHDOG=1\n"));
    gateway.signal("TERM");
    let stop = std::iter::repeat_with(next).find(|message| message != "WATCHDOG=1\n");
    assert_eq!(stop.as_deref(), Some("STOPPING=1\n"));
    assert_eq!(gateway.wait().status.code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_where_it_is_asked_for_only() {
    let folder = Directory::new();
    let (socket, path) = notify_socket(&folder);
    // The watchdog time is meant for another process.
    let environment = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let gateway = Gateway::start_with(&[], &environment);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().status.code(), Some(0));
    socket.set_nonblocking(true).unwrap();
    let mut messages = Vec::new();
    let mut message = [0; 1000];
    while let Ok(length) = socket.recv(&mut message) {
        messages.push(String::from_utf8_lossy(&message[..length]).into_owned());
    }
    assert!(!messages.iter().any(|message| message.contains("WATCHDOG")), "{messages:?}");
    assert!(messages.contains(&"STOPPING=1\n".to_owned()), "{messages:?}");
}

/// What is left is the network, sockets of systemd itself, and files outside of the service's own that it reads.
#[test]
fn the_unit_gives_the_service_little() {
    let Some(systemd_analyze) = programs::systemd_analyze() else { return };
    let judge = |format: &[&str]| {
        let mut command = programs::command(&systemd_analyze);
        command.args(["security", "--no-pager", "--offline=true", "--threshold=12"]).args(format);
        programs::output_of(command.arg("config/tallygate.service"))
    };
    let findings: serde_json::Value = serde_json::from_str(&judge(&["--json=short"])).unwrap();
    for name in ["UMask=", "PrivateMounts=", "PrivateUsers=", "ProtectSystem=", "User=/DynamicUser="] {
        let finding = findings.as_array().unwrap().iter().find(|finding| finding["name"] == name);
        assert_eq!(finding.unwrap()["set"], true, "{}", judge(&[]));
    }
}

#[test]
fn a_start_that_fails_is_never_ready() {
    let folder = Directory::new();
    let (socket, path) = notify_socket(&folder);
    let flags = ["--web.listen-address=127.0.0.1:0", "--web.config.file=/nonexistent"];
    let finished = run_with(&flags, &[("NOTIFY_SOCKET", &path)]);
    assert_eq!(finished.status.code(), Some(1));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 1000]).is_err());
}
