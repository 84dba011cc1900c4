//! `tallygate push`, `delete` and `healthcheck`: the real binary against a real gateway, a stock one, and servers
//! that misbehave.

mod run;
pub(crate) mod scripted;

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::certificates::Certificates;
use crate::programs;
use crate::support::{Directory, Gateway};
use scripted::{Scripted, Turn};

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the program with a standard input and environment variables.
fn run_with(arguments: &[&str], stdin: &[u8], variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallygate"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("TALLYGATE") || name == "PUSHGATEWAY_URL" {
            command.env_remove(&*name);
        }
    }
    command.args(arguments).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // The program may end before it has read stdin.
    let _ = process.stdin.take().unwrap().write_all(stdin);
    let output = process.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(arguments: &[&str]) -> Ended {
    run_with(arguments, b"", &[])
}

/// Runs a command for a gateway at this URL, such as `push --job a`.
fn at(url: &str, arguments: &[&str]) -> Ended {
    run_with(arguments, b"", &[("TALLYGATE_URL", url)])
}

#[track_caller]
fn assert_done(ended: &Ended) {
    assert_eq!(*ended, Ended { code: 0, stdout: String::new(), stderr: String::new() });
}

/// Checks that the command failed with this code and with one sentence that has these parts.
#[track_caller]
fn assert_failed(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches('\n').count(), 1, "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
    }
}

#[test]
fn counters_add_and_gauges_replace() {
    let gateway = Gateway::start(&[]);
    let url = gateway.url("");
    for seconds in ["1.5", "2.5"] {
        let seconds = format!("duration_seconds{{step=\"dump\"}}={seconds}");
        assert_done(&at(
            &url,
            &["push", "--job", "backup", "--label", "db=prod", "files_total=12", &seconds],
        ));
    }
    assert_eq!(
        gateway.pushed(),
        "# TYPE duration_seconds gauge\n\
         duration_seconds{db=\"prod\",instance=\"\",job=\"backup\",step=\"dump\"} 2.5\n\
         # TYPE files_total counter\n\
         files_total{db=\"prod\",instance=\"\",job=\"backup\"} 24\n"
    );
}

#[test]
fn types_and_help_texts() {
    let gateway = Gateway::start(&[]);
    let arguments = [
        "push",
        "--job=a",
        "--type=rows=counter",
        "--help-text=rows=What is\nthere",
        "--type",
        "h=histogram",
        "rows=2",
        "h_bucket{le=\"1\"}=3",
        "h_bucket{le=\"+Inf\"}=4",
        "h_sum=5",
        "h_count=4",
    ];
    assert_done(&at(&gateway.url(""), &arguments));
    assert_done(&at(&gateway.url(""), &arguments));
    assert!(gateway.scrape().contains("\n# HELP rows What is\\nthere\n# TYPE rows counter\n"));
    assert_eq!(gateway.sample("rows{instance=\"\",job=\"a\"}"), Some(4.0));
    assert_eq!(gateway.sample("h_bucket{instance=\"\",job=\"a\",le=\"1\"}"), Some(6.0));
}

#[test]
fn the_url_comes_from_the_flag_or_a_variable() {
    let gateway = Gateway::start(&["--web.route-prefix=/gate"]);
    let (url, bare) = (gateway.url("/gate/"), gateway.url("/gate").replace("http://", ""));
    let push = ["push", "--job=a", "n_total=1"];
    let nowhere = "http://127.0.0.1:1";
    assert_done(&run_with(&push, b"", &[("TALLYGATE_URL", &url), ("PUSHGATEWAY_URL", nowhere)]));
    assert_done(&run_with(&push, b"", &[("PUSHGATEWAY_URL", &bare)]));
    assert_done(&run_with(&[&push[..], &["--url", &url]].concat(), b"", &[("TALLYGATE_URL", nowhere)]));
    assert_eq!(
        gateway.get("/gate/metrics").text().lines().find(|line| line.starts_with("n_total")),
        Some("n_total{instance=\"\",job=\"a\"} 3")
    );
    // Without the prefix there is no endpoint.
    assert_failed(&at(&gateway.url(""), &push), 1, &["404", "path prefix"]);
}

#[test]
fn bodies_come_from_files_and_stdin() {
    let (gateway, folder) = (Gateway::start(&[]), Directory::new());
    let url = [("PUSHGATEWAY_URL", gateway.url(""))];
    let url: Vec<_> = url.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let file = folder.write("metrics", "# TYPE a counter\na 1");
    // A file written by hand may lack the last line feed.
    assert_done(&run_with(&["push", "--job=j", "-f", &file], b"", &url));
    assert_done(&run_with(&["push", "--job=j", "--file", &file, "b_total=1"], b"", &url));
    for arguments in [&["push", "--job=j"][..], &["push", "--job=j", "-f-"]] {
        assert_done(&run_with(arguments, b"# TYPE a counter\r\na 1\r\n", &url));
    }
    let openmetrics = b"# TYPE b counter\n# UNIT b \nb_total 1\nb_created 100\n# EOF\n";
    assert_done(&run_with(&["push", "--job=j"], openmetrics, &url));
    assert_eq!(
        gateway.pushed(),
        "# TYPE a counter\na{instance=\"\",job=\"j\"} 4\n# TYPE b_total counter\nb_total{instance=\"\",job=\"j\"} 2\n"
    );
    assert_failed(
        &run_with(&["push", "--job=j", "-f-", "c=1"], openmetrics, &url),
        2,
        &["stdin", "OpenMetrics"],
    );
    assert_failed(&run_with(&["push", "--job=j"], b" \n", &url), 2, &["stdin is empty"]);
    assert_failed(&run_with(&["push", "--job=j", "-f/nowhere"], b"", &url), 2, &["/nowhere: no such file"]);
    // Errors of the gateway about a file name the place in it.
    let wrong = folder.write("wrong", "a 1\nb x\n");
    assert_failed(
        &run_with(&["push", "--job=j", "-f", &wrong], b"", &url),
        1,
        &["400", "line 2", "column 3"],
    );
}

#[test]
fn put_replaces_and_delete_removes() {
    let gateway = Gateway::start(&[]);
    let url = gateway.url("");
    assert_done(&at(&url, &["push", "--job=a", "--label=b=c", "x_total=1", "y=1"]));
    assert_done(&at(&url, &["push", "--job=a", "--label=b=c", "--put", "x_total=5"]));
    assert_eq!(gateway.pushed(), "# TYPE x_total counter\nx_total{b=\"c\",instance=\"\",job=\"a\"} 5\n");
    assert_done(&at(&url, &["delete", "--job=a"]));
    assert_ne!(gateway.pushed(), "");
    assert_done(&at(&url, &["delete", "--job=a", "--label=b=c"]));
    assert_eq!(gateway.pushed(), "");
}

#[test]
fn label_values_can_be_anything() {
    let gateway = Gateway::start(&["--push.enable-utf8-names"]);
    let url = gateway.url("");
    let values = ["a/b", "..", ".", "a b", "%2F", "ä€😀", "\"\\\n", "=", "?#&;+", "-x", "@base64", "~._-"];
    for value in values {
        let label = format!("label={value}");
        assert_done(&at(&url, &["push", "--job", value, "--label", &label, "--label=l.n=1", "m=1"]));
    }
    let api = gateway.api();
    let mut found: Vec<_> = api["data"].as_array().unwrap().iter().map(|group| &group["labels"]).collect();
    found.sort_by_key(|labels| values.iter().position(|value| labels["job"] == *value));
    assert_eq!(found.len(), values.len());
    for (labels, value) in found.into_iter().zip(values) {
        assert_eq!(*labels, serde_json::json!({"job": value, "label": value, "l.n": "1"}));
    }
    // The same in a sample. A shell passes line feeds unescaped.
    assert_done(&at(
        &url,
        &["push", "--job=s", "m{a=\"=}{ \\\" \n ä\",\"b.c\"=\"\\\\\"}=-Inf", "{\"n.x\"}=1e3"],
    ));
    let lines = gateway.request(
        "GET",
        "/metrics",
        &[("Accept", "text/plain; version=1.0.0; escaping=allow-utf-8")],
        b"",
    );
    let lines = lines.text();
    assert!(
        lines.contains("m{a=\"=}{ \\\" \\n ä\",\"b.c\"=\"\\\\\",instance=\"\",job=\"s\"} -Inf\n"),
        "{lines}"
    );
    assert!(lines.contains("{\"n.x\",instance=\"\",job=\"s\"} 1000\n"), "{lines}");
}

#[test]
fn a_dry_run_sends_nothing() {
    let nowhere = "https://user:secret@127.0.0.1:1/prefix/";
    let ended = at(nowhere, &["push", "--dry-run", "--put", "--job=a b", "n_total=1"]);
    assert_eq!(
        ended,
        Ended {
            code: 0,
            stdout: "# TYPE n_total counter\nn_total 1\n".to_owned(),
            stderr: "PUT https://127.0.0.1:1/prefix/metrics/job@base64/YSBi\n".to_owned(),
        }
    );
    let ended = at(nowhere, &["delete", "--dry-run", "--job=a", "--label=b="]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "DELETE https://127.0.0.1:1/prefix/metrics/job/a/b@base64/=\n")
    );
}

#[test]
fn a_wrong_command_line_sends_nothing() {
    // This gateway would count any request.
    let gateway = Gateway::start(&[]);
    let (url, folder) = (gateway.url(""), Directory::new());
    let (secret, token) = (folder.write("password", "se cret\n"), folder.write("token", "se cret\n"));
    for (arguments, part) in [
        (&["push", "n=1"][..], "--job <NAME>"),
        (&["push", "--job=", "n=1"], "--job is empty"),
        (&["push", "--job=a", "--label=b", "n=1"], "there is no = in it"),
        (&["push", "--job=a", "--label=job=b", "n=1"], "--label job"),
        (&["push", "--job=a", "--label=b=1", "--label=b=2", "n=1"], "--label b is given twice"),
        (&["push", "--job=a", "--label=__b=1", "n=1"], "--label \"__b\""),
        (&["push", "--job=a", "n"], "sample \"n\": there is no ="),
        (&["push", "--job=a", "n=x"], "sample \"n=x\": expected float as value, got \"x\""),
        (&["push", "--job=a", "--type=s=summary", "s{quantile=\"x\"}=1"], "do not go together"),
        (&["push", "--job=a", "--type=n=count", "n=1"], "the type is none of counter"),
        (&["push", "--job=a", "--type=n=histogram", "n=1"], "sample \"n=1\": n is a histogram"),
        (&["push", "--job=a", "--type=n=summary", "n=1", "n_sum=1"], "sample \"n=1\": n is a summary"),
        (&["push", "--job=a", "--type=n=histogram", "n_bucket=1"], "a bucket has a label le"),
        (&["push", "--job=a", "--type=m=counter", "n=1"], "--type \"m\": no sample"),
        (&["push", "--job=a", "--jobs=a", "n=1"], "--jobs"),
        (&["push", "--job=a", "--timeout=0s", "n=1"], "longer than 0s"),
        (
            &["push", "--job=a", "--timeout=5", "n=1"],
            "missing unit in duration \"5\"; a duration is a number and its unit",
        ),
        (&["push", "--job=a", "--timeout=5M", "n=1"], "unknown unit \"M\""),
        (&["push", "--job=a", "--idempotency-key=a b", "n=1"], "Idempotency-Key"),
        (&["push", "--job=a", "--url=ftp://u:secret@h", "n=1"], "--url: its scheme"),
        (&["push", "--job=a", "--user=u", "n=1"], "--password-file"),
        (&["push", "--job=a", "--user=u:v", "--password-file", &secret, "n=1"], "--user"),
        (&["push", "--job=a", "--token-file", &token, "n=1"], "a token is one word"),
        (&["push", "--job=a", "--token-file=/nowhere", "n=1"], "--token-file: /nowhere: no such file"),
        (
            &["push", "--job=a", "--url=http://u:secret@h", "--user=u", "--password-file", &secret, "n=1"],
            "leave one out",
        ),
        (&["push", "--job=a", "--url=https://h", "--cacert", &secret, "n=1"], "no certificate in PEM"),
        (&["delete"], "--job <NAME>"),
        (&["delete", "--job=a", "extra"], "extra"),
    ] {
        let ended = at(&url, arguments);
        assert_failed(&ended, 2, &[part, &format!("tallygate {}: ", arguments[0])]);
        assert!(!ended.stderr.contains("cret"), "{}", ended.stderr);
    }
    assert_eq!(gateway.pushed(), "");
    assert_eq!(gateway.api()["data"], serde_json::json!([]));
    // The help of the gateway names all commands.
    let help = run(&["--help"]).stdout;
    let (_, named) = help.split_once("Commands: ").unwrap();
    let named: Vec<_> = named.split('.').next().unwrap().split(',').map(str::trim).collect();
    let commands = tallygate::cli::definition();
    assert_eq!(named, commands.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>());
    // A first argument that is not a command goes to the gateway itself.
    assert_eq!(run(&["pusch"]).stderr, "tallygate: error: unexpected pusch, try --help\n");
    let help = run(&["push", "--help"]);
    assert!(help.code == 0 && help.stderr.is_empty() && help.stdout.contains("TALLYGATE_URL"), "{help:?}");
}

#[test]
fn a_refused_push_is_sent_once() {
    let gateway = Gateway::start(&[]);
    let url = gateway.url("");
    let key = "--idempotency-key=run-1";
    assert_failed(&at(&url, &["push", "--job=a", "n_total=-1"]), 1, &[&url, "400 Bad Request", "n_total"]);
    assert_done(&at(&url, &["push", "--job=a", key, "n_total=1"]));
    assert_done(&at(&url, &["push", "--job=a", key, "n_total=1"]));
    assert_failed(&at(&url, &["push", "--job=a", key, "n_total=2"]), 1, &["422"]);
    // The whole of a long answer, too.
    assert_failed(&at(&url, &["push", "--job=b", "n=1", "n=2"]), 1, &["with the same name and label values"]);
    assert_eq!(gateway.sample("n_total{instance=\"\",job=\"a\"}"), Some(1.0));
    assert_eq!(
        gateway.sample("pushgateway_http_requests_total{code=\"400\",handler=\"push\",method=\"post\"}"),
        Some(2.0)
    );
    // A body that is too large is not read to its end, but the client still gets the answer.
    let small = Gateway::start_with(&[], &[("TALLYGATE_WEB__MAX_BODY_BYTES", "1000")]);
    let large = "m 1\n".repeat(1_000_000);
    let ended = run_with(&["push", "--job=a", "--url", &small.url("")], large.as_bytes(), &[]);
    assert_failed(&ended, 1, &["413", "web.max_body_bytes"]);
    // A POST that follows a redirect would become a GET and seem to succeed.
    let redirect = Scripted::new([Turn::Answer("301 Moved Permanently\r\nLocation: /elsewhere", "")]);
    assert_failed(&at(&redirect.url(), &["push", "--job=a", "n_total=1"]), 1, &["301", "redirects"]);
    assert_eq!(redirect.requests(), ["POST /metrics/job/a"]);
}

#[test]
fn logins() {
    let folder = Directory::new();
    let users = format!("basic_auth_users:\n  us er: {}\n", bcrypt::hash("pass:wörd", 4).unwrap());
    let web = format!("--web.config.file={}", folder.write("web.yml", users));
    let token = folder.write("token", "the-token-of-all\n");
    let config = format!(
        "[access]\nusers = {{ \"us er\" = [\"push\"] }}\ntokens = [{{ name = \"ci\", file = {token:?}, allow = [\"delete\"] }}]\n"
    );
    let gateway = Gateway::start_with_config(&config, &[&web]);
    let url = gateway.url("");
    let (right, wrong) = (folder.write("right", "pass:wörd\r\n"), folder.write("wrong", "secret"));
    let push = ["push", "--job=a", "n_total=1"];
    let user = |file: &str| at(&url, &[&push[..], &["--user=us er", "--password-file", file]].concat());
    assert_done(&user(&right));
    let in_url = url.replace("http://", "http://us%20er:pass%3Aw%C3%B6rd@");
    assert_done(&at(&in_url, &push));
    assert_failed(&at(&url, &push), 1, &["401", "--token-file"]);
    let ended = user(&wrong);
    assert_failed(&ended, 1, &["401 Unauthorized"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    let ended = at(&in_url.replace("pass", "secret"), &push);
    assert_failed(&ended, 1, &["401 Unauthorized"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    // A user without the permission is told so.
    assert_failed(&at(&in_url, &["delete", "--job=a"]), 1, &["403", "permission \"delete\""]);
    assert_done(&at(&url, &["delete", "--job=a", "--token-file", &token]));
}

#[test]
fn tls() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.client("client", "DNS:client.example");
    let gateway = Gateway::start(&[&certificates
        .web_config("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n")]);
    let url = gateway.url("").replace("http://", "https://");
    let (ca, cert) = (certificates.path("ca.crt"), certificates.path("client.crt"));
    let key = certificates.path("client.key");
    let push = |more: &[&str]| at(&url, &[&["push", "--job=a", "n_total=1"], more].concat());
    assert_done(&push(&["--cacert", &ca, "--cert", &cert, "--key", &key]));
    let both = certificates
        .folder
        .write("both.pem", certificates.read("client.key") + &certificates.read("client.crt"));
    assert_done(&push(&["--cacert", &ca, "--cert", &both]));
    assert_failed(&push(&["--cert", &both]), 3, &["certificate", "--cacert"]);
    assert_failed(&push(&["--cacert", &ca, "--cert", &cert]), 2, &["--cert", "no private key"]);
    let stranger = certificates.path("server.key");
    let ended = push(&["--cacert", &ca, "--cert", &cert, "--key", &stranger]);
    assert_failed(&ended, 2, &["--key: ", &stranger, "is not that of the certificate"]);
    let here = url.replace("127.0.0.1", "localhost");
    assert_done(&at(&here, &["delete", "--job=b", "--cacert", &ca, "--cert", &both]));
    assert_eq!(push(&["--cacert", &ca, "--retries=0"]).code / 3, 1);
    // A gateway without TLS.
    let plain = Gateway::start(&[]);
    let url = plain.url("").replace("http://", "https://");
    assert_failed(
        &at(&url, &["push", "--job=a", "n=1", "--cacert", &ca]),
        3,
        &["there is no TLS", "http://"],
    );
}

/// Checks a gateway with this certificate for health, pushes, deletes and runs a program. All of them must end in
/// this way.
#[track_caller]
fn all_commands(port: u16, host: &str, cacert: &str, expected: Result<(), &str>) {
    let url = format!("https://{host}:{port}");
    let tls = ["--url", &url, "--cacert", cacert];
    for command in [&["push", "--job=a", "n_total=1"][..], &["delete", "--job=b"], &["healthcheck"]] {
        let ended = run(&[command, &tls].concat());
        match expected {
            Ok(()) => assert_done(&ended),
            Err(part) => assert_failed(&ended, if command[0] == "healthcheck" { 1 } else { 3 }, &[part]),
        }
    }
    let ended = run(&[&["run", "--job=c"], &tls[..], &["--", "true"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    match expected {
        Ok(()) => assert_done(&ended),
        Err(part) => assert!(ended.stderr.contains(part) && ended.stderr.lines().count() == 1, "{ended:?}"),
    }
}

#[test]
fn a_certificate_can_be_trusted_itself() {
    let Some(certificates) = Certificates::new() else { return };
    let gateway = |name: &str| {
        certificates.install(name);
        Gateway::start(&[&certificates.web_config("")])
    };
    let names = "subjectAltName = IP:127.0.0.1, DNS:localhost\n";
    let for_servers = format!("extendedKeyUsage = serverAuth\n{names}");
    let own = |name: &str, authority: &str, more: &str| {
        certificates.own(name, &format!("basicConstraints = critical, CA:{authority}\n{more}"));
    };
    own("authority", "TRUE", names);
    own("plain", "FALSE", &for_servers);
    own("other", "TRUE", names);
    certificates.server("issued");
    // The file may hold other certificates, too.
    let (own_file, other) = (certificates.read("authority.crt"), certificates.read("other.crt"));
    certificates.folder.write("both.crt", other + &own_file);
    for (name, trusted) in [
        ("authority", "authority.crt"),
        ("authority", "both.crt"),
        ("plain", "plain.crt"),
        // The certificate itself instead of that of its authority.
        ("issued", "issued.crt"),
    ] {
        let gateway = gateway(name);
        all_commands(gateway.port(), "127.0.0.1", &certificates.path(trusted), Ok(()));
        all_commands(gateway.port(), "localhost", &certificates.path(trusted), Ok(()));
    }
    // The error says what is wrong and what to do.
    let refused = "the certificate of the gateway is not trusted: name its authority, or the certificate itself, with --cacert";
    for (name, trusted) in [("authority", "other.crt"), ("plain", "ca.crt"), ("issued", "other.crt")] {
        all_commands(gateway(name).port(), "127.0.0.1", &certificates.path(trusted), Err(refused));
    }
    own("elsewhere", "TRUE", "subjectAltName = DNS:a.example, IP:10.0.0.1\n");
    let reason = "is not for 127.0.0.1, but for a.example, 10.0.0.1: name the gateway so in the URL";
    all_commands(gateway("elsewhere").port(), "127.0.0.1", &certificates.path("elsewhere.crt"), Err(reason));
    own("nowhere", "TRUE", "");
    let reason = "is not for localhost, and for no other host";
    all_commands(gateway("nowhere").port(), "localhost", &certificates.path("nowhere.crt"), Err(reason));
    own("client", "FALSE", &format!("extendedKeyUsage = clientAuth\n{names}"));
    let reason = "is not for servers: its extended key usage leaves serverAuth out";
    all_commands(gateway("client").port(), "127.0.0.1", &certificates.path("client.crt"), Err(reason));
}

#[test]
fn a_gateway_that_is_down_is_tried_again() {
    let nowhere = "http://127.0.0.1:1";
    let ended = at(nowhere, &["push", "--job=a", "--retries=1", "n_total=1"]);
    assert_failed(&ended, 3, &[nowhere, "onnection refused", "(after 2 attempts)"]);
    // The pause would be longer than the remaining time.
    let ended = at(nowhere, &["push", "--job=a", "--timeout=1ms", "n_total=1"]);
    assert_failed(&ended, 3, &[nowhere]);
    assert!(!ended.stderr.contains("attempts"), "{}", ended.stderr);
    let ended = at("http://nowhere.invalid", &["delete", "--job=a", "--retries=0"]);
    assert_failed(&ended, 3, &["http://nowhere.invalid"]);
}

#[test]
fn a_push_that_is_put_off_counts_once() {
    let gateway = Gateway::start(&[]);
    let busy = Turn::Answer("503 Service Unavailable\r\nRetry-After: 0", "too much\n");
    let limited = Turn::Answer("429 Too Many Requests", "");
    let server = Scripted::before(&gateway, [busy, limited]);
    assert_done(&at(&server.url(), &["push", "--job=a", "n_total=5"]));
    assert_eq!(server.requests(), ["POST /metrics/job/a"; 3]);
    assert_eq!(gateway.sample("n_total{instance=\"\",job=\"a\"}"), Some(5.0));
    // The command does not wait longer than the remaining time.
    let later = || Turn::Answer("503 Service Unavailable\r\nRetry-After: 3600", "the disk is full\n");
    let server = Scripted::new([later()]);
    assert_failed(&at(&server.url(), &["push", "--job=a", "n_total=5"]), 3, &["503", "the disk is full"]);
}

#[test]
fn a_push_whose_answer_is_lost_counts_once() {
    let gateway = Gateway::start(&[]);
    for lost in [Turn::LoseAnswer, Turn::ReplaceAnswer("502 Bad Gateway")] {
        let server = Scripted::before(&gateway, [lost]);
        assert_done(&at(&server.url(), &["push", "--job=a", "n_total=5"]));
        assert_eq!(server.requests(), ["POST /metrics/job/a", "GET /-/healthy", "POST /metrics/job/a"]);
    }
    assert_eq!(gateway.sample("n_total{instance=\"\",job=\"a\"}"), Some(10.0));
    assert_eq!(gateway.sample("tallygate_idempotency_replays_total"), Some(2.0));
    // The gateway may be away for a moment when it is asked about keys, too.
    let server =
        Scripted::before(&gateway, [Turn::LoseAnswer, Turn::Close, Turn::Answer("503 Starting", "")]);
    assert_done(&at(&server.url(), &["push", "--job=b", "n_total=5"]));
    assert_eq!(gateway.sample("n_total{instance=\"\",job=\"b\"}"), Some(5.0));
}

#[test]
fn whoever_may_push_learns_what_the_gateway_remembers() {
    let folder = Directory::new();
    let token = folder.write("token", "the-token-of-all\n");
    let config = format!("[access]\ntokens = [{{ name = \"ci\", file = {token:?}, allow = [\"push\"] }}]\n");
    let gateway = Gateway::start_with_config(&config, &[]);
    let server = Scripted::before(&gateway, [Turn::LoseAnswer]);
    assert_done(&at(&server.url(), &["push", "--job=a", "--token-file", &token, "n_total=5"]));
    assert_eq!(server.requests(), ["POST /metrics/job/a", "GET /-/healthy", "POST /metrics/job/a"]);
    let window = |config: &str| {
        let response = Gateway::start_with_config(config, &[]).get("/-/healthy");
        response.header("Idempotency-Window").map(str::to_owned)
    };
    assert_eq!(window("").as_deref(), Some("3600"));
    assert_eq!(window("[push]\nidempotency_window = \"1500ms\"\n").as_deref(), Some("1"));
    assert_eq!(window("[push]\nidempotency_window = \"0s\"\n").as_deref(), Some("0"));
}

#[test]
fn a_gateway_that_ignores_keys_gets_no_push_twice() {
    let window =
        |window| Gateway::start_with_config(&format!("[push]\nidempotency_window = \"{window}\"\n"), &[]);
    // The second gateway would forget the key before the time is up.
    for gateway in [window("0s"), window("29s")] {
        let server = Scripted::before(&gateway, [Turn::LoseAnswer]);
        let ended = at(&server.url(), &["push", "--job=a", "n_total=5"]);
        assert_failed(&ended, 4, &["may have been counted", "not sent again"]);
        assert_eq!(gateway.sample("n_total{instance=\"\",job=\"a\"}"), Some(5.0));
        // PUT may add on such a gateway. DELETE can't.
        let server = Scripted::before(&gateway, [Turn::LoseAnswer]);
        assert_failed(&at(&server.url(), &["push", "--put", "--job=a", "n_total=5"]), 4, &[]);
        let server = Scripted::before(&gateway, [Turn::LoseAnswer]);
        assert_done(&at(&server.url(), &["delete", "--job=a"]));
    }
    // It is not known what this server does with keys.
    let healthy = || Turn::Answer("200 OK", "OK");
    let server = Scripted::new([Turn::Close, healthy()]);
    assert_failed(&at(&server.url(), &["push", "--job=a", "n_total=5"]), 4, &["may have been counted"]);
    let server = Scripted::new([Turn::Close, healthy(), healthy()]);
    assert_done(&at(&server.url(), &["push", "--put", "--job=a", "n_total=5"]));
    assert_eq!(server.requests(), ["PUT /metrics/job/a", "GET /-/healthy", "PUT /metrics/job/a"]);
}

#[test]
fn a_gateway_that_never_answers_costs_a_bounded_time() {
    let server = Scripted::new([Turn::Silence]);
    let ended = at(&server.url(), &["push", "--job=a", "--timeout=500ms", "--retries=0", "n_total=5"]);
    assert_failed(&ended, 4, &["no answer within the 500ms of --timeout", "may have been counted"]);
    let server = Scripted::new([Turn::Silence]);
    let ended = at(&server.url(), &["delete", "--job=a", "--timeout=500ms", "--retries=0"]);
    assert_failed(&ended, 3, &["no answer within the 500ms of --timeout"]);
    // The next pause would be longer than the remaining time.
    let server = Scripted::new([Turn::Silence]);
    let ended = at(&server.url(), &["push", "--job=a", "--timeout=450ms", "n_total=5"]);
    assert_failed(&ended, 4, &["no answer within 150ms, a third of --timeout; the push"]);
    let server = Scripted::new([Turn::Silence]);
    let push = ["--push-timeout=300ms", "--retries=0", "--url", &server.url()];
    let ended = run(&[&["run", "--job=a"], &push[..], &["--", "true"]].concat());
    assert!(ended.stderr.contains("no answer within the 300ms of --push-timeout"), "{ended:?}");
    // Half an answer counts as none.
    let server = Scripted::new([Turn::Half]);
    let ended = at(&server.url(), &["push", "--job=a", "--timeout=500ms", "--retries=0", "n_total=5"]);
    assert_failed(&ended, 4, &["may have been counted"]);
}

#[test]
fn the_stock_gateway() {
    let Some(stock) = programs::stock() else { return };
    let flags = ["--web.listen-address=127.0.0.1:0"];
    let gateway = Gateway::start_program(&stock, &flags, &[]);
    let url = gateway.url("");
    for value in ["x/y", "", ".."] {
        let label = format!("l={value}");
        assert_done(&at(&url, &["push", "--job=a b", "--label", &label, "n_total=5", "g{a=\"ä\\\"\"}=2.5"]));
    }
    assert_eq!(gateway.sample("n_total{instance=\"\",job=\"a b\",l=\"x/y\"}"), Some(5.0));
    assert_eq!(gateway.sample("g{a=\"ä\\\"\",instance=\"\",job=\"a b\",l=\"..\"}"), Some(2.5));
    assert_done(&at(&url, &["push", "--put", "--job=a b", "n_total=7"]));
    assert_done(&at(&url, &["delete", "--job=a b", "--label=l=x/y"]));
    assert_eq!(gateway.sample("n_total{instance=\"\",job=\"a b\",l=\"x/y\"}"), None);
    let stamped = run_with(&["push", "--job=s", "--url", &url], b"n 1 1000\n", &[]);
    assert_failed(&stamped, 1, &["400"]);
    // POST is not repeated if its result is not known. PUT and DELETE are.
    let server = Scripted::before(&gateway, [Turn::LoseAnswer]);
    assert_failed(&at(&server.url(), &["push", "--job=c", "n_total=1"]), 4, &["not sent again"]);
    let server = Scripted::before(&gateway, [Turn::LoseAnswer]);
    assert_done(&at(&server.url(), &["push", "--put", "--job=c", "n_total=2"]));
    assert_eq!(gateway.sample("n_total{instance=\"\",job=\"c\"}"), Some(2.0));
    assert_done(&run(&["healthcheck", "--ready", "--url", &url]));
}

#[test]
fn health_is_asked_for_by_the_settings_of_the_gateway() {
    let config = "[web]\nroute_prefix = \"/p\"\nallowed_hosts = [\"gate.example\"]\n";
    let folder = Directory::new();
    let file = format!("--config.file={}", folder.write("config", config));
    let gateway = Gateway::start(&[&file]);
    let address = format!("--web.listen-address=127.0.0.1:{}", gateway.port());
    for address in [&address, &address.replace("127.0.0.1", ""), &address.replace("127.0.0.1", "0.0.0.0")] {
        assert_done(&run(&["healthcheck", &file, address]));
        assert_done(&run(&["healthcheck", "--ready", "--timeout=60s", &file, address]));
    }
    let (url, listen) = (gateway.url("/p"), format!("127.0.0.1:{}", gateway.port()));
    let variables = [
        ("TALLYGATE_CONFIG_FILE", folder.path_of("config")),
        ("TALLYGATE_WEB__LISTEN_ADDRESS", listen),
        // This variable is for pushes.
        ("TALLYGATE_URL", "http://127.0.0.1:1".to_owned()),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_done(&run_with(&["healthcheck"], b"", &variables));
    assert_done(&run(&["healthcheck", "--url", &url]));
    assert_failed(&run(&["healthcheck", "--url", &gateway.url("")]), 1, &["not healthy", "421"]);
    assert_failed(&run(&["healthcheck", &address]), 1, &["not healthy", "421", "web.allowed_hosts"]);
    assert_failed(&run(&["healthcheck", "--web.listen-address=127.0.0.1:1"]), 1, &["onnection refused"]);
    for (arguments, part) in [
        (&["healthcheck", "--web.listen-address=:0"][..], "--url"),
        (&["healthcheck", "--web.systemd-socket"], "--url"),
        (&["healthcheck", "--nonsense"], "--nonsense"),
        (&["healthcheck", "--version"], "start no gateway"),
        (&["healthcheck", "--config.file=/nowhere"], "/nowhere"),
        (&["healthcheck", "--url=http://h", "--log.level=info"], "--url"),
    ] {
        assert_failed(&run(arguments), 2, &[part]);
    }
    let silent = Scripted::new([Turn::Silence]);
    let address = format!("--web.listen-address={}", silent.url().replace("http://", ""));
    assert_failed(
        &run(&["healthcheck", "--timeout=300ms", &address]),
        1,
        &["no answer within the 300ms of --timeout"],
    );
}

#[test]
fn health_is_asked_for_with_the_tls_and_the_token_of_the_gateway() {
    let Some(certificates) = Certificates::new() else { return };
    let users = format!("basic_auth_users:\n  a: {}\n", bcrypt::hash("b", 4).unwrap());
    // The certificate is for another name, as usual when a gateway is reached on its own machine.
    certificates.server("server");
    let tls = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
    let web = format!("--web.config.file={}", certificates.folder.write("web.yml", format!("{tls}{users}")));
    let gateway = Gateway::start(&[&web]);
    let address = format!("--web.listen-address=127.0.0.1:{}", gateway.port());
    // A gateway that asks for a login is alive, but it may not be ready.
    assert_done(&run(&["healthcheck", &web, &address]));
    assert_failed(&run(&["healthcheck", "--ready", &web, &address]), 1, &["401"]);
    let password = certificates.folder.write("password", "b");
    let login = ["--user=a", "--password-file", &password];
    assert_done(&run(&[&["healthcheck", "--ready"], &login[..], &[&web, &address]].concat()));
    // Another certificate means another server.
    certificates.server("other");
    let other = certificates
        .folder
        .write("other.yml", tls.replace("server.crt", "other.crt").replace("server.key", "other.key"));
    let other = format!("--web.config.file={other}");
    let ended = run(&["healthcheck", &other, &address]);
    assert_failed(&ended, 1, &["the certificate of the gateway is not the one in the web configuration"]);
    assert_failed(&run(&["healthcheck", &address]), 1, &["400"]);

    let token = certificates.folder.write("token", "the-token-of-all\n");
    let config = format!("[access]\ntokens = [{{ name = \"ci\", file = {token:?}, allow = [\"push\"] }}]\n");
    let config = format!("--config.file={}", certificates.folder.write("config", config));
    let gateway = Gateway::start(&[&config]);
    let address = format!("--web.listen-address=127.0.0.1:{}", gateway.port());
    assert_done(&run(&["healthcheck", "--ready", &config, &address]));

    let web =
        certificates.web_config("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n");
    let gateway = Gateway::start(&[&web]);
    let address = format!("--web.listen-address=127.0.0.1:{}", gateway.port());
    assert_done(&run(&["healthcheck", &web, &address]));
    assert_failed(&run(&["healthcheck", "--ready", &web, &address]), 1, &["client certificate"]);
}
