//! The page under access control.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::browser::{Browser, DELETE, DESKTOP};
use super::{BACKUP, toggle};
use crate::programs::ask_until;
use crate::support::{Directory, Gateway};

const LOGIN: &str = "root:secret";

/// Users with the same password, whose hash is cheap to check.
fn users(names: &[&str], password: &str) -> String {
    let hash = bcrypt::hash(password, 4).unwrap();
    names.iter().fold("basic_auth_users:\n".to_owned(), |text, name| format!("{text}  {name}: {hash}\n"))
}

fn web_config(folder: &Directory, text: &str) -> String {
    format!("--web.config.file={}", folder.write("web.yml", text))
}

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

/// The address of the page with a login in it.
fn url(gateway: &Gateway, login: &str, path: &str) -> String {
    gateway.url(path).replacen("://", &format!("://{login}@"), 1)
}

fn push(gateway: &Gateway, authorization: &str, jobs: &[&str]) {
    for job in jobs {
        let headers = [("Authorization", authorization)];
        let answer = gateway.request("POST", &format!("/metrics/job/{job}"), &headers, BACKUP.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// Sends this login with every request, as a browser does after its user has logged in.
fn log_in(browser: &Browser, authorization: &str) {
    browser.devtools("Network.enable", &json!({}));
    let headers = json!({"headers": {"Authorization": authorization}});
    browser.devtools("Network.setExtraHTTPHeaders", &headers);
}

/// Waits until the gateway answers this login with this status.
#[track_caller]
fn wait_for_status(gateway: &Gateway, authorization: &str, status: u16) {
    ask_until("the new rules", || {
        let headers = [("Authorization", authorization)];
        match gateway.request("GET", "/api/v1/status", &headers, b"").status {
            answered if answered == status => Ok(()),
            answered => Err(answered.to_string()),
        }
    });
}

#[test]
fn a_page_with_a_login_works_as_one_without() {
    let folder = Directory::new();
    let gateway =
        Gateway::start(&["--web.enable-admin-api", &web_config(&folder, &users(&["root"], "secret"))]);
    push(&gateway, &basic(LOGIN), &["a", "b", "c"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    // First with the login in the URL, with which `fetch` refuses relative URLs. Then without it, as after the
    // browser's dialog, because the browser knows the login by now.
    for (address, left) in [(url(&gateway, LOGIN, "/"), 3), (gateway.url("/"), 2)] {
        browser.open(&address);
        browser.wait_for_count(".group", left);
        assert_eq!(browser.text("#wipe"), format!("Delete All {left} Groups"));
        assert_eq!(browser.count("#login"), 0);
        browser.wait_for("document.querySelector('.brand img').naturalWidth > 0");
        browser.click(&toggle(".group:last-child"));
        browser.wait_for_count(".family", 4);
        browser.click(&toggle(".family[data-name=backup_duration_seconds]"));
        browser.wait_for_count(".picture", 1);
        assert!(browser.value("location.href").as_str().unwrap().contains("family=backup_duration_seconds"));
        browser.back();
        browser.wait_for("document.querySelectorAll('.family.open').length === 0");
        browser.click(".group:first-child .remove");
        browser.click("#confirm-delete");
        browser.wait_for_count(".group", left - 1);
    }
    browser.click("#to-status");
    browser.click("#wipe");
    browser.click("#confirm-delete");
    browser.wait_for_text("#state code", &gateway.url("/metrics/job/my_job"));
    browser.finish();
}

#[test]
fn a_page_of_another_site_does_nothing_in_a_users_name() {
    let folder = Directory::new();
    let gateway = Gateway::start(&[&web_config(&folder, &users(&["root"], "secret"))]);
    push(&gateway, &basic(LOGIN), &["a"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&url(&gateway, LOGIN, "/"));
    let other = Gateway::start(&[]);
    browser.go(&other.url("/-/healthy").replace("127.0.0.1", "localhost"));
    // A form, because Chromium keeps separate logins for requests that scripts send.
    browser.run(&format!(
        "document.body.innerHTML = '<form method=post enctype=text/plain><input name=\"m{{a\"></form>';
         document.forms[0].firstChild.value = '\"b\"}} 1';
         document.forms[0].action = {};
         document.forms[0].submit()",
        json!(gateway.url("/metrics/job/b"))
    ));
    browser.wait_for_text("body", "Forbidden: the browser says that another site sent this request.");
    let answer = gateway.request("GET", "/metrics", &[("Authorization", &basic(LOGIN))], b"");
    let denied = |reason| format!("\ntallygate_denied_requests_total{{reason=\"{reason}\"}} ");
    assert!(answer.text().contains(&format!("{}1\n", denied("other_site"))), "{}", answer.text());
    assert!(!answer.text().contains("job=\"b\""), "{}", answer.text());
    browser.finish_with_failed_requests();
}

#[test]
fn what_a_visitor_may_not_do_is_not_offered() {
    let folder = Directory::new();
    let text = users(&["root", "reader", "keeper"], "secret");
    let gateway = Gateway::start_with_config(
        "[access]\nusers = { root = [\"push\", \"scrape\", \"delete\", \"admin\"], reader = [\"scrape\"], \
         keeper = [\"scrape\", \"delete\"] }\n",
        &["--web.enable-admin-api", &web_config(&folder, &text)],
    );
    push(&gateway, &basic(LOGIN), &["a", "b"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    for (user, deletes, wipes) in [("root", 2, 1), ("keeper", 2, 0), ("reader", 0, 0)] {
        log_in(&browser, &basic(&format!("{user}:secret")));
        browser.open(&gateway.url("/"));
        browser.wait_for_count(".group", 2);
        assert_eq!((browser.count(".remove"), browser.count("#wipe")), (deletes, wipes), "{user}");
        browser.press(&format!("j{DELETE}"));
        if deletes > 0 {
            browser.wait_for("document.querySelector('#confirm').open");
        } else {
            browser.wait_for_text("#said", "You do not have the permission to delete groups.");
            assert_eq!(browser.value("document.querySelector('#confirm').open"), false);
            browser.press("?");
            browser.wait_for("document.querySelector('#keys').open");
            assert!(!browser.text("#keys").contains("Del"));
            browser.picture("reader");
        }
    }
    browser.finish();
}

#[test]
fn whoever_comes_without_a_login_can_log_in() {
    let folder = Directory::new();
    let gateway = Gateway::start_with_config(
        "access.anonymous = [\"scrape\"]\n",
        &[&web_config(&folder, &users(&["root"], "secret"))],
    );
    push(&gateway, &basic(LOGIN), &["a"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/status"));
    browser.wait_for_count(".group", 1);
    assert_eq!(browser.count(".remove"), 0);
    let link = browser.value("document.querySelector('#login').href");
    assert_eq!(link, gateway.url("/?login"));
    browser.open(&url(&gateway, LOGIN, "/?login"));
    browser.wait_for_count(".group .remove", 1);
    assert_eq!(browser.count("#login"), 0);
    // The browser keeps sending the login.
    browser.open(&gateway.url("/"));
    browser.wait_for_count(".group .remove", 1);
    browser.finish();
}

/// With a token, because Chromium shows a dialog after a wrong password, and no test can answer it.
#[test]
fn a_login_that_is_no_longer_right_is_told_with_the_way_out() {
    let folder = Directory::new();
    let [old, new] = ["the-first-token-of-all", "the-second-token-of-all"];
    let file = folder.write("token", old);
    let gateway = Gateway::start_with_config(
        &format!(
            "access.tokens = [{{ name = \"x\", file = {file:?}, allow = [\"push\", \"scrape\", \"delete\"] }}]\n"
        ),
        &[],
    );
    let [old, new] = [old, new].map(|token| format!("Bearer {token}"));
    push(&gateway, &old, &["a", "b"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    log_in(&browser, &old);
    browser.open(&gateway.url("/#sort=size"));
    browser.wait_for_count(".group", 2);
    folder.write("token", "the-second-token-of-all");
    wait_for_status(&gateway, &new, 200);
    browser.click(".remove");
    browser.click("#confirm-delete");
    let sentence = "Your login is missing or no longer right. Reload the page to log in.";
    browser.wait_for_text("#confirm-problem", &format!("Nothing was deleted. {sentence}"));
    browser.click("#confirm-cancel");
    browser.press("r");
    browser.wait_for_text("#problem", &format!("{sentence} What you see may be out of date."));
    assert_eq!(browser.count(".group"), 2);
    log_in(&browser, &new);
    browser.click("#problem button");
    browser.wait_for("document.documentElement.dataset.ready && document.querySelector('#problem').hidden");
    browser.wait_for_count(".group", 2);
    assert!(browser.value("location.href").as_str().unwrap().ends_with("/#sort=size"));
    browser.finish_with_failed_requests();
}

#[test]
fn a_permission_that_goes_away_is_named() {
    let folder = Directory::new();
    let flag = web_config(&folder, &users(&["root"], "secret"));
    let access = folder.write("tallygate.toml", "access.users = { root = [\"push\", \"scrape\"] }\n");
    let access = format!("--config.file={access}");
    let gateway = Gateway::start(&[&access, &flag]);
    push(&gateway, &basic(LOGIN), &["a"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&url(&gateway, LOGIN, "/"));
    browser.wait_for_count(".group", 1);
    // After a restart there is no user left, and anonymous requests may do nothing.
    web_config(&folder, "{}\n");
    let address = format!("--web.listen-address=127.0.0.1:{}", gateway.port());
    drop(gateway);
    let gateway = Gateway::start_exactly(&[&address, &access, &flag], &[]);
    wait_for_status(&gateway, &basic(LOGIN), 403);
    browser.press("r");
    let sentence =
        "A request without a login does not have the permission \"scrape\". What you see may be out of date.";
    browser.wait_for_text("#problem", sentence);
    assert_eq!(browser.text("#problem button"), "Try again");
    browser.finish_with_failed_requests();
}

#[test]
fn a_policy_of_the_operator_replaces_that_of_the_page() {
    let folder = Directory::new();
    let headers = "http_server_config:\n  headers:\n    Content-Security-Policy: \"default-src 'self'\"\n";
    let gateway = Gateway::start(&[&web_config(&folder, headers)]);
    assert_eq!(gateway.get("/").header("content-security-policy"), Some("default-src 'self'"));
    gateway.push("/metrics/job/a", BACKUP);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 4);
    browser.click(&toggle(".family[data-name=backup_duration_seconds]"));
    browser.wait_for_count(".picture", 1);
    browser.wait_for("document.querySelector('.brand img').naturalWidth > 0");
    browser.finish();
}
