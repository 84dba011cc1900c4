//! Programs that some tests run beside the gateway: real clients, a real Prometheus and the stock
//! gateway.
//!
//! A function here returns `None`, and prints why, if its program is not on this machine. The test is skipped then.
//! With `TALLYGATE_TEST_ALL=1`, as in `.ci/run`, it fails instead.
//!
//! | variable | names |
//! |---|---|
//! | `TALLYGATE_TEST_PYTHON` | a Python with the package `prometheus_client` (default: `python3`) |
//! | `TALLYGATE_TEST_NODE_MODULES` | the folder that holds `prom-client` and `axe-core` (default: where Node finds them) |
//! | `TALLYGATE_TEST_GOPATH` | a GOPATH with `client_golang` (default: where Debian installs it) |
//! | `PROMETHEUS`, `PROMTOOL` | the programs (default: those on the PATH) |
//! | `CHROMEDRIVER` | the program that drives Chromium (default: `chromedriver` on the PATH) |
//! | `STOCK` | the stock gateway (default: `pushgateway` on the PATH) |
//!
//! PostgreSQL is looked for where Debian puts it, then with `pg_config`.

#[cfg(feature = "postgres")]
pub(crate) mod database;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A Python that has `prometheus_client`.
pub(crate) fn python() -> Option<PathBuf> {
    let python = named("TALLYGATE_TEST_PYTHON", "python3");
    let check = command(&python).args(["-c", "import prometheus_client"]).output();
    available("Python with prometheus_client", check).map(|_| python)
}

/// The folder of Node packages that has `prom-client`.
pub(crate) fn node_modules() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("TALLYGATE_TEST_NODE_MODULES") {
        let folder = PathBuf::from(folder);
        assert!(folder.join("prom-client").is_dir(), "no prom-client in {}", folder.display());
        return Some(folder);
    }
    let check = command("node").args(["-p", "require.resolve('prom-client/package.json')"]).output();
    let found = available("Node with prom-client", check)?;
    let package = PathBuf::from(found.trim());
    Some(package.parent()?.parent()?.to_owned())
}

/// The script of axe-core, which finds what keeps people from using a page.
pub(crate) fn axe() -> Option<String> {
    let script = match std::env::var_os("TALLYGATE_TEST_NODE_MODULES") {
        Some(folder) => PathBuf::from(folder).join("axe-core/axe.min.js"),
        None => {
            let find = "require.resolve('axe-core/axe.min.js')";
            PathBuf::from(available("axe-core", command("node").args(["-p", find]).output())?.trim())
        }
    };
    match std::fs::read_to_string(&script) {
        Ok(script) => Some(script),
        Err(error) => {
            missing("axe-core", &format!("{}: {error}", script.display()));
            None
        }
    }
}

/// Compiles a Go program and returns the path of the result. Only one is compiled at a time, so that the first
/// fills Go's cache for the others.
pub(crate) fn build_go(source: &Path, into: &Path) -> Option<PathBuf> {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let check = go().args(["list", "github.com/prometheus/client_golang/prometheus/push"]).output();
    available("Go with client_golang", check)?;
    let program = into.join(source.file_stem()?);
    output_of(go().args(["build", "-o"]).arg(&program).arg(source));
    Some(program)
}

/// Compiles a C++ program with prometheus-cpp and returns the path of the result.
pub(crate) fn build_cpp(source: &Path, into: &Path) -> Option<PathBuf> {
    let program = into.join(source.file_stem()?);
    let has_library = Path::new("/usr/include/prometheus/gateway.h").is_file();
    let check = command(if has_library { "g++" } else { "no-prometheus-cpp" }).arg("--version").output();
    available("g++ with prometheus-cpp (Debian: prometheus-cpp-dev)", check)?;
    let mut compiler = command("g++");
    compiler.args(["-std=c++17", "-o"]).arg(&program).arg(source);
    output_of(compiler.args(["-lprometheus-cpp-push", "-lprometheus-cpp-core"]));
    Some(program)
}

/// Go without modules: it takes packages from the disk and never from a network.
fn go() -> Command {
    let mut go = command("go");
    go.env("GO111MODULE", "off")
        .env("GOPATH", named("TALLYGATE_TEST_GOPATH", "/usr/share/gocode"))
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"))
        .env_remove("GOFLAGS");
    go
}

/// curl, for the shell example.
pub(crate) fn curl() -> Option<PathBuf> {
    available("curl", command("curl").arg("--version").output()).map(|_| "curl".into())
}

/// openssl, for certificates and for handshakes that no good client makes.
pub(crate) fn openssl() -> Option<PathBuf> {
    available("openssl", command("openssl").arg("version").output()).map(|_| "openssl".into())
}

/// The program that checks systemd units.
pub(crate) fn systemd_analyze() -> Option<PathBuf> {
    available("systemd-analyze", command("systemd-analyze").arg("--version").output())
        .map(|_| "systemd-analyze".into())
}

/// The library that gives a program another time.
pub(crate) fn faketime_library() -> Option<String> {
    let shows_library = ["-f", "+0", "sh", "-c", "echo $LD_PRELOAD"];
    let library = available("faketime", command("faketime").args(shows_library).output())?;
    // The tests themselves may run with it.
    library.trim().rsplit([':', ' ']).next().map(str::to_owned)
}

/// The Prometheus server.
pub(crate) fn prometheus() -> Option<PathBuf> {
    let program = named("PROMETHEUS", "prometheus");
    available("Prometheus", command(&program).arg("--version").output()).map(|_| program)
}

/// Prometheus' tool that checks metrics, configurations and rules.
pub(crate) fn promtool() -> Option<PathBuf> {
    let program = named("PROMTOOL", "promtool");
    available("promtool", command(&program).arg("--version").output()).map(|_| program)
}

/// A load balancer.
#[cfg(feature = "postgres")]
pub(crate) fn haproxy() -> Option<PathBuf> {
    let found =
        ["haproxy", "/usr/sbin/haproxy"].map(|program| (program, command(program).arg("-v").output()));
    let works = |(program, output): &(&str, std::io::Result<Output>)| {
        output.as_ref().is_ok_and(|output| output.status.success()).then(|| PathBuf::from(program))
    };
    let program = found.iter().find_map(works);
    if program.is_none() {
        missing("haproxy", "it is neither on the PATH nor in /usr/sbin");
    }
    program
}

/// The stock Pushgateway.
pub(crate) fn stock() -> Option<PathBuf> {
    let program = named("STOCK", "pushgateway");
    available("stock Pushgateway", command(&program).arg("--version").output()).map(|_| program)
}

/// The driver of a Chromium that is installed beside it.
pub(crate) fn chromedriver() -> Option<PathBuf> {
    let program = named("CHROMEDRIVER", "chromedriver");
    available("chromedriver", command(&program).arg("--version").output())?;
    available("Chromium", command("chromium").arg("--version").output()).map(|_| program)
}

/// A command that runs in the project's folder and reaches this machine without a proxy.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command
}

/// The variable that loads the library that shifts the clock. Some programs crash with it or must not have it.
pub(crate) const CLOCK_LIBRARY: &str = "LD_PRELOAD";

/// Runs a command that must succeed, and returns its standard output.
#[track_caller]
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text_of(&output));
    String::from_utf8(output.stdout).expect("text from the command")
}

/// All that a command printed.
pub(crate) fn text_of(output: &Output) -> String {
    [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat()
}

/// Repeats a question until there is an answer. For what another program does in its own time without an event,
/// such as a scrape by Prometheus. This is the one place that sleeps between questions. The limit is reached only
/// if a test fails.
#[track_caller]
pub(crate) fn ask_until<T>(what: &str, mut question: impl FnMut() -> Result<T, String>) -> T {
    const LIMIT: Duration = Duration::from_secs(120);
    let deadline = Instant::now() + LIMIT;
    loop {
        match question() {
            Ok(answer) => return answer,
            Err(latest) => {
                assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}, but {latest}");
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a program is of this version or a newer one.
pub(crate) fn new_enough(what: &str, version: (u32, u32), oldest: (u32, u32)) -> bool {
    let is_new_enough = version >= oldest;
    if !is_new_enough {
        missing(
            &format!("{what} {}.{} or newer", oldest.0, oldest.1),
            &format!("it is {}.{}", version.0, version.1),
        );
    }
    is_new_enough
}

/// Prints that a program is missing, if tests may be skipped.
fn missing(what: &str, reason: &str) {
    let required = std::env::var_os("TALLYGATE_TEST_ALL").is_some_and(|value| value == "1");
    assert!(!required, "TALLYGATE_TEST_ALL=1, but there is no {what}: {reason}");
    eprintln!("skipped: there is no {what}: {}", reason.trim());
}

fn named(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| OsString::from(default)).into()
}

/// The output of a command that checks whether a program can be used here.
fn available(what: &str, check: std::io::Result<Output>) -> Option<String> {
    let reason = match check {
        Ok(output) if output.status.success() => {
            return Some(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Ok(output) => text_of(&output),
        Err(error) => error.to_string(),
    };
    missing(what, &reason);
    None
}
