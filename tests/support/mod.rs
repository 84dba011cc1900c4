//! The harness of the integration tests: starts the real binary and talks to it over real sockets.
//!
//! The HTTP client is our own and uses only `std`, because tests send requests that no well-behaved client would:
//! any bytes as a path, any method, bodies that stop half way. Nothing here sleeps: a test waits for a log line, an
//! answer or the end of the process, and each wait ends after [`PATIENCE`].
//!
//! `TALLYGATE_TEST_BINARY` names another binary to test, such as the stock gateway.

pub(crate) mod disk;
mod exposition;
pub(crate) mod formats;
pub(crate) mod odd;
pub(crate) mod protobuf;
pub(crate) mod pushes;
pub(crate) mod random;
pub(crate) mod reference;
pub(crate) mod ruled;
pub(crate) mod samples;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

pub(crate) use exposition::{assert_valid_exposition, pushed_lines, sample};

/// The longest that any single wait may take. Reached only when a test fails, however slow the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running gateway on ports of its own. It is killed when dropped.
pub(crate) struct Gateway {
    process: Child,
    started: SystemTime,
    addresses: Vec<SocketAddr>,
    stdout: Output,
    stderr: Output,
}

impl Gateway {
    /// Starts the binary with these flags and a free port, and waits until it listens.
    pub(crate) fn start(flags: &[&str]) -> Gateway {
        Gateway::start_with(flags, &[])
    }

    /// The same with environment variables.
    pub(crate) fn start_with(flags: &[&str], environment: &[(&str, &str)]) -> Gateway {
        let mut flags = flags.to_vec();
        flags.insert(0, "--web.listen-address=127.0.0.1:0");
        Gateway::start_exactly(&flags, environment)
    }

    /// Starts the binary with these flags and a configuration file of this text.
    pub(crate) fn start_with_config(text: &str, flags: &[&str]) -> Gateway {
        let directory = Directory::new();
        let file = directory.write("tallygate.toml", text);
        let file = format!("--config.file={file}");
        let mut all = vec![file.as_str()];
        all.extend(flags);
        // The gateway has read the file by the time it listens.
        Gateway::start(&all)
    }

    /// Starts the binary with exactly these flags, which must name the addresses to listen on.
    pub(crate) fn start_exactly(flags: &[&str], environment: &[(&str, &str)]) -> Gateway {
        Gateway::start_program(&binary(), flags, environment)
    }

    /// Starts another program than the binary under test.
    pub(crate) fn start_program(program: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Gateway {
        let wanted = flags.iter().filter(|flag| flag.starts_with("--web.listen-address")).count();
        let started = SystemTime::now();
        let mut process = spawn(program, flags, environment);
        let stdout = Output::collect(process.stdout.take().unwrap());
        let stderr = Output::collect(process.stderr.take().unwrap());
        // From here on the process is ended with the test, even if it never listens.
        let mut gateway = Gateway { process, started, addresses: Vec::new(), stdout, stderr };
        gateway.stderr.wait_for("the listeners", |log| log.matches("Listening on").count() >= wanted);
        gateway.addresses = listen_addresses(&gateway.stderr.text());
        gateway
    }

    /// Starts the binary with these flags. If it refuses to start, returns its output.
    pub(crate) fn try_start(flags: &[&str]) -> Result<Gateway, Finished> {
        let mut flags = flags.to_vec();
        flags.insert(0, "--web.listen-address=127.0.0.1:0");
        let started = SystemTime::now();
        let mut process = spawn(&binary(), &flags, &[]);
        let stdout = Output::collect(process.stdout.take().unwrap());
        let stderr = Output::collect(process.stderr.take().unwrap());
        if !stderr.has_come("the listener", |log| log.contains("Listening on")) {
            return Err(finish(&mut process, &stdout, &stderr));
        }
        let addresses = listen_addresses(&stderr.text());
        Ok(Gateway { process, started, addresses, stdout, stderr })
    }

    /// The number of the process.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// A time shortly before the gateway started.
    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    /// The port of the first listener.
    pub(crate) fn port(&self) -> u16 {
        self.addresses[0].port()
    }

    /// Every address that the gateway says it listens on, in the order of its log.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses[0])
    }

    /// A connection for requests that are written byte by byte.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.addresses[0]).expect("connect to the gateway")
    }

    /// Sends one request on a connection of its own. `Host` and `Content-Length` are added unless
    /// given; the path is sent as it is.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_request(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}; the log:\n{:.2000}", self.stderr()))
    }

    /// As [`Gateway::request`], for requests that the gateway may answer by closing the connection.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut connection = Connection::open(self.addresses[0])?;
        // A gateway that refuses a body may answer and close before it has read it all.
        let sent = connection.send(&encode_request(method, path, headers, body));
        let answer = connection.read_response(method);
        if answer.is_err() {
            sent?;
        }
        answer
    }

    pub(crate) fn post(&self, path: &str, text: &str) -> Response {
        self.request("POST", path, &[], text.as_bytes())
    }

    pub(crate) fn put(&self, path: &str, text: &str) -> Response {
        self.request("PUT", path, &[], text.as_bytes())
    }

    pub(crate) fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, &[], b"")
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], b"")
    }

    /// Pushes with POST, and checks for 200.
    #[track_caller]
    pub(crate) fn push(&self, path: &str, text: &str) {
        let response = self.post(path, text);
        assert_eq!(response.status, 200, "POST {path} answered {:?} to\n{text}", response.text());
    }

    /// Pushes with POST, checks for 400, and returns the error.
    #[track_caller]
    pub(crate) fn refused(&self, path: &str, text: &str) -> String {
        let response = self.post(path, text);
        assert_eq!(response.status, 400, "POST {path} answered {:?} to\n{text}", response.text());
        response.text()
    }

    /// The text of `/metrics`.
    #[track_caller]
    pub(crate) fn scrape(&self) -> String {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200, "GET /metrics answered {:?}", response.text());
        response.text()
    }

    /// The pushed part of `/metrics`: without the gateway's own families, HELP lines and push times.
    #[track_caller]
    pub(crate) fn pushed(&self) -> String {
        let mut text = String::new();
        for line in pushed_lines(&self.scrape()) {
            let name = line.strip_prefix("# TYPE ").unwrap_or(&line);
            if !line.starts_with("# HELP ")
                && !name.starts_with("push_time_")
                && !name.starts_with("push_fail")
            {
                writeln!(text, "{line}").unwrap();
            }
        }
        text
    }

    /// The value of exactly this series in `/metrics`, such as `c_total{instance="",job="a"}`.
    #[track_caller]
    pub(crate) fn sample(&self, series: &str) -> Option<f64> {
        sample(&self.scrape(), series)
    }

    /// `/api/v1/metrics`, parsed.
    pub(crate) fn api(&self) -> serde_json::Value {
        let response = self.get("/api/v1/metrics");
        assert_eq!(response.status, 200, "GET /api/v1/metrics answered {:?}", response.text());
        serde_json::from_slice(&response.body).expect("JSON from /api/v1/metrics")
    }

    /// Everything that the gateway has logged until now.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until the log contains this text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.stderr.wait_for(text, |log| log.contains(text));
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -s {name} {}", self.process.id()))
            .status()
            .expect("run kill");
        assert!(status.success(), "kill -s {name} failed");
    }

    /// Kills the gateway.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("kill the gateway");
        self.process.wait().expect("wait for the killed gateway");
    }

    /// Waits for the gateway to end by itself.
    pub(crate) fn wait(mut self) -> Finished {
        finish(&mut self.process, &self.stdout, &self.stderr)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the binary until it ends by itself; a run that does not end fails the test.
pub(crate) fn run(flags: &[&str]) -> Finished {
    run_with(flags, &[])
}

/// The same with environment variables.
pub(crate) fn run_with(flags: &[&str], environment: &[(&str, &str)]) -> Finished {
    run_program(&binary(), flags, environment)
}

/// Runs another program than the one under test, such as one that runs it.
pub(crate) fn run_program(program: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut process = spawn(program, flags, environment);
    let stdout = Output::collect(process.stdout.take().unwrap());
    let stderr = Output::collect(process.stderr.take().unwrap());
    finish(&mut process, &stdout, &stderr)
}

/// The result of a process.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Path of the binary under test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("TALLYGATE_TEST_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tallygate")), PathBuf::from)
}

fn spawn(program: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Child {
    let mut command = Command::new(program);
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Settings of the caller's shell must not reach the gateway under test.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TALLYGATE") {
            command.env_remove(name);
        }
    }
    command.envs(environment.iter().copied());
    command.spawn().unwrap_or_else(|error| panic!("start {}: {error}", program.display()))
}

fn finish(process: &mut Child, stdout: &Output, stderr: &Output) -> Finished {
    // Both pipes close when the process ends, so there is nothing to poll.
    if !(stdout.wait_for_end() && stderr.wait_for_end()) {
        let _ = process.kill();
        let _ = process.wait();
        panic!("the gateway is still running after {PATIENCE:?}\n{}", stderr.text());
    }
    let status = process.wait().expect("wait for the gateway");
    Finished { status, stdout: stdout.text(), stderr: stderr.text() }
}

/// The addresses of the `Listening on` lines, in logfmt or JSON.
fn listen_addresses(log: &str) -> Vec<SocketAddr> {
    log.lines()
        .filter(|line| line.contains("Listening on"))
        .map(|line| {
            let (_, rest) = line.rsplit_once("address").expect("an address in the line");
            let address: String = rest
                .trim_start_matches(['=', '"', ':'])
                .chars()
                .take_while(|c| !c.is_whitespace() && *c != '"')
                .collect();
            address.parse().unwrap_or_else(|_| panic!("no address in {line:?}"))
        })
        .collect()
}

/// A pipe of the process, read by a thread of its own so that the process never blocks on it.
struct Output {
    shared: Arc<(Mutex<OutputState>, Condvar)>,
    _reader: JoinHandle<()>,
}

#[derive(Default)]
struct OutputState {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    fn collect(mut pipe: impl Read + Send + 'static) -> Output {
        let shared = Arc::new((Mutex::new(OutputState::default()), Condvar::new()));
        let writer = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let (state, changed) = &*writer;
            let mut chunk = [0; 8192];
            loop {
                let count = pipe.read(&mut chunk).unwrap_or(0);
                let mut state = state.lock().unwrap();
                state.bytes.extend_from_slice(&chunk[..count]);
                state.ended = count == 0;
                changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Output { shared, _reader: reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shared.0.lock().unwrap().bytes).into_owned()
    }

    fn wait_for(&self, what: &str, seen: impl FnMut(&str) -> bool) {
        assert!(self.has_come(what, seen), "the gateway ended before it logged {what:?}:\n{}", self.text());
    }

    /// Waits for something in the output. False if the output ends without it.
    fn has_come(&self, what: &str, mut seen: impl FnMut(&str) -> bool) -> bool {
        let (state, changed) = &*self.shared;
        let mut state = state.lock().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = String::from_utf8_lossy(&state.bytes).into_owned();
            // The last line may be incomplete.
            if seen(text.rsplit_once('\n').map_or("", |(lines, _)| lines)) {
                return true;
            }
            if state.ended {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the gateway did not log {what:?} within {PATIENCE:?}:\n{text}");
            state = changed.wait_timeout(state, left).unwrap().0;
        }
    }

    fn wait_for_end(&self) -> bool {
        let (state, changed) = &*self.shared;
        let state = state.lock().unwrap();
        changed.wait_timeout_while(state, PATIENCE, |state| !state.ended).unwrap().0.ended
    }
}

/// One connection to the gateway.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, unread: Vec::new() })
    }

    /// The address that the gateway sees.
    pub(crate) fn source(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends these bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Tells the gateway that nothing more will come.
    pub(crate) fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads one final response; the method decides whether it has a body. Interim responses are
    /// counted in [`Response::interim`].
    pub(crate) fn read_response(&mut self, method: &str) -> io::Result<Response> {
        let mut interim = 0;
        loop {
            let mut response = self.read_head()?;
            if (100..200).contains(&response.status) {
                interim += 1;
                continue;
            }
            response.interim = interim;
            if method != "HEAD" && !matches!(response.status, 204 | 304) {
                response.body = self.read_body(&response)?;
            }
            return Ok(response);
        }
    }

    /// Reads one response without a body, such as `100 Continue`.
    pub(crate) fn read_interim(&mut self) -> io::Result<Response> {
        self.read_head()
    }

    /// Reads the rest until the gateway closes the connection.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.unread))
    }

    fn read_head(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill()? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a response"));
            }
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| invalid(format!("no status in {status_line:?}")))?;
        let headers = lines
            .map(|line| {
                let (name, value) =
                    line.split_once(':').ok_or_else(|| invalid(format!("no header in {line:?}")))?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<io::Result<_>>()?;
        Ok(Response { status, headers, body: Vec::new(), interim: 0 })
    }

    fn read_body(&mut self, head: &Response) -> io::Result<Vec<u8>> {
        if head.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks();
        }
        match head.header("content-length") {
            Some(length) => {
                let length = length.parse().map_err(|_| invalid(format!("Content-Length {length:?}")))?;
                self.read_exactly(length)
            }
            None => self.read_to_end(),
        }
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| invalid(format!("chunk size {line:?}")))?;
            if size == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.read_exactly(size)?);
            self.read_line()?;
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.unread, b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.fill()? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed within a chunked body"));
            }
        }
    }

    fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            if !self.fill()? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed within the body"));
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// Reads more. False at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 65536];
        let count = loop {
            match self.stream.read(&mut chunk) {
                // For example after the machine was suspended.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.unread.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }
}

/// The bytes of a request with `Host` and `Content-Length` added unless given.
pub(crate) fn encode_request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let given = |name: &str| headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !given("host") {
        head.push_str("Host: gateway.test\r\n");
    }
    let has_body = !body.is_empty() || matches!(method, "POST" | "PUT");
    if has_body && !given("content-length") && !given("transfer-encoding") {
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// An answer of the gateway.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How many `100 Continue` came before it.
    pub(crate) interim: usize,
}

impl Response {
    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A directory that is removed when dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tallygate-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("create a directory for the test");
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path_of(name);
        std::fs::write(&path, content).expect("write a file for the test");
        path
    }

    /// The path of a file with this name, which may not exist.
    pub(crate) fn path_of(&self, name: &str) -> String {
        OsString::from(self.0.join(name)).into_string().expect("a path of plain characters")
    }

    /// The sorted names of its files.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("read the directory of the test");
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // If it can't be removed, it stays in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
