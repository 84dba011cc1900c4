//! Which TLS sessions are resumed. The client is openssl.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::certificates::Certificates;
use crate::programs::{self, ask_until};
use crate::support::Gateway;

/// Each version as an option and as it is shown.
const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

const TAKEN: &str = "the web configuration has changed and is in force";

/// Makes a request and returns the output of openssl. Reads the answer to its end, so that openssl also gets the
/// tickets.
fn ask(gateway: &Gateway, arguments: &[&str]) -> String {
    let mut command = programs::command("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &format!("127.0.0.1:{}", gateway.port())]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut openssl = command.spawn().unwrap();
    let mut input = openssl.stdin.take().unwrap();
    // A refused client may have ended already.
    let _ = input.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let output = openssl.wait_with_output().unwrap();
    drop(input);
    programs::text_of(&output)
}

fn is_answered(text: &str) -> bool {
    text.contains("HTTP/1.1 200 OK")
}

#[track_caller]
fn assert_new(text: &str, version: &str) {
    assert!(text.contains(&format!("New, {version}, Cipher is ")), "{text}");
    assert!(!text.contains("Reused, ") && is_answered(text), "{text}");
}

#[track_caller]
fn assert_resumed(text: &str, version: &str) {
    assert!(text.contains(&format!("Reused, {version}, Cipher is ")) && is_answered(text), "{text}");
}

#[test]
fn sessions_are_resumed_until_the_configuration_changes() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.server("second");
    let gateway = Gateway::start(&[&certificates.web_config("")]);
    for (option, version) in VERSIONS {
        let session = certificates.path(version);
        assert_new(&ask(&gateway, &[option, "-sess_out", &session]), version);
        // A TLS 1.3 ticket can be used once.
        assert_resumed(&ask(&gateway, &[option, "-sess_in", &session, "-sess_out", &session]), version);
        assert_resumed(&ask(&gateway, &[option, "-sess_in", &session, "-sess_out", &session]), version);
    }
    certificates.install("second");
    ask_until("the new certificate", || {
        let text = ask(&gateway, &[]);
        if text.contains("CN = second") || text.contains("CN=second") { Ok(()) } else { Err(text) }
    });
    for (option, version) in VERSIONS {
        assert_new(&ask(&gateway, &[option, "-sess_in", &certificates.path(version)]), version);
    }
}

/// A session would keep the client certificate even after that has expired.
#[test]
fn no_session_is_resumed_where_clients_are_asked_for_certificates() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.client("friend", "DNS:friend.example");
    let [cert, key] = ["friend.crt", "friend.key"].map(|name| certificates.path(name));
    let shown = ["-cert", &cert, "-key", &key];
    let gateway = Gateway::start(&[&certificates.web_config("")]);
    for (option, version) in VERSIONS {
        assert_new(&ask(&gateway, &[option, "-sess_out", &certificates.path(version)]), version);
    }
    let policies = [
        "RequestClientCert",
        "VerifyClientCertIfGiven\n  client_ca_file: ca.crt",
        "RequireAnyClientCert",
        "RequireAndVerifyClientCert\n  client_ca_file: ca.crt",
    ];
    for (changes, policy) in policies.iter().enumerate() {
        certificates.web_config(&format!("  client_auth_type: {policy}\n"));
        ask_until("the policy", || {
            let log = gateway.stderr();
            if log.matches(TAKEN).count() == changes + 1 { Ok(()) } else { Err(log) }
        });
        for (option, version) in VERSIONS {
            // A session from before clients were asked for certificates, resumed with a certificate and without.
            let before = certificates.path(version);
            let arguments = [option, "-sess_in", &before];
            assert_new(&ask(&gateway, &[&arguments[..], &shown].concat()), version);
            let text = ask(&gateway, &arguments);
            assert!(!text.contains("Reused, "), "{policy}: {text}");
            assert_eq!(is_answered(&text), !policy.starts_with("Require"), "{policy}: {text}");
            // A session from now on. A TLS 1.3 client gets no ticket.
            let session = certificates.path(&format!("{version}.{changes}"));
            let text = ask(&gateway, &[&[option, "-sess_out", &session], &shown[..]].concat());
            assert_new(&text, version);
            assert!(!text.contains("Post-Handshake New Session Ticket"), "{policy}: {text}");
            if Path::new(&session).exists() {
                let arguments = [option, "-sess_in", &session];
                assert_new(&ask(&gateway, &[&arguments[..], &shown].concat()), version);
                let text = ask(&gateway, &arguments);
                assert!(!text.contains("Reused, "), "{policy}: {text}");
                assert_eq!(is_answered(&text), !policy.starts_with("Require"), "{policy}: {text}");
            }
        }
    }
}

#[test]
fn an_authority_that_is_gone_lets_nobody_in() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.client("friend", "DNS:friend.example");
    certificates.stranger("other");
    certificates.folder.write("client-ca.crt", certificates.read("ca.crt"));
    let lines = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: client-ca.crt\n";
    let gateway = Gateway::start(&[&certificates.web_config(lines)]);
    let [cert, key] = ["friend.crt", "friend.key"].map(|name| certificates.path(name));
    let shown = ["-cert", &cert, "-key", &key];
    for (option, version) in VERSIONS {
        let session = certificates.path(version);
        assert_new(&ask(&gateway, &[&[option, "-sess_out", &session], &shown[..]].concat()), version);
    }
    certificates.folder.write("client-ca.crt", certificates.read("other.crt"));
    gateway.wait_for_log(TAKEN);
    for (option, version) in VERSIONS {
        let session = certificates.path(version);
        for resumed in [&[][..], &["-sess_in", &session]] {
            if resumed.is_empty() || Path::new(&session).exists() {
                let text = ask(&gateway, &[&[option], resumed, &shown[..]].concat());
                assert!(!text.contains("Reused, ") && !is_answered(&text), "{text}");
            }
        }
    }
}
