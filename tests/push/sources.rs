//! The client in log lines, also behind proxies.

use crate::programs;
use crate::support::{Directory, Gateway, Response, encode_request};

/// Sends a request on a new connection. Returns the answer and the address of the client.
fn send(
    gateway: &Gateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (Response, String) {
    let mut connection = gateway.connect();
    connection.send(&encode_request(method, path, headers, body.as_bytes())).unwrap();
    let source = connection.source().to_string();
    (connection.read_response(method).unwrap(), source)
}

/// The log lines about this client, once there are any, from their message on.
fn logged(gateway: &Gateway, source: &str) -> Vec<String> {
    let source = format!("logged_source={source} ");
    gateway.wait_for_log(&source);
    let log = gateway.stderr();
    let lines = log.lines().filter(|line| line.contains(&source));
    lines.map(|line| line.split_once(" msg=").unwrap().1.to_owned()).collect()
}

#[test]
fn a_refused_push_names_its_sender_and_its_group() {
    let gateway = Gateway::start(&[]);
    for (method, body) in [("POST", "m 1 1\n"), ("PUT", "m 1 1\n")] {
        let (answer, source) = send(&gateway, method, "/metrics/job/a/team/red", &[], body);
        assert_eq!(answer.status, 400);
        let expected = format!(
            "\"pushed metrics are invalid or inconsistent with existing metrics\" method={method} \
             logged_source={source} group=\"{{job=\\\"a\\\",team=\\\"red\\\"}}\" \
             err=\"pushed metrics must not have timestamps"
        );
        let lines = logged(&gateway, &source);
        assert!(lines.len() == 1 && lines[0].starts_with(&expected), "{lines:?}");
    }
    // Lines that anybody can cause are only logged at debug level.
    let (_, unparsed) = send(&gateway, "POST", "/metrics/job/a", &[], "m x\n");
    let (_, unnamed) = send(&gateway, "POST", "/metrics/job/a/b", &[], "m 1\n");
    let (_, refused) = send(&gateway, "POST", "/metrics/job/a", &[], "m 1 1\n");
    logged(&gateway, &refused);
    let log = gateway.stderr();
    assert!(!log.contains(&unparsed) && !log.contains(&unnamed), "{log}");
    assert_eq!(log.matches(" level=error ").count(), 3, "{log}");
}

/// The line of the stock gateway. Ours begins with the same keys.
#[test]
fn the_stock_gateway_names_the_sender_by_the_same_key() {
    let Some(stock) = programs::stock() else { return };
    let flags = ["--web.listen-address=127.0.0.1:0", "--persistence.file="];
    let gateway = Gateway::start_program(&stock, &flags, &[]);
    let (answer, source) = send(&gateway, "POST", "/metrics/job/a", &[], "m 1 1\n");
    assert_eq!(answer.status, 400);
    let said = format!(
        "msg=\"pushed metrics are invalid or inconsistent with existing metrics\" method=POST logged_source={source} \
         err=\"pushed metrics must not have timestamps\""
    );
    gateway.wait_for_log(&said);
}

#[test]
fn what_is_refused_before_is_logged_for_whoever_looks_closely() {
    let folder = Directory::new();
    let hash = bcrypt::hash("secret", 4).unwrap();
    let web = folder.write("web.yml", format!("basic_auth_users:\n  alice: {hash}\n"));
    let gateway = Gateway::start_with_config(
        "[access]\nanonymous = [\"push\"]\nusers = { alice = [\"scrape\"] }\n",
        &[&format!("--web.config.file={web}"), "--log.level=debug"],
    );
    let alice = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
    for (method, path, headers, body, status, expected) in [
        (
            "POST",
            "/metrics/job/a",
            &[][..],
            "m x\n",
            400,
            "\"failed to parse text\" method=POST logged_source=SOURCE group=\"{job=\\\"a\\\"}\" err=\"text format \
             parsing error in line 1: ",
        ),
        (
            "PUT",
            "/metrics/job/a/b",
            &[],
            "",
            400,
            "\"failed to parse URL\" method=PUT logged_source=SOURCE url=/metrics/job/a/b err=\"odd number of \
             components in label string \\\"/b\\\"\"",
        ),
        (
            "POST",
            "/Metrics/job/a",
            &[],
            "",
            400,
            "\"failed to parse URL\" method=POST logged_source=SOURCE url=/Metrics/job/a err=\"there is nothing at \
             this path, ",
        ),
        (
            "GET",
            "/metrics",
            &[],
            "",
            401,
            "\"request denied\" method=GET logged_source=SOURCE url=/metrics err=\"there is no login\"",
        ),
        (
            "GET",
            "/metrics",
            &[("Authorization", "Basic YWxpY2U6d3Jvbmc=")],
            "",
            401,
            "\"request denied\" method=GET logged_source=SOURCE url=/metrics err=\"the login is wrong\"",
        ),
        (
            "POST",
            "/metrics/job/a",
            &alice,
            "m 1\n",
            403,
            "\"request denied\" method=POST logged_source=SOURCE url=/metrics/job/a err=\"user \\\"alice\\\" does not \
             have the permission \\\"push\\\"\"",
        ),
    ] {
        let (answer, source) = send(&gateway, method, path, headers, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let (lines, expected) = (logged(&gateway, &source), expected.replace("SOURCE", &source));
        assert!(lines.len() == 1 && lines[0].starts_with(&expected), "{expected}\n{lines:?}");
    }
    assert!(!gateway.stderr().contains("secret"));
}

#[test]
fn a_request_that_cannot_be_read_names_its_sender() {
    let gateway = Gateway::start(&["--log.level=debug"]);
    let mut connection = gateway.connect();
    connection.send(b"POST /metrics/job/a b HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(connection.read_response("POST").unwrap().status, 400);
    let source = connection.source().to_string();
    let expected = format!(
        "\"request can't be read\" logged_source={source} err=\"the path has a blank: write it as %20\""
    );
    assert_eq!(logged(&gateway, &source), [expected]);
}

#[test]
fn a_trusted_proxy_says_who_it_was() {
    let config = "[web]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\", \"::1\"]\n";
    let gateway = Gateway::start_with_config(config, &[]);
    let refused = |number: usize, headers: &[(&str, &str)]| {
        let (answer, source) = send(&gateway, "POST", &format!("/metrics/job/{number}"), headers, "m 1 1\n");
        assert_eq!(answer.status, 400);
        let group = format!(" group=\"{{job=\\\"{number}\\\"}}\"");
        gateway.wait_for_log(&group);
        let log = gateway.stderr();
        let before = log.split_once(&group).unwrap().0;
        before.rsplit_once("logged_source=").unwrap().1.replace(&source, "PEER")
    };
    let cases = [
        (&[][..], "PEER"),
        (&[("X-Forwarded-For", "192.0.2.7")], "192.0.2.7"),
        (&[("X-Forwarded-For", "198.51.100.1, 192.0.2.7, 10.1.1.1")], "192.0.2.7"),
        (&[("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "192.0.2.7")], "192.0.2.7"),
        (&[("X-Forwarded-For", "nonsense")], "PEER"),
        (&[("Forwarded", "for=\"[2001:db8::7]:99\";proto=https")], "[2001:db8::7]:99"),
        (&[("Forwarded", "for=198.51.100.1"), ("X-Forwarded-For", "192.0.2.7")], "PEER"),
    ];
    for (number, (headers, named)) in cases.into_iter().enumerate() {
        assert_eq!(refused(number, headers), named, "{headers:?}");
    }
}

#[test]
fn nobody_else_is_believed() {
    for config in ["", "[web]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n"] {
        let gateway = Gateway::start_with_config(config, &[]);
        let headers = [("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=192.0.2.7")];
        let (answer, source) = send(&gateway, "POST", "/metrics/job/a", &headers, "m 1 1\n");
        assert_eq!(answer.status, 400);
        assert_eq!(logged(&gateway, &source).len(), 1);
        assert!(!gateway.stderr().contains("192.0.2.7"));
    }
}

/// A push that is parsed on another thread.
#[test]
fn large_and_compressed_pushes_name_their_sender_too() {
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    let body = format!("# {}\nm 1 1\n", "x".repeat(300_000));
    let (answer, source) = send(&gateway, "POST", "/metrics/job/a", &[], &body);
    assert_eq!(answer.status, 400);
    assert_eq!(logged(&gateway, &source).len(), 1);
}
