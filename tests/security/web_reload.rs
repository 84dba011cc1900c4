//! A running gateway refuses changes of the web configuration that would remove protection.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::certificates::Certificates;
use crate::programs::{self, ask_until};
use crate::support::{Directory, Gateway};

const REFUSED: &str = "Unable to parse configuration; the last good one stays in force";

const TAKEN: &str = "the web configuration has changed and is in force";

fn alice() -> String {
    format!("Basic {}", STANDARD.encode("alice:secret"))
}

fn users() -> String {
    format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash("secret", 4).unwrap())
}

/// Waits until the log contains something this many times.
#[track_caller]
fn wait_for_count(gateway: &Gateway, what: &str, count: usize) {
    ask_until(what, || {
        let log = gateway.stderr();
        if log.matches(what).count() == count { Ok(()) } else { Err(log) }
    });
}

/// Waits until the metric says whether the content of the file is in force.
fn wait_for_metric(gateway: &Gateway, login: &str, wanted: u8) {
    let line = format!("\ntallygate_web_config_last_reload_successful {wanted}\n");
    ask_until("the metric", || {
        let text = gateway.request("GET", "/metrics", &[("Authorization", login)], b"").text();
        if text.contains(&line) { Ok(()) } else { Err(format!("no {line}in {text}")) }
    });
}

#[test]
fn a_file_without_its_users_opens_nothing() {
    let folder = Directory::new();
    let good = format!("{}http_server_config:\n  headers:\n    X-Frame-Options: deny\n", users());
    let flag = format!("--web.config.file={}", folder.write("web.yml", &good));
    let gateway = Gateway::start(&[&flag]);
    let alice = alice();
    for (times, text) in [
        "",
        "# nothing\n",
        "{}\n",
        "basic_auth_users:\n",
        "basic_auth_users: {}\n",
        "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n",
    ]
    .iter()
    .enumerate()
    {
        folder.write("web.yml", text);
        wait_for_count(&gateway, REFUSED, times + 1);
        wait_for_metric(&gateway, &alice, 0);
        let said = format!(
            "web config file \\\"{}\\\": basic_auth_users can't lose all its users while the gateway runs: if that \
             is meant, restart it",
            folder.path_of("web.yml")
        );
        let log = gateway.stderr();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(REFUSED)).collect();
        assert!(lines[times].contains("level=error") && lines[times].contains(&said), "{log}");
        // No part of the change is applied, not even a valid one.
        assert_eq!(gateway.get("/metrics").status, 401, "{text:?}");
        let known = gateway.request("GET", "/", &[("Authorization", &alice)], b"");
        assert_eq!((known.status, known.header("X-Frame-Options")), (200, Some("deny")), "{text:?}");
        folder.write("web.yml", &good);
        wait_for_metric(&gateway, &alice, 1);
    }
    // Each reload request reports it again.
    folder.write("web.yml", "");
    wait_for_count(&gateway, REFUSED, 7);
    gateway.signal("HUP");
    wait_for_count(&gateway, REFUSED, 8);
    assert_eq!(gateway.get("/metrics").status, 401);
    drop(gateway);
    // After a restart the change is in force.
    assert_eq!(Gateway::start(&[&flag]).get("/metrics").status, 200);
}

#[test]
fn users_that_came_while_the_gateway_runs_stay_too() {
    let folder = Directory::new();
    let flag = format!("--web.config.file={}", folder.write("web.yml", ""));
    let gateway = Gateway::start(&[&flag]);
    assert_eq!(gateway.get("/metrics").status, 200);
    folder.write("web.yml", users());
    ask_until("the login", || match gateway.get("/metrics").status {
        401 => Ok(()),
        status => Err(status.to_string()),
    });
    folder.write("web.yml", "");
    wait_for_metric(&gateway, &alice(), 0);
    assert_eq!(gateway.get("/metrics").status, 401);
}

#[test]
fn an_empty_token_file_opens_nothing() {
    let folder = Directory::new();
    let token = folder.write("token", "the-first-token-of-all");
    let web = format!("--web.config.file={}", folder.write("web.yml", users()));
    let config = format!("access.tokens = [{{ name = \"ci\", file = {token:?}, allow = [\"scrape\"] }}]\n");
    for flags in [&[][..], &[&*web]] {
        folder.write("token", "the-first-token-of-all");
        let gateway = Gateway::start_with_config(&config, flags);
        let bearer = "Bearer the-first-token-of-all";
        for content in ["", "\n", "  \n\n"] {
            folder.write("token", content);
            wait_for_metric(&gateway, bearer, 0);
            for login in ["Bearer ", "Bearer", ""] {
                let answer = gateway.request("GET", "/metrics", &[("Authorization", login)], b"");
                assert_eq!(answer.status, 401, "{content:?} {login:?}");
            }
            assert_eq!(gateway.get("/metrics").status, 401, "{content:?}");
            folder.write("token", "the-first-token-of-all");
            wait_for_metric(&gateway, bearer, 1);
        }
        let said = "token \\\"ci\\\": expected in its file a token of at least 16 visible ASCII characters";
        assert_eq!(gateway.stderr().matches(said).count(), 3, "{}", gateway.stderr());
    }
}

#[test]
fn client_certificates_do_not_become_optional() {
    let (Some(_), Some(certificates)) = (programs::curl(), Certificates::new()) else { return };
    certificates.client("friend", "DNS:a.example");
    certificates.client("other", "DNS:b.example");
    certificates.stranger("stranger");
    let is_let_in = |gateway: &Gateway, name: &str| {
        let mut command = programs::command("curl");
        command.args(["-sS", "--max-time", "120", "--cacert", &certificates.path("ca.crt")]);
        if !name.is_empty() {
            command.args(["--cert", &certificates.path(&format!("{name}.crt"))]);
            command.args(["--key", &certificates.path(&format!("{name}.key"))]);
        }
        let url = format!("https://127.0.0.1:{}/metrics", gateway.port());
        command.arg(url).output().unwrap().status.success()
    };
    let ca = "  client_ca_file: ca.crt\n";
    let sans = "  client_allowed_sans: [a.example]\n";
    let strict = format!("  client_auth_type: RequireAndVerifyClientCert\n{ca}");
    let gateway = Gateway::start(&[&certificates.web_config(&format!("{strict}{sans}"))]);
    let weaker = "client_auth_type can't become weaker while the gateway runs: if that is meant, restart it";
    let unnamed =
        "client_allowed_sans can't be taken away while the gateway runs: if that is meant, restart it";
    let mut counts = [0, 0];
    for (lines, message) in [
        (String::new(), 0),
        (format!("  client_auth_type: VerifyClientCertIfGiven\n{ca}"), 0),
        (format!("  client_auth_type: RequireAnyClientCert\n{sans}"), 0),
        (strict.clone(), 1),
        (format!("{strict}  client_allowed_sans: []\n"), 1),
    ] {
        certificates.web_config(&lines);
        counts[message] += 1;
        wait_for_count(&gateway, [weaker, unnamed][message], counts[message]);
        for (name, is_friend) in [("", false), ("stranger", false), ("other", false), ("friend", true)] {
            assert_eq!(is_let_in(&gateway, name), is_friend, "{lines}{name}");
        }
        // Once the file is good again, the next problem is reported again.
        certificates.web_config(&format!("{strict}{sans}"));
        wait_for_count(&gateway, TAKEN, counts.iter().sum());
    }
    // Other names and a stricter policy are ordinary changes.
    certificates.web_config(&format!("{strict}  client_allowed_sans: [b.example]\n"));
    wait_for_count(&gateway, TAKEN, counts.iter().sum::<usize>() + 1);
    assert!(is_let_in(&gateway, "other") && !is_let_in(&gateway, "friend"));
    let gateway = Gateway::start(&[&certificates.web_config("  client_auth_type: RequireAnyClientCert\n")]);
    assert!(is_let_in(&gateway, "stranger"));
    certificates.web_config(&strict);
    gateway.wait_for_log(TAKEN);
    assert!(is_let_in(&gateway, "other") && !is_let_in(&gateway, "stranger"));
}

#[test]
fn a_file_without_its_rate_limit_opens_nothing() {
    let folder = Directory::new();
    let limit = "rate_limit:\n  interval: 100ms\n  burst: 50\n";
    let gateway = Gateway::start(&[&format!("--web.config.file={}", folder.write("web.yml", limit))]);
    folder.write("web.yml", "");
    wait_for_count(&gateway, "rate_limit can't be taken away while the gateway runs", 1);
    // Another limit is an ordinary change.
    folder.write("web.yml", "rate_limit:\n  interval: 1ms\n  burst: 500\n");
    wait_for_count(&gateway, "is in force", 1);
}
