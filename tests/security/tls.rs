//! TLS as in the web configuration file: who can connect, how, and that it can change while clients are connected.
//! The clients are curl and openssl.

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::certificates::Certificates;
use crate::programs::{self, ask_until};
use crate::support::{Gateway, run};

/// Runs curl for a path of the gateway, with its authority. Returns status and body, or curl's error.
fn curl(
    certificates: &Certificates,
    gateway: &Gateway,
    path: &str,
    arguments: &[&str],
) -> Result<(u16, String), String> {
    let mut command = programs::command("curl");
    command.args([
        "-sS",
        "--max-time",
        "120",
        "-w",
        "\n%{http_code}",
        "--cacert",
        &certificates.path("ca.crt"),
    ]);
    command.args(arguments).arg(format!("https://127.0.0.1:{}{path}", gateway.port()));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let (body, code) = text.rsplit_once('\n').unwrap();
    Ok((code.parse().unwrap(), body.to_owned()))
}

#[track_caller]
fn assert_healthy(certificates: &Certificates, gateway: &Gateway, arguments: &[&str]) {
    let answer = curl(certificates, gateway, "/-/healthy", arguments);
    assert_eq!(answer, Ok((200, "OK".to_owned())), "{arguments:?}: {}", gateway.stderr());
}

#[track_caller]
fn assert_refused(certificates: &Certificates, gateway: &Gateway, arguments: &[&str]) {
    let answer = curl(certificates, gateway, "/-/healthy", arguments);
    assert!(answer.is_err(), "{arguments:?}: {answer:?}");
}

/// The whole output of openssl for a handshake.
fn handshake(gateway: &Gateway, arguments: &[&str]) -> String {
    let mut command = programs::command("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{}", gateway.port())]).args(arguments);
    let output = command.stdin(Stdio::null()).output().unwrap();
    programs::text_of(&output)
}

/// The common name of the certificate that the gateway shows to new connections.
fn shown_name(gateway: &Gateway) -> String {
    let text = handshake(gateway, &[]);
    let line = text.lines().find(|line| line.starts_with("subject=")).unwrap_or_default();
    line.rsplit(['=', ' ']).next().unwrap_or_default().to_owned()
}

fn client<'a>(certificates: &Certificates, name: &str, keep: &'a mut [String; 2]) -> [&'a str; 4] {
    *keep = [certificates.path(&format!("{name}.crt")), certificates.path(&format!("{name}.key"))];
    ["--cert", &keep[0], "--key", &keep[1]]
}

macro_rules! with_programs {
    () => {
        match (programs::curl(), Certificates::new()) {
            (Some(_), Some(certificates)) => certificates,
            _ => return,
        }
    };
}

#[test]
fn pushes_and_scrapes_are_encrypted() {
    let certificates = with_programs!();
    let gateway = Gateway::start(&[&certificates.web_config("")]);
    gateway.wait_for_log("msg=\"TLS is enabled.\" http2=false address=127.0.0.1:");
    let push = ["--data-binary", "# TYPE c counter\nc 1\n"];
    for version in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
        let push = [version.as_slice(), &push].concat();
        assert_eq!(curl(&certificates, &gateway, "/metrics/job/a", &push), Ok((200, String::new())));
    }
    // curl waits for `100 Continue`.
    let waiting = ["-i", "-H", "Expect: 100-continue", "--expect100-timeout", "100"];
    let (code, text) =
        curl(&certificates, &gateway, "/metrics/job/b", &[&waiting[..], &push].concat()).unwrap();
    assert!(code == 200 && text.starts_with("HTTP/1.1 100 Continue\r\n"), "{code} {text}");
    let (code, text) = curl(&certificates, &gateway, "/nope", &[&waiting[..], &push].concat()).unwrap();
    assert!(code == 404 && text.starts_with("HTTP/1.1 404 Not Found\r\n"), "{code} {text}");
    let (code, text) = curl(&certificates, &gateway, "/metrics", &["--http2"]).unwrap();
    assert_eq!(code, 200);
    assert!(text.contains("c{instance=\"\",job=\"a\"} 2\n"), "{text}");
    assert!(text.contains("\ntallygate_web_config_last_reload_successful 1\n"), "{text}");
    assert!(!text.contains("\ntallygate_web_config_last_reload_success_timestamp_seconds 0\n"), "{text}");
    let text = handshake(&gateway, &["-alpn", "h2,http/1.1"]);
    assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
}

#[test]
fn a_request_in_the_clear_is_told_so() {
    let certificates = with_programs!();
    let gateway = Gateway::start(&[&certificates.web_config("")]);
    let mut connection = gateway.connect();
    connection.send(b"POST /metrics/job/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nm 1\n").unwrap();
    let answer = connection.read_to_end().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&answer),
        "HTTP/1.0 400 Bad Request\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n\r\n\
         Client sent an HTTP request to an HTTPS server.\n"
    );
    // Bytes that are not a request only lose their connection.
    let mut connection = gateway.connect();
    connection.send(b"\0\0\0\0\0\0\0\0\0\0").unwrap();
    let _ = connection.read_to_end();
    assert_healthy(&certificates, &gateway, &[]);
    ask_until("both failures", || {
        let (_, text) = curl(&certificates, &gateway, "/metrics", &[])?;
        if text.contains("\ntallygate_tls_handshake_failures_total 2\n") { Ok(()) } else { Err(text) }
    });
}

#[test]
fn clients_that_are_slow_or_too_many_are_turned_away() {
    let certificates = with_programs!();
    let slow =
        Gateway::start_with_config("[limits]\nhead_timeout = \"3s\"\n", &[&certificates.web_config("")]);
    // One never begins a handshake, the other never ends the head of a request.
    assert_eq!(slow.connect().read_to_end().unwrap(), b"");
    let mut command = programs::command("openssl");
    command.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", slow.port())]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut openssl = command.spawn().unwrap();
    let mut input = openssl.stdin.take().unwrap();
    input.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let answer = openssl.wait_with_output().unwrap();
    assert!(answer.stdout.starts_with(b"HTTP/1.1 408 Request Timeout\r\n"), "{}", programs::text_of(&answer));
    drop(input);
    let (_, text) = curl(&certificates, &slow, "/metrics", &[]).unwrap();
    assert!(text.contains("\ntallygate_limit_hits_total{limit=\"head_timeout\"} 1\n"), "{text}");
    assert!(text.contains("\ntallygate_tls_handshake_failures_total 1\n"), "{text}");

    let few = Gateway::start_with_config("[limits]\nconnections = 2\n", &[&certificates.web_config("")]);
    let mut held = Vec::new();
    ask_until("a connection too many", || {
        // Their order is not certain: one may have been refused because of curl's connection.
        held.extend([few.connect(), few.connect()]);
        match curl(&certificates, &few, "/-/healthy", &[]) {
            Ok(answer) => Err(format!("{answer:?}")),
            Err(_) => Ok(()),
        }
    });
    drop(held);
    ask_until("room for a connection", || {
        let (_, text) = curl(&certificates, &few, "/metrics", &[])?;
        let hits = "\ntallygate_limit_hits_total{limit=\"connections\"} ";
        if text.contains(hits) && !text.contains(&format!("{hits}0\n")) { Ok(()) } else { Err(text) }
    });
}

#[test]
fn versions_are_those_that_are_configured() {
    let certificates = with_programs!();
    for (lines, works, refused) in [
        ("", &["-tls1_2", "-tls1_3"][..], &["-tls1", "-tls1_1"][..]),
        ("  min_version: TLS13\n", &["-tls1_3"], &["-tls1_2"]),
        ("  max_version: TLS12\n", &["-tls1_2"], &["-tls1_3"]),
    ] {
        let gateway = Gateway::start(&[&certificates.web_config(lines)]);
        for version in works {
            let text = handshake(&gateway, &[version]);
            assert!(
                text.contains("Cipher is TLS_") || text.contains("Cipher is ECDHE"),
                "{lines}{version}: {text}"
            );
        }
        for version in refused {
            let text = handshake(&gateway, &["-cipher", "DEFAULT:@SECLEVEL=0", version]);
            assert!(text.contains("Cipher is (NONE)"), "{lines}{version}: {text}");
        }
    }
}

#[test]
fn ciphers_and_curves_are_those_that_are_configured() {
    let certificates = with_programs!();
    let lines = "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  \
                 curve_preferences:\n  - CurveP384\n";
    let gateway = Gateway::start(&[&certificates.web_config(lines)]);
    let text = handshake(&gateway, &[]);
    assert!(text.contains("Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"), "{text}");
    assert!(
        text.contains("Server Temp Key: ECDH, secp384r1") || text.contains("Peer Temp Key: ECDH, secp384r1"),
        "{text}"
    );
    let text = handshake(&gateway, &["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert!(text.contains("Cipher is (NONE)"), "{text}");
    let text = handshake(&gateway, &["-groups", "X25519:P-256"]);
    assert!(text.contains("Cipher is (NONE)"), "{text}");
    // The list applies to TLS 1.2. 1.3 keeps working, as in Go.
    let lines = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  curve_preferences: [X25519]\n";
    let gateway = Gateway::start(&[&certificates.web_config(lines)]);
    let text = handshake(&gateway, &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]);
    assert!(text.contains("Cipher is TLS_CHACHA20_POLY1305_SHA256"), "{text}");
}

#[test]
fn clients_show_the_certificates_that_are_asked_for() {
    let certificates = with_programs!();
    certificates.client("friend", "DNS:friend.example");
    certificates.stranger("stranger");
    let ca = "  client_ca_file: ca.crt\n";
    // Without a certificate, with one of the authority, and with an unknown one.
    for (auth, ca, works) in [
        ("NoClientCert", "", [true, true, true]),
        ("RequestClientCert", "", [true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true]),
        ("RequireClientCert", ca, [false, true, true]),
        ("VerifyClientCertIfGiven", ca, [true, true, false]),
        ("VerifyClientCertIfGiven", "", [true, false, false]),
        ("RequireAndVerifyClientCert", ca, [false, true, false]),
    ] {
        let lines = format!("  client_auth_type: {auth}\n{ca}");
        let gateway = Gateway::start(&[&certificates.web_config(&lines)]);
        for version in [["--tls-max", "1.2"], ["--tls-max", "1.3"]] {
            for (name, works) in [None, Some("friend"), Some("stranger")].into_iter().zip(works) {
                let mut keep = Default::default();
                let shown = name.map_or(Vec::new(), |name| client(&certificates, name, &mut keep).to_vec());
                let arguments = [version.to_vec(), shown].concat();
                let answer = curl(&certificates, &gateway, "/-/healthy", &arguments);
                assert_eq!(answer.is_ok(), works, "{auth} {name:?} {version:?}: {answer:?}");
            }
        }
    }
}

#[test]
fn a_certificate_works_for_the_gateways_own_page_only() {
    let certificates = with_programs!();
    certificates.client("friend", "DNS:friend.example");
    let lines = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let gateway = Gateway::start(&[&certificates.web_config(lines)]);
    let mut keep = Default::default();
    let shown = client(&certificates, "friend", &mut keep);
    for (site, code) in [("cross-site", 403), ("same-origin", 200)] {
        let said = format!("Sec-Fetch-Site: {site}");
        let push = [&shown[..], &["--data-binary", "m 1\n", "-H", &said]].concat();
        let answer = curl(&certificates, &gateway, "/metrics/job/a", &push);
        assert_eq!(answer.map(|(code, _)| code), Ok(code), "{site}");
    }
}

#[test]
fn clients_must_be_one_of_those_that_are_named() {
    let certificates = with_programs!();
    certificates.client("dns", "DNS:other.example, DNS:a.example");
    certificates.client("email", "email:ops@a.example");
    certificates.client("ip", "IP:10.0.0.7");
    certificates.client("ip6", "IP:fd00::7");
    certificates.client("uri", "URI:spiffe://a.example/ci");
    certificates.client("wrong", "DNS:b.example, email:a.example, URI:a.example.");
    certificates.stranger("nameless");
    let sans =
        "  client_allowed_sans: [a.example, ops@a.example, 10.0.0.7, 'fd00::7', 'spiffe://a.example/ci']\n";
    for auth in ["RequireAnyClientCert\n", "RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"] {
        let gateway =
            Gateway::start(&[&certificates.web_config(&format!("  client_auth_type: {auth}{sans}"))]);
        let mut keep = Default::default();
        for name in ["dns", "email", "ip", "ip6", "uri"] {
            assert_healthy(&certificates, &gateway, &client(&certificates, name, &mut keep));
        }
        assert_refused(&certificates, &gateway, &client(&certificates, "nameless", &mut keep));
        assert_refused(&certificates, &gateway, &[]);
    }
    // Names are compared as whole texts, as in Go.
    let gateway = Gateway::start(&[&certificates.web_config(
        "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [example, A.example, 10.0.0.07]\n",
    )]);
    let mut keep = Default::default();
    for name in ["dns", "ip", "wrong"] {
        assert_refused(&certificates, &gateway, &client(&certificates, name, &mut keep));
    }
}

#[test]
fn certificates_may_be_in_the_configuration_itself() {
    let certificates = with_programs!();
    let indented = |name: &str| certificates.read(name).replace('\n', "\n    ");
    let text = format!(
        "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n  client_ca: |\n    {}\n  client_auth_type: RequireAndVerifyClientCert\n",
        indented("server.crt"),
        indented("server.key"),
        indented("ca.crt"),
    );
    let file = certificates.folder.write("web.yml", text);
    let gateway = Gateway::start(&[&format!("--web.config.file={file}")]);
    certificates.client("friend", "DNS:friend.example");
    let mut keep = Default::default();
    assert_healthy(&certificates, &gateway, &client(&certificates, "friend", &mut keep));
    assert_refused(&certificates, &gateway, &[]);
}

/// Ends the load when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_new_certificate_is_taken_without_a_connection_lost() {
    let certificates = with_programs!();
    let names = ["second", "third", "fourth"];
    names.iter().for_each(|name| certificates.server(name));
    let gateway = Gateway::start(&[&certificates.web_config("")]);
    assert_eq!(shown_name(&gateway), "server");
    let is_over = AtomicBool::new(false);
    let pushes = AtomicU32::new(0);
    let url = format!("https://127.0.0.1:{}/metrics/job/a", gateway.port());
    // One file of many requests on one connection, and many connections of one request each.
    let many = certificates.folder.write("many", format!("url = \"{url}\"\n").repeat(50));
    let push = |arguments: &[&str]| {
        let mut command = programs::command("curl");
        command.args(["-sS", "--max-time", "120", "-w", "%{http_code} %{num_connects}\n"]);
        command.args(["--cacert", &certificates.path("ca.crt"), "--data-binary", "# TYPE c counter\nc 1\n"]);
        let text = programs::output_of(command.args(arguments));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "200 1");
        assert!(lines[1..].iter().all(|line| *line == "200 0"), "{text}");
        pushes.fetch_add(u32::try_from(lines.len()).unwrap(), Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        // Even if the test fails meanwhile.
        let _over = Over(&is_over);
        for arguments in [vec!["--config", &many], vec![&url]] {
            let (is_over, push) = (&is_over, &push);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    push(&arguments);
                }
            });
        }
        for name in names {
            certificates.install(name);
            ask_until("the new certificate", || match shown_name(&gateway) {
                shown if shown == name => Ok(()),
                shown => Err(shown),
            });
        }
    });
    let (_, text) = curl(&certificates, &gateway, "/metrics", &[]).unwrap();
    let total = format!("c{{instance=\"\",job=\"a\"}} {}\n", pushes.load(Ordering::Relaxed));
    assert!(text.contains(&total), "no {total} in {text}");
    assert!(text.contains("\ntallygate_tls_handshake_failures_total 0\n"), "{text}");
}

#[test]
fn a_connection_lives_through_a_new_certificate() {
    let certificates = with_programs!();
    certificates.server("second");
    let gateway = Gateway::start(&[&certificates.web_config("")]);
    // The body comes in two halves, and the configuration changes between them.
    let mut command = programs::command("curl");
    command.args(["-sS", "--max-time", "120", "-w", "%{http_code}", "-T", "-", "-X", "POST"]);
    command.args(["--cacert", &certificates.path("ca.crt")]);
    command.arg(format!("https://127.0.0.1:{}/metrics/job/a", gateway.port()));
    let mut push = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut body = push.stdin.take().unwrap();
    std::io::Write::write_all(&mut body, b"# TYPE c counter\n").unwrap();
    certificates.install("second");
    ask_until("the new certificate", || match shown_name(&gateway) {
        shown if shown == "second" => Ok(()),
        shown => Err(shown),
    });
    std::io::Write::write_all(&mut body, b"c 1\n").unwrap();
    drop(body);
    let output = push.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200");
}

#[test]
fn a_broken_change_leaves_the_last_good_one_in_force() {
    let certificates = with_programs!();
    certificates.server("second");
    let flag = certificates.web_config("");
    let web_config = certificates.read("web.yml");
    let gateway = Gateway::start(&[&flag]);
    let metric = |wanted: &str| {
        ask_until("the metric", || {
            let (_, text) = curl(&certificates, &gateway, "/metrics", &[])?;
            let line = format!("\ntallygate_web_config_last_reload_successful {wanted}\n");
            if text.contains(&line) { Ok(()) } else { Err(format!("no {line}")) }
        });
    };
    metric("1");
    for (file, content, error) in [
        ("server.key", certificates.read("second.key"), "private key does not match public key"),
        ("server.crt", "nonsense".to_owned(), "failed to find any PEM data in certificate input"),
        ("web.yml", "foo: 1\n".to_owned(), "line 1, column 1: field foo not found in type web.Config"),
        ("web.yml", String::new(), "tls_server_config can't be added or taken away while the gateway runs"),
    ] {
        let good = certificates.read(file);
        certificates.folder.write(file, content);
        gateway.wait_for_log(error);
        metric("0");
        assert_eq!(shown_name(&gateway), "server");
        certificates.folder.write(file, good);
        metric("1");
    }
    // The file is missing, and comes back.
    std::fs::remove_file(certificates.path("web.yml")).unwrap();
    gateway.wait_for_log("no such file or directory");
    metric("0");
    assert_healthy(&certificates, &gateway, &[]);
    certificates.folder.write("web.yml", web_config);
    metric("1");
    assert_eq!(
        gateway.stderr().matches("the last good one stays in force").count(),
        5,
        "{}",
        gateway.stderr()
    );
    certificates.install("second");
    ask_until("the new certificate", || match shown_name(&gateway) {
        shown if shown == "second" => Ok(()),
        shown => Err(shown),
    });
}

#[test]
fn a_start_without_usable_tls_fails_with_the_words_of_the_toolkit() {
    let certificates = with_programs!();
    certificates.server("second");
    certificates.folder.write("nonsense", "nonsense");
    let locked = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
    for (text, error) in [
        ("tls_server_config:\n  cert_file: server.crt\n".to_owned(), "missing one of key or key_file"),
        ("tls_server_config:\n  key_file: server.key\n".to_owned(), "missing one of cert or cert_file"),
        (locked.replace("server.crt", "none.crt"), "failed to read cert_file ("),
        (locked.replace("server.crt", "none.crt"), "none.crt: no such file or directory"),
        (locked.replace("server.key", "none.key"), "failed to read key_file ("),
        (
            locked.replace("server.crt", "nonsense"),
            "failed to load X509KeyPair: tls: failed to find any PEM data in certificate input",
        ),
        (
            locked.replace("server.key", "nonsense"),
            "failed to load X509KeyPair: tls: failed to find any PEM data in key input",
        ),
        (
            locked.replace("server.key", "second.key"),
            "failed to load X509KeyPair: tls: private key does not match public key",
        ),
        (format!("{locked}  min_version: TLS14\n"), "line 4, column 16: unknown TLS version: TLS14"),
        (format!("{locked}  max_version: TLS11\n"), "TLS version TLS11 is not available"),
        (format!("{locked}  cipher_suites: [FOO]\n"), "unknown cipher: FOO"),
        (format!("{locked}  curve_preferences: [FOO]\n"), "unknown curve: FOO"),
        (format!("{locked}  client_auth_type: FOO\n"), "invalid ClientAuth: FOO"),
        (
            format!("{locked}  client_ca_file: ca.crt\n"),
            "client CA's have been configured without a Client Auth Policy",
        ),
        (
            format!("{locked}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: none.crt\n"),
            "none.crt: no such file or directory",
        ),
        (
            format!("{locked}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: nonsense\n"),
            "client_ca_file: there is no certificate in it",
        ),
    ] {
        let file = certificates.folder.write("web.yml", &text);
        let flag = format!("--web.config.file={file}");
        let store = certificates.path("store");
        let finished =
            run(&["--web.listen-address=127.0.0.1:0", &flag, &format!("--persistence.file={store}")]);
        assert_eq!(finished.status.code(), Some(1), "{text}");
        let line = finished.stderr.lines().last().unwrap();
        assert!(line.contains("level=error") && line.contains("msg=\"HTTP server stopped\""), "{line}");
        assert!(line.contains("web config file") && line.contains(error), "{text}\n{line}");
        assert!(!certificates.folder.names().contains(&"store".to_owned()), "the store was opened");
        let checked = run(&["--config.check", &flag]);
        assert_eq!(checked.status.code(), Some(1), "{text}");
        assert!(checked.stderr.starts_with("tallygate: error: web config file"), "{}", checked.stderr);
        assert!(checked.stderr.contains(error), "{}", checked.stderr);
    }
}

#[test]
fn connections_that_say_nothing_hold_nobody_up() {
    let certificates = with_programs!();
    let gateway = Gateway::start(&[&certificates.web_config("")]);
    let silent: Vec<_> = (0..50).map(|_| gateway.connect()).collect();
    assert_healthy(&certificates, &gateway, &[]);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().status.code(), Some(0));
    drop(silent);
}

#[test]
fn the_key_is_never_shown() {
    let certificates = with_programs!();
    let gateway = Gateway::start(&["--log.level=debug", &certificates.web_config("")]);
    let key: String = certificates.read("server.key").lines().nth(1).unwrap().to_owned();
    handshake(&gateway, &["-tls1_1"]);
    let (_, status) = curl(&certificates, &gateway, "/api/v1/status", &[]).unwrap();
    assert!(!status.contains(&key) && !gateway.stderr().contains(&key));
}
