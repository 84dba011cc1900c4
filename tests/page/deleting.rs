//! Deleting a group, and all of them.

use super::browser::{Browser, DESKTOP, ESCAPE, PHONE};
use super::proxy::Proxy;
use super::{group, push_jobs, toggle};
use crate::support::Gateway;

fn remove(job: &str) -> String {
    format!("{} .remove", group(&format!("job=\"{job}\"")))
}

#[test]
fn a_group_is_deleted_once_that_is_confirmed() {
    for screen in [DESKTOP, PHONE] {
        let gateway = Gateway::start(&["--no-push.aggregate"]);
        push_jobs(&gateway, &["a", "b", "c"]);
        gateway.push("/metrics/job/b/empty@base64/=/slash@base64/eC95", "# TYPE m gauge\nm 1\n");
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/"));
        assert_eq!(browser.count("#wipe"), 0, "there is no admin API");
        browser.click(&toggle(&group(r#"job="c""#)));
        browser.wait_for_count(".family", 1);

        browser.click(&remove("b"));
        assert_eq!(
            browser.text("#confirm-question"),
            r#"Do you really want to delete all metrics of group {job="b"}?"#
        );
        browser.picture("delete");
        browser.click("#confirm-cancel");
        browser.wait_for("!document.querySelector('#confirm').open");
        browser.click(&remove("b"));
        browser.press(&ESCAPE.to_string());
        browser.wait_for("!document.querySelector('#confirm').open");
        assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 4);
        assert_eq!(browser.count(".group"), 4);

        browser.click(&remove("b"));
        browser.click("#confirm-delete");
        browser.wait_for_count(".group", 3);
        browser.wait_for_text("#totals", "3 groups");
        assert_eq!(browser.count(".family"), 1, "what was open stays open");
        assert!(!gateway.scrape().contains("job=\"b\"} 1"));

        let odd = group(r#"job="b", empty="", slash="x/y""#);
        browser.click(&format!("{odd} .remove"));
        browser.click("#confirm-delete");
        browser.wait_for_count(".group", 2);
        assert_eq!(gateway.api()["data"].as_array().unwrap().len(), 2);
        browser.finish();
    }
}

#[test]
fn a_deletion_that_fails_says_so_and_can_be_repeated() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b"]);
    let proxy = Proxy::start(gateway.addresses()[0], "");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&proxy.url("/"));
    browser.click(&remove("a"));
    proxy.cut(true);
    browser.click("#confirm-delete");
    browser.wait_for_text("#confirm-problem", "Nothing was deleted. The gateway does not answer.");
    proxy.cut(false);
    browser.click("#confirm-delete");
    browser.wait_for_count(".group", 1);
    browser.finish_with_failed_requests();
}

#[test]
fn all_groups_are_deleted_where_the_admin_api_is_enabled() {
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    push_jobs(&gateway, &["a", "b", "c"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    assert_eq!(browser.text("#wipe"), "Delete All 3 Groups");
    browser.click("#wipe");
    assert_eq!(
        browser.text("#confirm-question"),
        "Do you really want to delete all metrics from all metric groups?"
    );
    browser.click("#confirm-cancel");
    assert_eq!(browser.count(".group"), 3);
    browser.click("#wipe");
    browser.click("#confirm-delete");
    browser.wait_for_count(".group", 0);
    browser.wait_for_text("#state", "Nothing has been pushed yet");
    assert_eq!(browser.value("document.querySelector('#wipe').disabled"), true);
    assert_eq!(gateway.pushed(), "");
    browser.finish();
}
