//! Secrets are shown nowhere, even if they were written in the wrong place.

use crate::programs::ask_until;
use crate::support::{Directory, Gateway, run, run_with};

/// The error of a start and of a check with these flags and variables, which must be the same.
#[track_caller]
fn refusal(flags: &[&str], environment: &[(&str, &str)]) -> String {
    let checked = run_with(&[flags, &["--config.check"]].concat(), environment);
    let started = run_with(&[flags, &["--web.listen-address=127.0.0.1:0"]].concat(), environment);
    for finished in [&checked, &started] {
        assert_eq!(finished.status.code(), Some(1), "{flags:?} {environment:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains("hunter"), "{flags:?} {environment:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    checked.stderr
}

#[test]
fn no_error_shows_what_is_below_access() {
    const TOKENS: &str =
        "expected a token such as { name = \"ci\", file = \"ci.token\", allow = [\"push\"] }";
    let folder = Directory::new();
    for (text, message) in [
        ("access = \"hunter2\"", "line 1, column 10, key access: invalid type: string, expected a table"),
        ("[[access]]\nhunter2 = 1", "invalid type: integer, expected"),
        ("[[access]]\nhunter2 = \"hunter2\"", "line 2, column 11, key access: unknown permission, expected"),
        (
            "[[access.tokens]]\nname = \"a\"\nsha256 = [\"hunter2\"]\nallow = []",
            "line 3, column 10, key access.tokens.sha256: invalid type: sequence, expected a string",
        ),
        (
            "[[access.tokens]]\nname = \"a\"\nallow = 17\n",
            "key access.tokens.allow: invalid type: integer, expected",
        ),
        ("[[access.tokens]]\nname = \"a\"\nfile = 'x'\nallow = \"hunter2\"", "unknown permission"),
        (
            "[[access.tokens]]\nhunter2 = \"a\"\n",
            "line 2, column 1, key access.tokens: unknown key, expected",
        ),
        ("[access]\nhunter2 = 1", "line 2, column 1, key access: unknown key, expected one of `users`, "),
        ("[access.hunter2]\nx = 1", "line 1, column 9, key access: unknown key, expected one of `users`, "),
        (
            "[access]\ntokens = \"hunter2\"",
            "line 2, column 10, key access.tokens: invalid type: string, expected a sequence",
        ),
        ("[access]\ntokens = [\"hunter2\"]", TOKENS),
        ("[access]\ntokens = [[\"hunter2\"]]", ", column 11, key access.tokens: "),
        ("[access]\ntokens = [\n{ hunter2 = 1 }]", "line 3, column 3, key access.tokens: unknown key, "),
        ("[access.tokens]\nhunter2 = \"hunter2\"", "invalid type: map, expected a sequence"),
        ("[access]\ntokens = [{ name = [\"hunter2\"] }]", "invalid type: sequence, expected a string"),
        ("[access]\ntokens = [{ allow = \"hunter2\" }]", "unknown permission, expected \"push\" or "),
        ("[access]\ntokens = [{ sha256 = { hunter2 = 1 } }]", "invalid type: map, expected a string"),
        (
            "access.users = \"hunter2\"",
            "line 1, column 16, key access.users: invalid type: string, expected a map",
        ),
        ("access.users.ci = \"hunter2\"", "line 1, column 19, key access.users.ci: unknown permission, "),
        ("access.users.ci = [\"push\", \"hunter2\"]", "key access.users.ci: unknown permission, "),
        (
            "access.users.ci = [[\"hunter2\"]]",
            "key access.users.ci: invalid type: sequence, expected a string",
        ),
        ("access.anonymous = \"hunter2\"", "line 1, column 20, key access.anonymous: unknown permission, "),
        // Not TOML at all.
        ("[access]\nhunter2", "line 2, column 8: key with no value"),
        ("[access]\ntokens = hunter2", "line 2, column 10: "),
        ("[access]\ntokens = \"hunter2", "line 2, column "),
        ("[access]\ntokens = [\"hunter2\"\n", "line "),
        ("[access]\ntokens = 'hunter2' 'hunter2'", "line 2, column "),
        ("[access]\nusers = { a = 'hunter2', a = 'hunter2' }", "line 2, column "),
        ("[access]\n\"hunter2\" = 1\n\"hunter2\" = 1", "line 3, column 1"),
        ("access = 1\naccess.hunter2 = 1", "line 2, column "),
    ] {
        let file = folder.write("tallygate.toml", text);
        let found = refusal(&[&format!("--config.file={file}")], &[]);
        assert!(found.contains(message), "{text}\n{found}\nnot\n{message}");
        assert_eq!(found.lines().count(), 1, "{text}\n{found}");
    }
    for (variable, message) in [
        ("TALLYGATE_ACCESS", "invalid type: string, expected"),
        ("TALLYGATE_ACCESS__TOKENS", "invalid type: string, expected"),
        ("TALLYGATE_access__Tokens", "invalid type: string, expected"),
        ("TALLYGATE_ACCESS__TOKENS__CI", "invalid type: map, expected"),
        ("TALLYGATE_ACCESS__TOKEN", "unknown key, expected one of `users`, `tokens`, `anonymous`"),
        ("TALLYGATE_ACCESS__USERS", "invalid type: string, expected"),
        ("TALLYGATE_ACCESS__USERS__CI", "unknown permission, expected"),
        ("TALLYGATE_ACCESS__USERS__CI__X", "invalid type: map, expected"),
        ("TALLYGATE_ACCESS__ANONYMOUS", "unknown permission, expected"),
    ] {
        let found = refusal(&[], &[(variable, "hunter2")]);
        let start = format!("tallygate: error: environment variable {variable}: {message}");
        assert!(found.starts_with(&start), "{found}");
    }
}

#[test]
fn a_token_in_the_place_of_its_file_is_not_shown() {
    let folder = Directory::new();
    folder.write("hunter2.short", "hunter2");
    for (path, message) in [
        ("hunter2".to_owned(), "token \"ci\": its file can't be read: no such file or directory"),
        (folder.path_of("hunter2/+=="), "token \"ci\": its file can't be read: no such file or directory"),
        (
            folder.path_of("hunter2.short"),
            "token \"ci\": expected in its file a token of at least 16 visible",
        ),
        ("hunter2".repeat(100), "token \"ci\": its file can't be read: File name too long"),
    ] {
        let tokens = format!("access.tokens = [{{ name = \"ci\", file = {path:?}, allow = [] }}]\n");
        let file = folder.write("tallygate.toml", tokens);
        let found = refusal(&[&format!("--config.file={file}")], &[]);
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn an_external_url_with_a_password_is_refused_without_being_shown() {
    let message =
        "invalid URL: it has user information such as a password, which the page and the log would show";
    let folder = Directory::new();
    for url in
        ["http://u:hunter2@x/p", "http://u:hunter 2@x", "u:hunter2@x", "//u:hunter2@x/", "http://hunter2@x"]
    {
        let found = refusal(&[&format!("--web.external-url={url}")], &[]);
        assert!(found.starts_with(&format!("tallygate: error: {message}")), "{found}");
        let file = folder.write("tallygate.toml", format!("[web]\nexternal_url = \"{url}\"\n"));
        let found = refusal(&[&format!("--config.file={file}")], &[]);
        assert!(found.contains(&format!("line 2, column 16, key web.external_url: {message}")), "{found}");
        let found = refusal(&[], &[("TALLYGATE_WEB__EXTERNAL_URL", url)]);
        assert!(found.contains(&format!("variable TALLYGATE_WEB__EXTERNAL_URL: {message}")), "{found}");
    }
    let found = refusal(&["--web.external-url=http://u:hunter/2@x"], &[]);
    assert!(found.contains("invalid URL: it is malformed, and not shown"), "{found}");
    assert_eq!(run(&["--config.check", "--web.external-url=http://x/@y"]).status.code(), Some(0));
}

#[test]
fn web_configurations_show_no_hash_and_no_key() {
    let folder = Directory::new();
    for (text, message) in [
        ("basic_auth_users:\n  alice: hunter2\n", "line 2, column 10: basic_auth_users: user \"alice\": "),
        ("basic_auth_users:\n  $2y$hunter2: alice\n", "line 2, column 16: basic_auth_users: crypto/bcrypt: "),
        ("basic_auth_users:\n  alice:hunter2: x\n", "line 2, column 18: basic_auth_users: crypto/bcrypt: "),
        ("basic_auth_users: hunter2\n", "line 1, column 19: "),
        ("basic_auth_users:\nalice:hunter2: x\n", "line 2, column 1: field not found in type web.Config"),
        (
            "tls_server_config:\n  key_file: |\n    -----BEGIN PRIVATE KEY-----\n    hunter2\n",
            "key_file has the text of a file, expected the name of one; put the text under key",
        ),
    ] {
        let file = folder.write("web.yml", text);
        let found = refusal(&[&format!("--web.config.file={file}")], &[]);
        assert!(found.contains(message), "{text}\n{found}\nnot\n{message}");
    }
}

#[test]
fn a_running_gateway_shows_no_secret() {
    let folder = Directory::new();
    let token = folder.write("hunter2.token", "hunter2hunter2hunter2");
    let hash = "5b3d1a5c8f0ee3c7f4e1c0d4a7a0f1b2c3d4e5f60718293a4b5c6d7e8f901234";
    let password = bcrypt::hash("hunter2", 4).unwrap();
    let web = folder.write("web.yml", format!("basic_auth_users:\n  alice: {password}\n"));
    let config = format!(
        "[access]\nanonymous = [\"scrape\", \"admin\"]\ntokens = [{{ name = \"ci\", file = {token:?}, allow = [\"push\"] }},\n\
         {{ name = \"phone\", sha256 = \"{hash}\", allow = [] }}]\n"
    );
    let gateway =
        Gateway::start_with_config(&config, &["--log.level=debug", &format!("--web.config.file={web}")]);
    for path in ["/", "/status", "/api/v1/status", "/api/v1/health", "/metrics", "/api/v1/metrics"] {
        let answer = gateway.get(path);
        assert_eq!(answer.status, 200, "{path}");
        for secret in ["hunter2", hash, &password, "$2b$"] {
            assert!(!answer.text().contains(secret), "{path}: {secret}");
        }
    }
    // It is there, and says what the token may do.
    assert!(gateway.get("/api/v1/status").text().contains("\"value\":\"ci: push, phone: nothing\""));
    folder.write("hunter2.token", "hunter2");
    gateway.wait_for_log("expected in its file a token of at least 16 visible ASCII characters");
    assert!(!gateway.stderr().contains("hunter2"), "{}", gateway.stderr());
    let status = ask_until("the problem", || {
        let status = gateway.get("/api/v1/status").text();
        if status.contains("expected in its file a token") { Ok(status) } else { Err(status) }
    });
    assert!(!status.contains("hunter2"), "{status}");
}
