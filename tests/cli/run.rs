//! `tallygate run` as cron and others use it: the program that it runs notices nothing, whatever the gateway does.
//! Also copies of the program, completions and manual pages.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{self, Directory, Gateway, binary, sample};

/// Runs a program as cron does: without a terminal, and with a nearly empty environment.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(binary()).args(arguments);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/").env("SHELL", "/bin/sh");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.addresses()[0])
}

/// Runs a program for the job `j` with these flags.
fn run_job(url: &str, flags: &[&str], program: &[&str]) -> Output {
    let all: Vec<&str> = [&["run", "--job", "j", "--url", url], flags, &["--"], program].concat();
    command(&all).output().unwrap()
}

fn shell(url: &str, flags: &[&str], script: &str) -> Output {
    run_job(url, flags, &["sh", "-c", script])
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The value of a metric of the job without labels of its own.
fn value(gateway: &Gateway, name: &str) -> Option<f64> {
    gateway.sample(&format!("{name}{{instance=\"\",job=\"j\"}}"))
}

fn runs(gateway: &Gateway, result: &str) -> Option<f64> {
    gateway.sample(&format!("batch_job_runs_total{{instance=\"\",job=\"j\",result=\"{result}\"}}"))
}

#[test]
fn a_run_is_told_and_adds_up() {
    let gateway = Gateway::start(&[]);
    for _ in 0..2 {
        let output = shell(&url(&gateway), &[], "echo out; echo err >&2");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), "err\n"));
        assert_eq!(output.stdout, b"out\n");
    }
    let succeeded = value(&gateway, "batch_job_last_success_timestamp_seconds").unwrap();
    let output = shell(&url(&gateway), &[], "exit 7");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(7), ""));
    assert_eq!(
        ["success", "failure", "timeout"].map(|result| runs(&gateway, result)),
        [Some(2.0), Some(1.0), Some(0.0)]
    );
    assert_eq!(value(&gateway, "batch_job_duration_seconds_count"), Some(3.0));
    assert_eq!(value(&gateway, "batch_job_last_exit_code"), Some(7.0));
    // The failure keeps the time of the last success, and nothing else.
    assert_eq!(value(&gateway, "batch_job_last_success_timestamp_seconds"), Some(succeeded));
    let of = |name: &str| value(&gateway, name).unwrap();
    assert!(
        of("batch_job_last_completion_timestamp_seconds") >= of("batch_job_last_start_timestamp_seconds")
    );
    assert!(of("batch_job_last_completion_timestamp_seconds") >= succeeded);
    assert!(of("batch_job_last_duration_seconds") >= 0.0);
    assert!(of("batch_job_last_max_rss_bytes") > 100_000.0, "{}", of("batch_job_last_max_rss_bytes"));
    assert!(of("batch_job_last_cpu_seconds") >= 0.0);
    assert_eq!(value(&gateway, "batch_job_running"), None);
}

#[test]
fn arguments_and_streams_are_untouched() {
    let gateway = Gateway::start(&[]);
    let odd = ["", "a b", "--help", "$HOME", "*", "'\"", "\n"];
    let program = [&["printf", "<%s>"], &odd[..]].concat();
    let output = run_job(&url(&gateway), &["--label", "db=a b"], &program);
    let expected: String = odd.iter().map(|argument| format!("<{argument}>")).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert!(gateway.scrape().contains("job=\"j\"") && gateway.scrape().contains("db=\"a b\""));
    // The program reads the whole stdin.
    let mut command = command(&["run", "--job", "j", "--url", &url(&gateway), "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let text = "x".repeat(1 << 20);
    let mut input = child.stdin.take().unwrap();
    let sent = text.clone();
    let writer = std::thread::spawn(move || input.write_all(sent.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == text.as_bytes() && output.stderr.is_empty());
}

#[test]
fn exit_codes_are_those_of_shells() {
    let gateway = Gateway::start(&[]);
    let folder = Directory::new();
    let no_program = folder.write("no_program", "text");
    for (program, code) in [
        (&["/nonexistent/program"][..], 127),
        (&["no-such-program-anywhere"], 127),
        (&[no_program.as_str()], 126),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["sh", "-c", "exit 255"], 255),
    ] {
        let output = run_job(&url(&gateway), &[], program);
        assert_eq!(output.status.code(), Some(code), "{program:?}: {}", stderr(&output));
        assert_eq!(value(&gateway, "batch_job_last_exit_code"), Some(f64::from(code)));
        assert_eq!(
            stderr(&output).lines().count(),
            usize::from(matches!(code, 126 | 127)),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(runs(&gateway, "failure"), Some(6.0));
    // If the command line is wrong, the program is not started.
    for flags in [&["--nonsense"][..], &["--prefix", "1a"], &["--label", "job=x"], &["--timeout", "0s"]] {
        let output = shell(&url(&gateway), flags, "echo tried");
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(125), true), "{flags:?}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    assert_eq!(runs(&gateway, "failure"), Some(6.0));
}

#[test]
fn what_takes_too_long_is_ended_with_all_that_it_started() {
    let gateway = Gateway::start(&[]);
    // The pipe is closed once neither the shell nor its child has it open.
    let output = shell(&url(&gateway), &["--timeout", "200ms"], "sleep 1000; true");
    assert_eq!(output.status.code(), Some(124), "{}", stderr(&output));
    // A program that ignores SIGTERM is killed.
    let deaf = "trap '' TERM; while :; do sleep 1000; done";
    let output = shell(&url(&gateway), &["--timeout", "200ms", "--kill-after", "200ms"], deaf);
    assert_eq!(output.status.code(), Some(124), "{}", stderr(&output));
    assert_eq!((runs(&gateway, "timeout"), runs(&gateway, "success")), (Some(2.0), Some(0.0)));
    assert_eq!(value(&gateway, "batch_job_last_success_timestamp_seconds"), None);
}

/// A script that prints the signals that it gets, and says when it is ready.
const LISTENER: &str = "trap 'echo TERM; exit 3' TERM; trap 'echo USR1' USR1; trap 'echo INT; exit 4' INT; echo ready; \
                        while :; do sleep 0.1; done";

/// The program, started by GNU's `env` with default signal handling. A shell ignores SIGINT in background jobs, and
/// ignored signals stay ignored in child processes.
fn with_default_signals() -> Command {
    let signals = "--default-signal=HUP,INT,QUIT,TERM,USR1";
    let is_known =
        Command::new("env").args([signals, "true"]).output().is_ok_and(|tried| tried.status.success());
    if !is_known {
        return Command::new(binary());
    }
    let mut command = Command::new("env");
    command.arg(signals).arg(binary());
    command
}

/// Starts the script directly, without `setsid`.
fn listener(url: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = with_default_signals()
        .args(["run", "--job", "j", "--url", url, "--", "sh", "-c", LISTENER])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line(&mut lines), "ready");
    (child, lines)
}

fn line(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn kill(child: &Child, signal: &str) {
    let status =
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn signals_go_to_the_program() {
    let gateway = Gateway::start(&[]);
    for (signal, code) in [("TERM", 3), ("INT", 4)] {
        let (mut child, mut lines) = listener(&url(&gateway));
        kill(&child, "USR1");
        assert_eq!(line(&mut lines), "USR1");
        kill(&child, signal);
        assert_eq!(line(&mut lines), signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(value(&gateway, "batch_job_last_exit_code"), Some(f64::from(code)));
    }
    assert_eq!(runs(&gateway, "failure"), Some(2.0));
}

#[test]
fn what_is_ignored_stays_ignored() {
    let gateway = Gateway::start(&[]);
    // As under nohup. The program ends by itself.
    let script =
        "trap '' HUP; exec \"$0\" run --job j --url \"$1\" -- sh -c 'kill -HUP $$; kill -HUP $PPID; echo on'";
    let output = Command::new("sh").args(["-c", script]).arg(binary()).arg(url(&gateway)).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b"on\n"[..]),
        "{}",
        stderr(&output)
    );
}

#[test]
fn two_signals_have_their_defaults() {
    let gateway = Gateway::start(&[]);
    // The signals that the program ignores. The lowest bit is the first signal.
    let ignored = |program: &str| {
        let script = format!("trap '' HUP PIPE CHLD; exec \"$0\" run --job j --url \"$1\" -- {program}");
        let output =
            Command::new("sh").args(["-c", &script]).arg(binary()).arg(url(&gateway)).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let line = String::from_utf8(output.stdout).unwrap();
        let mask = u64::from_str_radix(line.trim_start_matches("SigIgn:").trim(), 16).unwrap();
        [1, 13, 17].map(|signal| mask & (1 << (signal - 1)) != 0)
    };
    assert_eq!(ignored("grep SigIgn /proc/self/status"), [true, false, false]);
    // The workaround in the manual.
    let around = "sh -c 'trap \"\" PIPE; exec grep SigIgn /proc/self/status'";
    assert_eq!(ignored(around), [true, true, false]);
}

#[test]
fn a_parent_that_has_gone_changes_nothing() {
    let gateway = Gateway::start(&[]);
    let folder = Directory::new();
    let done = folder.path_of("done");
    let script = format!(
        "{} run --job j --url {} -- sh -c 'while [ ! -e {done}.go ]; do sleep 0.05; done; echo ended >{done}' &",
        binary().display(),
        url(&gateway)
    );
    // The shell ends at once, and its streams are gone.
    let status = Command::new("setsid")
        .args(["sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::write(format!("{done}.go"), "").unwrap();
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while runs(&gateway, "success") != Some(1.0) {
        assert!(std::time::Instant::now() < deadline, "nothing was pushed");
    }
    assert_eq!(std::fs::read_to_string(&done).unwrap(), "ended\n");
}

#[test]
fn a_gateway_that_is_down_costs_a_line() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for (script, code) in [("echo on", 0), ("echo on; exit 9", 9)] {
        let output = shell(&url, &["--push-timeout", "300ms", "--announce"], script);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b"on\n"[..]));
        let said = stderr(&output);
        assert!(said.starts_with(&format!("tallygate run: {url}: ")) && said.lines().count() == 1, "{said}");
    }
    // A wrong connection flag does not keep the program from running.
    let output = shell(&url, &["--token-file", "/nonexistent/token"], "echo on; exit 9");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(9), &b"on\n"[..]));
    let said = stderr(&output);
    assert!(said.contains("/nonexistent/token") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_gateway_that_is_slow_is_waited_for_no_longer_than_allowed() {
    // A server that accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let output = shell(&url, &["--push-timeout", "500ms"], "exit 5");
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    // A signal to the command is obeyed even while it waits for the gateway.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut child = Command::new(binary())
        .args(["run", "--job", "j", "--url", &url, "--push-timeout", "1h", "--", "sh", "-c", "exit 5"])
        .spawn()
        .unwrap();
    let push = silent.accept().unwrap();
    kill(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    drop(push);
}

#[test]
fn the_program_adds_metrics() {
    let gateway = Gateway::start(&[]);
    let script = "printf 'rows_total 12\\nsize_bytes{table=\"a\"} 5\\n' >>\"$TALLYGATE_METRICS_FILE\"; \
                  echo 'size_bytes{table=\"a\"} 6' >>\"$TALLYGATE_METRICS_FILE\"; echo \"$TALLYGATE_METRICS_FILE\"; \
                  stat -c %a \"$TALLYGATE_METRICS_FILE\"";
    for _ in 0..2 {
        let output = shell(&url(&gateway), &[], script);
        assert_eq!(stderr(&output), "");
        let said = String::from_utf8(output.stdout).unwrap();
        let (file, mode) = said.split_once('\n').unwrap();
        assert_eq!(mode, "600\n");
        assert!(!Path::new(file).exists(), "{file} was left behind");
    }
    let scrape = gateway.scrape();
    assert_eq!(sample(&scrape, "rows_total{instance=\"\",job=\"j\"}"), Some(24.0));
    assert_eq!(sample(&scrape, "size_bytes{instance=\"\",job=\"j\",table=\"a\"}"), Some(6.0));
    // OpenMetrics, with `--metrics-file` in a folder that the program leaves.
    let folder = Directory::new();
    let file = folder.path_of("metrics");
    let script = "cd /; printf '# TYPE om counter\\nom_total 3\\n# EOF\\n' >>\"$TALLYGATE_METRICS_FILE\"";
    let output = shell(&url(&gateway), &["--metrics-file", &file], script);
    assert_eq!(stderr(&output), "");
    assert_eq!(value(&gateway, "om_total"), Some(3.0));
    assert_eq!(runs(&gateway, "success"), Some(3.0));
    assert!(Path::new(&file).exists());
    // Metrics that can't be parsed are left out and reported. The others count.
    for wrong in ["rows_total twelve", "batch_job_last_exit_code 99", "{"] {
        let script = format!("echo '{wrong}' >>\"$TALLYGATE_METRICS_FILE\"; exit 2");
        let output = shell(&url(&gateway), &[], &script);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(said.contains("left out") && said.lines().count() == 1, "{wrong}: {said}");
    }
    let output = shell(
        &url(&gateway),
        &[],
        "rm \"$TALLYGATE_METRICS_FILE\"; mkfifo \"$TALLYGATE_METRICS_FILE\"; exit 2",
    );
    assert!(stderr(&output).contains("left out"), "{}", stderr(&output));
    assert_eq!(runs(&gateway, "failure"), Some(4.0));
    assert_eq!(value(&gateway, "batch_job_last_exit_code"), Some(2.0));
}

#[test]
fn a_start_can_be_announced() {
    let gateway = Gateway::start(&[]);
    let mut command =
        command(&["run", "--announce", "--prefix", "b_", "--job", "j", "--url", &url(&gateway), "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while value(&gateway, "b_running") != Some(1.0) {
        assert!(std::time::Instant::now() < deadline, "nothing was announced");
    }
    assert!(value(&gateway, "b_last_start_timestamp_seconds").is_some());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(value(&gateway, "b_running"), Some(0.0));
    assert_eq!(value(&gateway, "b_last_exit_code"), Some(0.0));
}

#[test]
fn a_stock_gateway_is_told_too() {
    let Some(stock) = std::env::var_os("STOCK") else {
        assert!(
            std::env::var_os("TALLYGATE_TEST_ALL").is_none_or(|all| all != "1"),
            "STOCK names no gateway"
        );
        eprintln!("skipped: STOCK names no stock gateway");
        return;
    };
    let gateway = Gateway::start_program(Path::new(&stock), &["--web.listen-address=127.0.0.1:0"], &[]);
    let output = shell(&url(&gateway), &[], "echo rows_total 12 >>\"$TALLYGATE_METRICS_FILE\"; exit 3");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(3), ""));
    let scrape = gateway.scrape();
    assert_eq!(sample(&scrape, "batch_job_last_exit_code{instance=\"\",job=\"j\"}"), Some(3.0));
    assert_eq!(sample(&scrape, "rows_total{instance=\"\",job=\"j\"}"), Some(12.0));
}

// Other commands.

#[test]
fn the_program_copies_itself() {
    let folder = Directory::new();
    let place = folder.path_of("");
    // Replaces an existing file, even while it is running.
    for to in [place.clone(), folder.path_of("other"), place] {
        let output = command(&["install", &to]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    }
    for name in ["tallygate", "other"] {
        let path = folder.path_of(name);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(std::fs::read(&path).unwrap().len(), std::fs::read(binary()).unwrap().len());
        assert!(Command::new(&path).arg("--version").output().unwrap().status.success());
    }
    assert_eq!(std::fs::read_dir(folder.path_of("")).unwrap().count(), 2);
    let socket = folder.path_of("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let output = command(&["install", &socket]).output().unwrap();
    assert!(stderr(&output).contains("it is there and no regular file"), "{}", stderr(&output));
    let output = command(&["install", "/nonexistent/folder/file"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nonexistent/folder/file: "), "{}", stderr(&output));
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, word) in [("bash", "web.listen-address"), ("zsh", "metrics-file"), ("fish", "push-timeout")] {
        let output = command(&["completions", shell]).output().unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains(word), "{shell}: {script:.500}");
        let folder = Directory::new();
        let path = folder.write("script", &script);
        // If the shell is missing, its completions can't be checked.
        if let Ok(checked) = Command::new(shell).args(["-n", &path]).output() {
            assert!(checked.status.success(), "{shell}: {}", stderr(&checked));
        }
    }
}

#[test]
fn manual_pages_are_without_fault() {
    let folder = Directory::new();
    let place = folder.path_of("man");
    assert!(command(&["man", &place]).output().unwrap().status.success());
    let mut pages: Vec<_> = std::fs::read_dir(&place).unwrap().map(|page| page.unwrap().path()).collect();
    pages.sort();
    let names: Vec<_> = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap()).collect();
    let commands = tallygate::cli::definition();
    let mut expected: Vec<_> =
        commands.get_subcommands().map(|it| format!("tallygate-{}.1", it.get_name())).collect();
    expected.push("tallygate.1".to_owned());
    expected.sort();
    assert_eq!(names, expected);
    for (page, name) in pages.iter().zip(&names) {
        let text = std::fs::read_to_string(page).unwrap();
        assert!(text.contains("\n.SH \"EXIT STATUS\"\n.TP\n"), "{name}");
        assert_eq!(text.contains("\n.SH DURATIONS\n"), text.contains("<DURATION>"), "{name}");
    }
    let whole = std::fs::read_to_string(folder.path_of("man/tallygate.1")).unwrap();
    assert!(whole.contains("web.listen\\-address") && whole.contains("run"), "{whole}");
    match Command::new("mandoc").arg("-Tlint").args(&pages).output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), ""),
        Err(error) => {
            assert!(std::env::var_os("TALLYGATE_TEST_ALL").is_none_or(|all| all != "1"), "mandoc: {error}");
            eprintln!("skipped: mandoc: {error}");
        }
    }
}
