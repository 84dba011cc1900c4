use super::*;

const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

fn parse(text: &str) -> Result<WebConfig, String> {
    let error = |problem: Problem| format!("{}: {}", problem.position, problem.message);
    WebConfig::parse(text, Path::new("/etc/web")).map_err(error)
}

#[test]
fn nothing_is_plain_http() {
    for text in [
        "",
        "\n",
        "# nothing\n",
        "---\n",
        "{}\n",
        "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n",
    ] {
        let config = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert!(config.tls.is_none() && config.users.is_empty() && config.headers.is_empty(), "{text:?}");
    }
    assert!(
        parse("tls_server_config:\n  min_version: TLS13\n  prefer_server_cipher_suites: no\n")
            .unwrap()
            .tls
            .is_none()
    );
}

#[test]
fn everything() {
    let config = parse(&format!(
        "tls_server_config:\n  cert: ignored\n  cert_file: server.crt\n  key_file: /abs/server.key\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_ca: |\n    PEM\n  client_allowed_sans: [a.example, 10.0.0.1]\n  \
         min_version: TLS12\n  max_version: \"TLS12\"\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  \
         curve_preferences:\n  - CurveP256\n  - X25519\nhttp_server_config:\n  http2: off\n  headers:\n    \
         X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1; includeSubDomains\nbasic_auth_users:\n  \
         alice: {HASH}\n  \"b o b\": '{HASH}'\nrate_limit:\n  interval: 1s\n  burst: 20\n"
    ))
    .unwrap();
    let tls = config.tls.as_ref().unwrap();
    assert!(matches!(&tls.cert, Pem::File(path) if path == Path::new("/etc/web/server.crt")));
    assert!(matches!(&tls.key, Pem::File(path) if path == Path::new("/abs/server.key")));
    assert!(matches!(tls.client_ca.as_ref().unwrap(), Pem::Inline(text) if text.expose() == "PEM\n"));
    assert_eq!(tls.client_auth, ClientAuth::RequireAndVerify);
    assert_eq!(tls.client_allowed_sans, ["a.example", "10.0.0.1"]);
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls12, TlsVersion::Tls12));
    assert_eq!(tls.cipher_suites, ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
    assert_eq!(tls.curves, [Curve::P256, Curve::X25519]);
    assert_eq!(config.files(), [Path::new("/etc/web/server.crt"), Path::new("/abs/server.key")]);
    assert_eq!(config.users.keys().collect::<Vec<_>>(), ["alice", "b o b"]);
    assert_eq!(config.rate_limit, Some(RateLimit { interval: Duration::from_secs(1), burst: 20 }));
    assert!(config.headers.contains(&("X-Frame-Options", "deny".to_owned())));
    assert!(!format!("{config:?}").contains("$2y$"), "{config:?}");
}

#[test]
fn errors_have_the_words_of_the_toolkit_and_the_place() {
    let tls = |lines: &str| format!("tls_server_config:\n  cert_file: c\n  key_file: k\n  {lines}\n");
    for (text, error) in [
        (
            "foo: 1\n".to_owned(),
            ", line 1, column 1: field foo not found in type web.Config, expected one of tls_server_config, http_server_config, rate_limit, basic_auth_users",
        ),
        (
            "tls_server_config:\n  crt: x\n".to_owned(),
            ", line 2, column 3: field crt not found in type web.TLSConfig, expected one of cert, ",
        ),
        (
            "http_server_config:\n  h: x\n".to_owned(),
            ", line 2, column 3: field h not found in type web.HTTPConfig, ",
        ),
        (
            "rate_limit:\n  h: x\n".to_owned(),
            ", line 2, column 3: field h not found in type web.RateLimiterConfig, ",
        ),
        (
            "basic_auth_users:\n  a: x\n".to_owned(),
            ", line 2, column 6: basic_auth_users: user \"a\": crypto/bcrypt: hashedSecret too short to be a bcrypted password",
        ),
        (
            "http_server_config:\n  headers:\n    X-Foo: x\n".to_owned(),
            ", line 3, column 12: HTTP header \"X-Foo\" can not be configured",
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: allow\n".to_owned(),
            ", line 3, column 22: invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"allow\"",
        ),
        (
            "http_server_config:\n  headers:\n    X-XSS-Protection: \"1\\n2\"\n".to_owned(),
            ", line 3, column 23: invalid value for X-XSS-Protection: it has control characters",
        ),
        ("tls_server_config:\n  key_file: k\n".to_owned(), ": missing one of cert or cert_file"),
        ("tls_server_config:\n  cert_file: c\n".to_owned(), ": missing one of key or key_file"),
        (tls("min_version: TLS14"), ", line 4, column 16: unknown TLS version: TLS14"),
        (tls("min_version: TLS10"), ", line 4, column 16: TLS version TLS10 is not available"),
        (
            tls("min_version: TLS13\n  max_version: TLS12"),
            ", line 4, column 16: min_version is above max_version",
        ),
        (tls("cipher_suites: [FOO]"), ", line 4, column 19: unknown cipher: FOO"),
        (
            tls("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]"),
            ", line 4, column 19: cipher TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA is not available",
        ),
        (tls("curve_preferences: [FOO]"), ", line 4, column 23: unknown curve: FOO"),
        (tls("curve_preferences: [CurveP521]"), ", line 4, column 23: curve CurveP521 is not available"),
        (tls("client_auth_type: FOO"), ", line 4, column 21: invalid ClientAuth: FOO"),
        (tls("client_ca_file: ca"), ": client CA's have been configured without a Client Auth Policy"),
        (
            tls("client_auth_type: NoClientCert\n  client_ca_file: ca"),
            ", line 4, column 21: client CA's have been",
        ),
        (
            tls("client_auth_type: RequireAndVerifyClientCert"),
            ", line 4, column 21: RequireAndVerifyClientCert needs client_ca",
        ),
        (
            tls("client_auth_type: VerifyClientCertIfGiven\n  client_allowed_sans: [a]"),
            ", line 4, column 21: client_allowed_sans requires client_auth_type",
        ),
        (
            "rate_limit:\n  interval: 1x\n".to_owned(),
            ", line 2, column 13: time: unknown unit \"x\" in duration \"1x\"",
        ),
        (
            "basic_auth_users:\n  a: x\n  a: y\n".to_owned(),
            ", line 3, column 3: key \"a\" already set in map",
        ),
        ("a: [\n".to_owned(), ", line "),
        ("- a\n".to_owned(), ", line 1, column 1: "),
        ("\t- a\n".to_owned(), ", line 1, column "),
    ] {
        let found = parse(&text).unwrap_err();
        assert!(found.starts_with(error) && !found.contains('\n'), "{text}\n{found}\nnot\n{error}");
    }
}

#[test]
fn no_error_shows_a_hash() {
    for text in [
        format!("basic_auth_users: \"{HASH}\"\n"),
        format!("basic_auth_users: [\"{HASH}\"]\n"),
        format!("basic_auth_users:\n  a: [\"{HASH}\"]\n"),
        format!("basic_auth_users:\n  a: {{\"{HASH}\": 1}}\n"),
        format!("basic_auth_users:\n  a: {HASH}\n b: {HASH}\n"),
        format!("basic_auth_users:\n  a: \"{HASH}\n"),
        format!("basic_auth_users:\n  a: *{HASH}\n"),
        format!("basic_auth_users:\n  a: !{HASH} x\n"),
        format!("tls_server_config: {HASH}\n"),
        format!("tls_server_config:\n  prefer_server_cipher_suites: {HASH}\n"),
        format!("rate_limit:\n  burst: {HASH}\n"),
        format!("basic_auth_users:\n  a: {HASH}\nfoo: 1\n"),
        // Hash and name the wrong way round, or together.
        format!("basic_auth_users:\n  {HASH}: alice\n"),
        format!("basic_auth_users:\n  {HASH}: alice\n  {HASH}: bob\n"),
        format!("basic_auth_users:\n{HASH}: alice\n"),
        format!("basic_auth_users:\n  alice:{HASH}\n"),
        format!("basic_auth_users:\n  alice:{HASH}:\n"),
        format!("basic_auth_users:\nalice:{HASH}: x\n"),
        format!("basic_auth_users:\n  alice: &{HASH} x\n  bob: *{HASH}x\n"),
        format!("basic_auth_users: &a [*a, {HASH}\n"),
        format!("basic_auth_users:\n  ? {HASH}\n"),
        format!("basic_auth_users: {{ {HASH}: , }}\n"),
        format!("basic_auth_users:\n  alice: {HASH}{HASH}\n"),
        format!("rate_limit:\n  interval: [{HASH}]\n"),
        format!("tls_server_config:\n  key_file: |\n    -----BEGIN PRIVATE KEY-----\n    {HASH}\n"),
        format!("tls_server_config:\n  key_file: \"-----BEGIN PRIVATE KEY----- {HASH}\"\n"),
        format!("tls_server_config:\n  cert_file: |\n    {HASH}\n    {HASH}\n"),
        format!("tls_server_config:\n  key: |\n-----BEGIN PRIVATE KEY-----\n{HASH}\n"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(!error.contains("QOauhQNb"), "{error}");
    }
}

/// What the exporter toolkit publishes as examples, in its shape.
#[test]
fn files_for_other_exporters_can_be_used_as_they_are() {
    let client = |auth: &str, more: &str| {
        format!(
            "tls_server_config:\n  cert_file: \"server.crt\"\n  key_file: \"server.key\"\n  client_auth_type: \"{auth}\"\n{more}"
        )
    };
    for text in [
        format!("# TLS and basic authentication configuration example.\n#\n# Additionally, a certificate and a key file are needed.\ntls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n\n# Usernames and passwords required to connect.\nbasic_auth_users:\n  alice: {HASH}\n  bob: {HASH}\n"),
        format!("basic_auth_users:\n  alice: {HASH}\n"),
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    X-Content-Type-Options: nosniff\n    X-XSS-Protection: 1\n    Content-Security-Policy: \"default-src 'self' *.test.example.net\"\n".to_owned(),
        client("VerifyClientCertIfGiven", ""),
        client("VerifyClientCertIfGiven", "  cipher_suites:\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n  min_version: TLS12\n  max_version: TLS12\n"),
        client("VerifyClientCertIfGiven", "  prefer_server_cipher_suites: false\n"),
        client("VerifyClientCertIfGiven", "http_server_config:\n  http2: false\n"),
        client("RequireAnyClientCert", ""),
        client("RequireAnyClientCert", "  client_allowed_sans:\n    - \"test.example\"\n"),
        client("RequireAndVerifyClientCert", "  client_ca_file: \"client_selfsigned.pem\"\n"),
        client("RequireAndVerifyClientCert", "  client_ca: |\n    -----BEGIN CERTIFICATE-----\n    x\n    -----END CERTIFICATE-----\n"),
        "rate_limit:\n  burst: 1\n  interval: 1s\n".to_owned(),
        "".to_owned(),
    ] {
        parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    }
}

#[test]
fn the_sample_file_can_be_used_commented_and_not() {
    let sample = include_str!("../../../config/web.yml");
    assert!(parse(sample).unwrap().tls.is_none());
    // A line of YAML begins with a name or a dash right after the sign; one of text with a space.
    let enabled: String = sample
        .lines()
        .map(|line| {
            let (indent, rest) = line.split_once('#').unwrap_or((line, ""));
            let is_yaml = rest.starts_with(|c: char| !c.is_whitespace()) && indent.trim().is_empty();
            if is_yaml { format!("{indent}{rest}\n") } else { format!("{line}\n") }
        })
        .collect();
    let config = parse(&enabled).unwrap();
    let tls = config.tls.as_ref().unwrap();
    assert_eq!((tls.cipher_suites.len(), tls.curves.len(), config.headers.len()), (6, 3, 5));
    assert!(config.users.contains_key("alice") && config.rate_limit.is_some());
    for key in [
        "cert",
        "key",
        "client_ca",
        "cert_file",
        "key_file",
        "client_auth_type",
        "client_ca_file",
        "cipher_suites",
        "curve_preferences",
        "min_version",
        "max_version",
        "prefer_server_cipher_suites",
        "client_allowed_sans",
        "http2",
        "interval",
        "burst",
    ] {
        assert!(sample.contains(&format!("  #{key}:")), "{key} is not in config/web.yml");
    }
}
