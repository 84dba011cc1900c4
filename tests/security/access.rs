//! Users, tokens, permissions, headers and the rate limit.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::logins::{basic, users, web_config};
use crate::programs::ask_until;
use crate::support::{self, Directory, Gateway, Response, run};

/// How many different logins may wait for a check.
const WAITING_LOGINS: usize = 128;

fn get(gateway: &Gateway, path: &str, authorization: &str) -> Response {
    gateway.request("GET", path, &[("Authorization", authorization)], b"")
}

#[track_caller]
fn assert_unauthorized(response: &Response) {
    assert_eq!((response.status, response.text().as_str()), (401, "Unauthorized\n"));
    assert_eq!(response.header("WWW-Authenticate"), Some("Basic"));
    assert_eq!(response.header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
}

#[test]
fn users_come_in_with_their_password_only() {
    let folder = Directory::new();
    let text = users(&[("alice", "wonder:land"), ("böb", ""), ("long", &"x".repeat(72))]);
    let gateway = Gateway::start(&[&web_config(&folder, &text)]);
    // Everything twice: the second time from the cache.
    for _ in 0..2 {
        for (user, password) in [("alice", "wonder:land"), ("böb", ""), ("long", &"x".repeat(72))] {
            let response = get(&gateway, "/-/healthy", &basic(user, password));
            assert_eq!((response.status, response.text().as_str()), (200, "OK"), "{user}");
        }
        let alice = basic("alice", "wonder:land").replacen("Basic", "bASIC", 1);
        assert_eq!(get(&gateway, "/-/healthy", &alice).status, 200);
        for authorization in [
            basic("alice", "wonder:lane"),
            basic("alice", ""),
            basic("alice", "wonder:land\0"),
            basic("Alice", "wonder:land"),
            basic("alice ", "wonder:land"),
            basic("", "wonder:land"),
            // The password of the toolkit's own dummy hash.
            basic("nobody", "fakepassword"),
            basic("böb", "wonder:land"),
            format!("Basic {}", STANDARD.encode("alice")),
            "Basic ???".to_owned(),
            "Basic".to_owned(),
            "Bearer wonder:land".to_owned(),
            "Digest username=\"alice\"".to_owned(),
            STANDARD.encode("alice:wonder:land"),
            String::new(),
        ] {
            assert_unauthorized(&get(&gateway, "/-/healthy", &authorization));
        }
        assert_unauthorized(&gateway.get("/-/healthy"));
    }
    let denied =
        gateway.request("GET", "/metrics", &[("Authorization", &basic("alice", "wonder:land"))], b"");
    assert!(denied.text().contains("\ntallygate_denied_requests_total{reason=\"unauthorized\"} 32\n"));
}

#[test]
fn guesses_that_wait_leave_room_for_known_users() {
    let folder = Directory::new();
    // The slowest hash that is accepted, so that no guess is answered while the others are sent.
    let endless = "$2y$17$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    let text = format!("{}  slow: {endless}\n", users(&[("alice", "wonder:land")]));
    let gateway = Gateway::start(&[&web_config(&folder, &text)]);
    let alice = basic("alice", "wonder:land");
    assert_eq!(get(&gateway, "/-/healthy", &alice).status, 200);
    let (send, answers) = std::sync::mpsc::channel();
    // Which of them wait depends on the order in which the gateway reads them, so that is not checked.
    for number in 0..WAITING_LOGINS + 20 {
        let mut connection = gateway.connect();
        let headers = [("Authorization", &*basic("slow", &number.to_string()))];
        connection.send(&support::encode_request("GET", "/-/healthy", &headers, b"")).unwrap();
        let send = send.clone();
        std::thread::spawn(move || {
            // Waiting requests end with the gateway, when nobody receives the result.
            let _ = connection.read_response("GET").map(|answer| send.send(answer));
        });
    }
    drop(send);
    for answer in answers.iter().take(20) {
        let said = "too many logins are being checked: try again later\n";
        assert_eq!((answer.status, &*answer.text()), (503, said));
        assert!(answer.header("Retry-After").is_some());
    }
    assert_eq!(get(&gateway, "/-/healthy", &alice).status, 200);
    let metrics = get(&gateway, "/metrics", &alice).text();
    let busy = support::sample(&metrics, "tallygate_denied_requests_total{reason=\"busy\"}");
    assert_eq!(busy, Some(20.0), "the others wait for their turn");
}

#[test]
fn hashes_that_take_long_are_warned_of_or_refused() {
    let folder = Directory::new();
    let tail = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    let web = |costs: &[(&str, u32)]| {
        let users = costs.iter().map(|(user, cost)| format!("  {user}: $2y${cost:02}${tail}\n"));
        web_config(&folder, &format!("basic_auth_users:\n{}", users.collect::<String>()))
    };
    // Settings that the stock gateway accepts keep working if possible.
    let gateway = Gateway::start(&[&web(&[("alice", 14), ("bob", 15), ("carol", 17)])]);
    let log = gateway.stderr();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("a login of this user takes about so many seconds"))
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("user=bob cost=15 seconds=2"), "{log}");
    assert!(lines[1].contains("user=carol cost=17 seconds=8"), "{log}");
    let refused = run(&["--web.listen-address=127.0.0.1:0", &web(&[("alice", 10), ("dave", 18)])]);
    assert_eq!(refused.status.code(), Some(1));
    for words in
        ["line 3, column", "user \\\"dave\\\": the bcrypt hash has the cost 18", "htpasswd -nBC 10 NAME"]
    {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
}

#[test]
fn the_login_covers_every_path_and_method() {
    let folder = Directory::new();
    let text = users(&[("alice", "secret")]);
    let gateway =
        Gateway::start(&["--web.enable-lifecycle", "--web.enable-admin-api", &web_config(&folder, &text)]);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/status"),
        ("GET", "/metrics"),
        ("HEAD", "/-/healthy"),
        ("GET", "/-/ready"),
        ("PUT", "/-/quit"),
        ("GET", "/-/quit"),
        ("POST", "/metrics/job/a"),
        ("PUT", "/metrics/job/a"),
        ("DELETE", "/metrics/job/a"),
        ("OPTIONS", "/metrics/job/a"),
        ("OPTIONS", "/api/v1/metrics"),
        ("GET", "/api/v1/status"),
        ("PUT", "/api/v1/admin/wipe"),
        ("PUT", "/api/v1/admin/delete?id[]=e30"),
        ("GET", "/static/x"),
        ("GET", "/nowhere"),
        ("GET", "//metrics"),
        ("GET", "/%zz"),
        ("BREW", "/metrics"),
    ] {
        let response = gateway.request(method, path, &[], b"");
        assert_eq!(response.status, 401, "{method} {path}");
        assert_eq!(response.header("WWW-Authenticate"), Some("Basic"));
    }
    let alice = basic("alice", "secret");
    let response = gateway.request("POST", "/metrics/job/a", &[("Authorization", &alice)], b"m 1\n");
    assert_eq!(response.status, 200);
    let groups = get(&gateway, "/api/v1/metrics", &alice).text();
    assert!(groups.contains("\"job\":\"a\""), "{groups}");
    assert_eq!(get(&gateway, "/nowhere", &alice).status, 404);
    assert_eq!(gateway.request("PUT", "/-/quit", &[("Authorization", &alice)], b"").status, 200);
    assert_eq!(gateway.wait().status.code(), Some(0));
}

#[test]
fn a_large_body_is_not_read_without_a_login() {
    let folder = Directory::new();
    let gateway = Gateway::start(&[&web_config(&folder, &users(&[("alice", "secret")]))]);
    let mut connection = gateway.connect();
    connection
        .send(b"POST /metrics/job/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nm")
        .unwrap();
    assert_unauthorized(&connection.read_response("POST").unwrap());
}

#[test]
fn many_wrong_logins_at_once_get_their_answers() {
    let folder = Directory::new();
    let gateway = Gateway::start(&[&web_config(&folder, &users(&[("alice", "secret")]))]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for number in 0..20 {
                    let wrong = basic("alice", &format!("{thread}-{number}"));
                    assert_unauthorized(&get(gateway, "/-/healthy", &wrong));
                    assert_eq!(get(gateway, "/-/healthy", &basic("alice", "secret")).status, 200);
                }
            });
        }
    });
}

#[test]
fn users_change_while_the_gateway_runs() {
    let folder = Directory::new();
    let flag = web_config(&folder, &users(&[("alice", "old"), ("bob", "builder")]));
    let gateway = Gateway::start(&[&flag]);
    let comes_in =
        |user: &str, password: &str| get(&gateway, "/-/healthy", &basic(user, password)).status == 200;
    assert!(comes_in("alice", "old") && comes_in("bob", "builder") && !comes_in("alice", "new"));
    let wait_until = |what: &str, is_so: &dyn Fn() -> bool| {
        ask_until(what, || if is_so() { Ok(()) } else { Err("not yet".to_owned()) });
    };
    // A changed password and a removed user, both cached before, and a new user.
    web_config(&folder, &users(&[("alice", "new"), ("carol", "singer")]));
    wait_until("the new password", &|| comes_in("alice", "new"));
    assert!(!comes_in("alice", "old") && !comes_in("bob", "builder") && comes_in("carol", "singer"));
    // A wrong configuration changes nothing.
    web_config(&folder, "basic_auth_users:\n  alice: plain\n");
    gateway.wait_for_log("hashedSecret too short to be a bcrypted password");
    assert!(comes_in("alice", "new") && !gateway.stderr().contains("plain"));
    let metrics = get(&gateway, "/metrics", &basic("alice", "new")).text();
    assert!(metrics.contains("\ntallygate_web_config_last_reload_successful 0\n"), "{metrics}");
}

/// A reload is the same whether the file looks changed or not.
#[test]
fn sighup_reads_the_web_configuration_again() {
    let folder = Directory::new();
    let flag = web_config(&folder, &users(&[("alice", "secret")]));
    let gateway = Gateway::start(&[&flag]);
    let alice = basic("alice", "secret");
    let reads = |saying: &str, times: usize| {
        gateway.signal("HUP");
        ask_until(saying, || {
            let log = gateway.stderr();
            if log.matches(saying).count() == times { Ok(()) } else { Err(log) }
        });
        assert_eq!(get(&gateway, "/-/healthy", &alice).status, 200);
    };
    for times in 1..=3 {
        reads("msg=\"the web configuration was read again and is in force\"", times);
    }
    assert_eq!(gateway.stderr().matches("received SIGHUP; reading the web configuration again").count(), 3);
    // Each reload request reports the problem, and changes nothing.
    web_config(&folder, "basic_auth_users:\n  alice: plain\n");
    gateway.wait_for_log("Unable to parse configuration");
    let said = gateway.stderr().matches("Unable to parse configuration").count();
    reads("Unable to parse configuration", said + 1);
    let metrics = get(&gateway, "/metrics", &alice).text();
    assert!(metrics.contains("\ntallygate_web_config_last_reload_successful 0\n"), "{metrics}");
}

#[test]
fn headers_are_on_every_answer_that_is_not_about_the_rate_limit() {
    let folder = Directory::new();
    let headers = [
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "sameorigin"),
        ("X-XSS-Protection", "1"),
        ("Content-Security-Policy", "default-src 'self'"),
    ];
    let lines: String = headers.iter().map(|(name, value)| format!("    {name}: \"{value}\"\n")).collect();
    let text = format!(
        "{}http_server_config:\n  headers:\n{lines}rate_limit:\n  interval: 1h\n  burst: 6\n",
        users(&[("alice", "secret")])
    );
    let gateway = Gateway::start(&[&web_config(&folder, &text)]);
    assert!(gateway.stderr().contains("msg=\"Rate Limiter is enabled.\" burst=6 interval=1h0m0s"));
    let alice = basic("alice", "secret");
    for (method, path, authorization, status) in [
        ("GET", "/", &*alice, 200),
        ("GET", "/metrics", &alice, 200),
        ("GET", "/nowhere", &alice, 404),
        ("OPTIONS", "/api/v1/x", &alice, 200),
        ("POST", "/metrics/job/a", &alice, 200),
        ("GET", "/metrics", "", 401),
    ] {
        let response = gateway.request(method, path, &[("Authorization", authorization)], b"");
        assert_eq!(response.status, status, "{method} {path}");
        for (name, value) in headers {
            let all: Vec<_> =
                response.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name)).collect();
            assert_eq!(all.len(), 1, "{method} {path} {name}");
            assert_eq!(all[0].1, value, "{method} {path}");
        }
    }
    for authorization in [&*alice, ""] {
        let response = get(&gateway, "/metrics", authorization);
        assert_eq!((response.status, response.text().as_str()), (429, "Too Many Requests\n"));
        assert_eq!(response.header("X-Frame-Options"), None);
        assert_eq!(response.header("WWW-Authenticate"), None);
    }
    // Another change does not refill the bucket. A change of the limit does.
    let text = text.replace("sameorigin", "deny");
    web_config(&folder, &text);
    gateway.wait_for_log("the web configuration has changed and is in force");
    assert_eq!(get(&gateway, "/metrics", &alice).status, 429);
    web_config(&folder, &text.replace("burst: 6", "burst: 1000"));
    ask_until("the new limit", || match get(&gateway, "/metrics", &alice).status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
}

#[test]
fn a_burst_of_nothing_lets_nothing_through() {
    let folder = Directory::new();
    let gateway = Gateway::start(&[&web_config(&folder, "rate_limit:\n  interval: 1ns\n")]);
    assert_eq!(gateway.get("/-/healthy").status, 429);
    let gateway = Gateway::start(&[&web_config(&folder, "rate_limit:\n  interval: 0\n  burst: 0\n")]);
    assert_eq!(gateway.get("/-/healthy").status, 200);
}

/// Every kind of request with the permission that it needs.
const REQUESTS: [(&str, &str, &str); 20] = [
    ("POST", "/metrics/job/a", "push"),
    ("PUT", "/metrics/job/a", "push"),
    ("PUT", "/metrics/job@base64/YQ/b/c", "push"),
    ("DELETE", "/metrics/job/a", "delete"),
    ("GET", "/metrics", "scrape"),
    ("HEAD", "/metrics", "scrape"),
    ("GET", "/", "scrape"),
    ("GET", "/status", "scrape"),
    ("GET", "/api/v1/status", "scrape"),
    ("GET", "/api/v1/metrics", "scrape"),
    ("PUT", "/api/v1/admin/wipe", "admin"),
    ("PUT", "/api/v1/admin/delete?id[]=e30", "admin"),
    ("GET", "/-/healthy", ""),
    ("GET", "/-/ready", ""),
    ("OPTIONS", "/metrics", ""),
    ("OPTIONS", "/api/v1/metrics", ""),
    ("GET", "/-/quit", ""),
    ("PATCH", "/metrics", ""),
    ("GET", "/nowhere", ""),
    ("PUT", "/-/quit", "admin"),
];

#[test]
fn permissions_are_separate() {
    let folder = Directory::new();
    let permissions = ["push", "scrape", "delete", "admin"];
    let token = |name: &str| format!("token-of-{name}-0123456789");
    let tokens: Vec<String> = permissions
        .iter()
        .chain(&["none"])
        .map(|name| {
            let file = folder.write(name, format!("  {}\n", token(name)));
            let allow = if *name == "none" { String::new() } else { format!("{name:?}") };
            format!("{{ name = \"{name}\", file = {file:?}, allow = [{allow}] }}")
        })
        .collect();
    let config = format!("access.tokens = [{}]\n", tokens.join(", "));
    let flags = ["--web.enable-lifecycle", "--web.enable-admin-api"];
    let gateway = Gateway::start_with_config(&config, &flags);
    for name in permissions.iter().chain(&["none"]) {
        for (method, path, needed) in REQUESTS {
            // The request that stops the gateway comes last.
            if (path, *name) == ("/-/quit", "admin") && method == "PUT" {
                continue;
            }
            let bearer = format!("Bearer {}", token(name));
            let response = gateway.request(method, path, &[("Authorization", &bearer)], b"");
            let text = response.text();
            if needed.is_empty() || needed == *name {
                assert!(![401, 403].contains(&response.status), "{name}: {method} {path}: {text}");
            } else {
                assert_eq!(response.status, 403, "{name}: {method} {path}: {text}");
                let message =
                    format!("Forbidden: token \"{name}\" does not have the permission \"{needed}\"\n");
                assert_eq!(text, if method == "HEAD" { "" } else { &message }, "{method} {path}");
                assert_eq!(response.header("WWW-Authenticate"), None);
            }
        }
    }
    let response = gateway.get("/metrics");
    assert_eq!((response.status, response.header("WWW-Authenticate")), (401, Some("Bearer")));
    for wrong in [token("pus"), token("push").to_uppercase(), String::new(), format!("{}x", token("push"))] {
        assert_eq!(get(&gateway, "/-/healthy", &format!("Bearer {wrong}")).status, 401);
    }
    assert_eq!(get(&gateway, "/-/healthy", &basic("push", &token("push"))).status, 401);
    let admin = format!("bearer {}", token("admin"));
    assert_eq!(gateway.request("PUT", "/-/quit", &[("Authorization", &admin)], b"").status, 200);
    let finished = gateway.wait();
    assert!(!finished.stderr.contains("token-of"), "{}", finished.stderr);
}

#[test]
fn every_permission_is_needed_by_something() {
    let needed: BTreeSet<&str> = REQUESTS.iter().map(|(.., needed)| *needed).collect();
    assert_eq!(needed, ["", "admin", "delete", "push", "scrape"].into());
}

#[test]
fn users_and_tokens_go_together() {
    let folder = Directory::new();
    let text = users(&[("Alice.A", "secret"), ("bob", "secret"), ("carol", "secret")]);
    let web_config = web_config(&folder, &text);
    // SHA-256 of "a-token-that-is-hashed".
    let token = "a-token-that-is-hashed";
    let sha256 = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let config = format!(
        "[access]\nusers = {{ \"Alice.A\" = [\"push\", \"scrape\"], bob = [] }}\n\
         tokens = [{{ name = \"ci\", sha256 = \"{sha256}\", allow = [\"push\"] }}]\n"
    );
    let gateway = Gateway::start_with_config(&config, &["--log.level=debug", &web_config]);
    let push = |authorization: &str| {
        gateway.request("POST", "/metrics/job/a", &[("Authorization", authorization)], b"m 1\n")
    };
    assert_eq!(push(&basic("Alice.A", "secret")).status, 200);
    assert_eq!(push(&format!("Bearer {token}")).status, 200);
    // A user without permissions, and one who is not listed.
    for user in ["bob", "carol"] {
        let response = push(&basic(user, "secret"));
        let message = format!("Forbidden: user \"{user}\" does not have the permission \"push\"\n");
        assert_eq!((response.status, response.text()), (403, message));
        assert_eq!(get(&gateway, "/-/healthy", &basic(user, "secret")).status, 200);
    }
    let response = gateway.get("/metrics");
    let schemes: Vec<_> =
        response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("WWW-Authenticate")).collect();
    assert_eq!(schemes.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["Basic", "Bearer"]);
    let status = get(&gateway, "/api/v1/status", &basic("Alice.A", "secret"));
    for secret in [token, &sha256, "$2b$"] {
        assert!(!status.text().contains(secret) && !gateway.stderr().contains(secret), "{secret}");
    }
    let metrics = get(&gateway, "/metrics", &basic("Alice.A", "secret")).text();
    assert!(metrics.contains("\ntallygate_denied_requests_total{reason=\"forbidden\"} 2\n"), "{metrics}");
}

#[test]
fn browsers_change_nothing_for_other_sites() {
    let folder = Directory::new();
    let token = folder.write("token", "the-token-of-a-program");
    let config = format!("access.tokens = [{{ name = \"ci\", file = {token:?}, allow = [\"push\"] }}]\n");
    let web_config = web_config(&folder, &users(&[("alice", "secret")]));
    let gateway = Gateway::start_with_config(
        &config,
        &[
            "--web.enable-admin-api",
            "--web.external-url=https://metrics.example/",
            "--web.route-prefix=/",
            &web_config,
        ],
    );
    let alice = basic("alice", "secret");
    let ask = |method, path, authorization: &str, said: (&str, &str)| {
        gateway.request(method, path, &[("Authorization", authorization), said], b"").status
    };
    let (foreign, own) = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-origin"));
    for (method, path, code) in [
        ("POST", "/metrics/job/a", 200),
        ("PUT", "/metrics/job/a", 200),
        ("DELETE", "/metrics/job/a", 202),
        ("PUT", "/api/v1/admin/wipe", 202),
        ("PUT", "/api/v1/admin/delete?id[]=e30", 200),
    ] {
        assert_eq!(ask(method, path, &alice, foreign), 403, "{method} {path}");
        assert_eq!(ask(method, path, &alice, ("Origin", "http://evil.example")), 403, "{method} {path}");
        assert_eq!(ask(method, path, &alice, own), code, "{method} {path}");
        assert_eq!(ask(method, path, &alice, ("Origin", "https://metrics.example")), code, "{method} {path}");
    }
    for path in ["/", "/metrics", "/api/v1/groups", "/-/healthy"] {
        assert_eq!(ask("GET", path, &alice, foreign), 200, "{path}: reading is not changing");
    }
    assert_eq!(
        ask("POST", "/metrics/job/a", "Bearer the-token-of-a-program", foreign),
        200,
        "no browser has it"
    );
    let answer = gateway.request("POST", "/metrics/job/a", &[("Authorization", &alice), foreign], b"");
    assert!(
        answer.text().starts_with("Forbidden: the browser says that another site sent"),
        "{}",
        answer.text()
    );
}

#[test]
fn a_token_changes_while_the_gateway_runs() {
    let folder = Directory::new();
    let file = folder.write("token", "the-first-token-of-all");
    let config = format!("access.tokens = [{{ name = \"ci\", file = {file:?}, allow = [\"scrape\"] }}]\n");
    let gateway = Gateway::start_with_config(&config, &[]);
    assert_eq!(get(&gateway, "/metrics", "Bearer the-first-token-of-all").status, 200);
    folder.write("token", "short");
    gateway.wait_for_log("expected in its file a token of at least 16 visible ASCII characters");
    assert_eq!(get(&gateway, "/metrics", "Bearer the-first-token-of-all").status, 200);
    folder.write("token", "the-second-token-of-all\n");
    ask_until("the new token", || match get(&gateway, "/metrics", "Bearer the-second-token-of-all").status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(get(&gateway, "/metrics", "Bearer the-first-token-of-all").status, 401);
}

#[test]
fn some_things_can_be_open_to_all() {
    let folder = Directory::new();
    let text = users(&[("alice", "secret")]);
    let gateway =
        Gateway::start_with_config("access.anonymous = [\"scrape\"]\n", &[&web_config(&folder, &text)]);
    assert_eq!(gateway.get("/metrics").status, 200);
    assert_eq!(gateway.get("/-/ready").status, 200);
    assert_unauthorized(&gateway.post("/metrics/job/a", "m 1\n"));
    // A wrong login is worse than none.
    assert_unauthorized(&get(&gateway, "/metrics", &basic("alice", "wrong")));
    let alice = basic("alice", "secret");
    assert_eq!(gateway.request("POST", "/metrics/job/a", &[("Authorization", &alice)], b"m 1\n").status, 200);
    // Without any users, only what is open to anonymous clients is allowed.
    let gateway = Gateway::start_with_config("access.anonymous = [\"scrape\", \"push\"]\n", &[]);
    gateway.push("/metrics/job/a", "m 1\n");
    let response = gateway.delete("/metrics/job/a");
    let message = "Forbidden: a request without a login does not have the permission \"delete\"\n";
    assert_eq!((response.status, response.text().as_str()), (403, message));
    // Permissions of users who do not exist open nothing.
    let gateway = Gateway::start_with_config("access.users = { alice = [\"push\"] }\n", &[]);
    assert_eq!(gateway.get("/metrics").status, 403);
    assert!(gateway.stderr().contains("access.users names a user who is not in the web configuration file"));
}

#[test]
fn the_page_offers_what_its_visitor_may_do() {
    let folder = Directory::new();
    let text = users(&[("alice", "secret"), ("bob", "secret"), ("carol", "secret")]);
    let gateway = Gateway::start_with_config(
        "[access]\nanonymous = [\"scrape\"]\nusers = { alice = [\"scrape\", \"delete\", \"admin\"], \
         bob = [\"scrape\", \"admin\"], carol = [\"scrape\", \"delete\"] }\n",
        &["--web.enable-admin-api", "--web.external-url=http://x/p", &web_config(&folder, &text)],
    );
    let offers = |page: &Response| {
        assert_eq!(page.status, 200);
        let html = page.text();
        let deletes = html.contains("data-may-delete=\"yes\"");
        assert_ne!(deletes, html.contains("data-may-delete=\"no\""));
        (deletes, html.contains("id=\"wipe\""), html.contains("href=\"/p/?login\""))
    };
    for path in ["/p/", "/p/status"] {
        for (user, expected) in
            [("alice", (true, true, false)), ("bob", (false, true, false)), ("carol", (true, false, false))]
        {
            assert_eq!(offers(&get(&gateway, path, &basic(user, "secret"))), expected, "{user}");
        }
        assert_eq!(offers(&gateway.get(path)), (false, false, true));
    }
    // The link makes a browser ask for a login.
    assert_unauthorized(&gateway.get("/p/?login"));
    let alice = get(&gateway, "/p/?login", &basic("alice", "secret"));
    assert_eq!(offers(&alice), (true, true, false));
    // If nobody can log in, there is no link. If everybody may do everything, the page offers everything.
    let gateway = Gateway::start_with_config("access.anonymous = [\"scrape\"]\n", &[]);
    assert_eq!(offers(&gateway.get("/")), (false, false, false));
    assert_eq!(offers(&gateway.get("/?login")), (false, false, false));
    for flag in ["--web.enable-admin-api", "--no-web.enable-admin-api"] {
        let gateway = Gateway::start(&[flag]);
        assert_eq!(offers(&gateway.get("/")), (true, flag == "--web.enable-admin-api", false));
    }
}

#[test]
fn a_start_with_a_wrong_file_fails_and_says_where() {
    let folder = Directory::new();
    for (text, error) in [
        ("foo: 1\n", "line 1, column 1: field foo not found in type web.Config"),
        (
            "basic_auth_users:\n  alice: password\n",
            "line 2, column 10: basic_auth_users: user \\\"alice\\\": crypto/bcrypt: hashedSecret too short to be a bcrypted password",
        ),
        (
            "http_server_config:\n  headers:\n    X-Foo: 1\n",
            "line 3, column 12: HTTP header \\\"X-Foo\\\" can not be configured",
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: allow\n",
            "invalid value for X-Frame-Options. Expected one of: [\\\"deny\\\" \\\"sameorigin\\\"], but got: \\\"allow\\\"",
        ),
        ("rate_limit: 1\n", "line 1, column 13: "),
        ("a: b: c\n", "line 1, column "),
    ] {
        let flag = web_config(&folder, text);
        let finished = run(&["--web.listen-address=127.0.0.1:0", &flag]);
        assert_eq!(finished.status.code(), Some(1), "{text}");
        let line = finished.stderr.lines().last().unwrap();
        assert!(line.contains("msg=\"HTTP server stopped\"") && line.contains(error), "{line}");
        assert!(!line.contains("password") || line.contains("hashedSecret"), "{line}");
        let checked = run(&["--config.check", &flag]);
        assert_eq!((checked.status.code(), checked.stdout.as_str()), (Some(1), ""), "{text}");
        assert!(checked.stderr.contains(&error.replace('\\', "")), "{}", checked.stderr);
    }
    let finished = run(&["--web.listen-address=127.0.0.1:0", "--web.config.file=/nonexistent/web.yml"]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.contains("open /nonexistent/web.yml: no such file or directory"),
        "{}",
        finished.stderr
    );
    let config = folder.write(
        "tallygate.toml",
        "access.tokens = [{ name = \"ci\", file = \"/nonexistent/token\", allow = [] }]\n",
    );
    let finished = run(&["--config.check", &format!("--config.file={config}")]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished
            .stderr
            .contains("access.tokens: token \"ci\": its file can't be read: no such file or directory")
    );
}

#[test]
fn an_empty_file_changes_nothing() {
    let folder = Directory::new();
    for text in ["", "# nothing yet\n", "{}\n"] {
        let gateway = Gateway::start(&[&web_config(&folder, text)]);
        gateway.wait_for_log("msg=\"TLS is disabled.\" http2=false address=127.0.0.1:");
        gateway.push("/metrics/job/a", "m 1\n");
    }
    assert!(
        Gateway::start(&[])
            .scrape()
            .contains("\ntallygate_web_config_last_reload_success_timestamp_seconds 0\n")
    );
}

#[test]
fn probes_without_a_login_may_ask_for_health_and_nothing_else() {
    let folder = Directory::new();
    let web = web_config(&folder, &users(&[("alice", "secret"), ("bob", "builder")]));
    let config = "[access]\nanonymous = [\"health\"]\nusers = { alice = [\"push\"], bob = [\"health\"] }\n\
                  tokens = [{ name = \"idle\", sha256 = \"2413fb3709b05939f04cf2e92f7d0897fc2596f9ad0b8a9ea855c7bfebaae892\", allow = [] }]\n";
    let gateway =
        Gateway::start_with_config(config, &[&web, "--web.enable-lifecycle", "--web.enable-admin-api"]);
    let (alice, bob) = (basic("alice", "secret"), basic("bob", "builder"));
    for path in ["/-/healthy", "/-/ready"] {
        for method in ["GET", "HEAD"] {
            assert_eq!(gateway.request(method, path, &[], b"").status, 200, "{method} {path}");
        }
        // Every login may ask for health, whatever else it may do.
        for login in [&alice, &bob] {
            assert_eq!(get(&gateway, path, login).status, 200, "{path}");
        }
        assert_eq!(get(&gateway, path, &basic("alice", "wrong")).status, 401);
    }
    for (method, path) in [
        ("GET", "/metrics"),
        ("GET", "/"),
        ("GET", "/status"),
        ("GET", "/api/v1/metrics"),
        ("GET", "/api/v1/status"),
        ("GET", "/static/page.js"),
        ("GET", "/nowhere"),
        ("GET", "//-/healthy"),
        ("OPTIONS", "/-/healthy"),
        ("POST", "/-/healthy"),
        ("OPTIONS", "/api/v1/metrics"),
        ("POST", "/metrics/job/a"),
        ("DELETE", "/metrics/job/a"),
        ("PUT", "/api/v1/admin/wipe"),
        ("PUT", "/-/quit"),
    ] {
        assert_unauthorized_twice(&gateway.request(method, path, &[], b""), path);
    }
    assert_eq!(get(&gateway, "/metrics", &bob).status, 403);
    assert_eq!(get(&gateway, "/metrics", &alice).status, 403);
}

/// For a gateway with users and tokens.
#[track_caller]
fn assert_unauthorized_twice(response: &Response, path: &str) {
    assert_eq!(response.status, 401, "{path}");
    assert_eq!(response.header("WWW-Authenticate"), Some("Basic"), "{path}");
}

#[test]
fn whoever_may_do_something_without_a_login_may_ask_for_health() {
    for (anonymous, status) in
        [("[\"scrape\"]", 200), ("[\"push\"]", 200), ("[\"health\"]", 200), ("[]", 403)]
    {
        let gateway = Gateway::start_with_config(&format!("access.anonymous = {anonymous}\n"), &[]);
        assert_eq!(gateway.get("/-/healthy").status, status, "{anonymous}");
        assert_eq!(gateway.get("/-/ready").status, status, "{anonymous}");
    }
}
