//! Phones, colour schemes, and route prefixes.

use super::browser::{Browser, DESKTOP, DESKTOP_DARK, PHONE, PHONE_DARK};
use super::proxy::Proxy;
use super::{BACKUP, BACKUP_PATH, family, group, push_jobs, toggle};
use crate::support::Gateway;

#[test]
fn every_screen_shows_the_page_without_a_sideways_scroll() {
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    for _ in 0..3 {
        gateway.push(BACKUP_PATH, BACKUP);
    }
    push_jobs(&gateway, &["import_orders", "resize_images", "rotate_keys", "send_invoices"]);
    let long = "x".repeat(300);
    gateway.push(&format!("/metrics/job/z{long}/instance/{long}"), &format!("{long} 1e300\n"));
    gateway.refused("/metrics/job/send_invoices", "m 1\nm 2\n");
    for screen in [DESKTOP, DESKTOP_DARK, PHONE, PHONE_DARK] {
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/"));
        browser.picture("groups");
        let fits = |browser: &Browser| {
            let widths = browser.value("[document.documentElement.scrollWidth, innerWidth]");
            assert_eq!(widths[0], widths[1], "on a {}", screen.name);
        };
        fits(&browser);
        browser.click(&toggle(&group(r#"job="nightly_backup", instance="db1""#)));
        browser.wait_for_count(".family", 4);
        browser.click(&toggle(&family("backup_duration_seconds")));
        browser.wait_for_count(".picture", 1);
        fits(&browser);
        browser.run("document.querySelector('.group.open').scrollIntoView(); scrollBy(0, -60)");
        browser.picture("histogram");
        browser.click(&toggle(".group:last-child"));
        browser.wait_for_count(".family", 5);
        browser.click(&toggle(".group:last-child .family"));
        browser.wait_for_count(".values", 1);
        fits(&browser);

        let lightness = browser.value("getComputedStyle(document.documentElement).backgroundColor");
        let red: u16 =
            lightness.as_str().unwrap()["rgb(".len()..].split(',').next().unwrap().parse().unwrap();
        assert_eq!(red < 128, screen.is_dark, "{lightness} on a {}", screen.name);

        browser.run("scrollTo(0, 0)");
        browser.click("#to-status");
        browser.wait_for("document.documentElement.dataset.status === 'loaded'");
        assert_eq!(browser.value("scrollY"), 0);
        fits(&browser);
        browser.picture("status");
        browser.finish();
    }
}

#[test]
fn the_colours_that_were_chosen_are_remembered() {
    let gateway = Gateway::start(&[]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    let is_dark = "getComputedStyle(document.documentElement).colorScheme === 'dark'";
    for wanted in ["Light", "Dark"] {
        browser.click("#theme");
        assert_eq!(browser.text("#theme"), wanted);
    }
    browser.wait_for(is_dark);
    browser.reload();
    browser.wait_for(is_dark);
    browser.click("#theme");
    assert_eq!(browser.text("#theme"), "Auto");
    browser.finish();
}

#[test]
fn the_status_has_an_address_of_its_own() {
    let gateway = Gateway::start(&["--web.enable-lifecycle"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/status"));
    browser.wait_for("document.documentElement.dataset.status === 'loaded'");
    let rows = browser.texts("#status-view tr");
    assert!(rows.iter().any(|row| row == concat!("version\t", env!("CARGO_PKG_VERSION"))), "{rows:?}");
    assert!(rows[0].starts_with("Started\t20"), "{rows:?}");
    browser.click("#to-groups");
    browser.wait_for("document.querySelector('#groups-view').offsetParent");
    browser.back();
    browser.wait_for("document.querySelector('#status-view').offsetParent");
    browser.finish();
}

/// Opens a group, follows the links and deletes the group, whatever the URL of the page is.
fn works_at(gateway: &Gateway, url: &str, push_path: &str) {
    gateway.push(push_path, "# TYPE m gauge\nm 7\n");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(url);
    browser.wait_for_count(".group", 1);
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_text(".values", "7");
    browser.reload();
    browser.wait_for_text(".values", "7");
    let metrics = browser.value("document.querySelector('nav a:last-child').href");
    let status = browser.run(
        "const r = new XMLHttpRequest(); r.open('GET', document.querySelector('nav a:last-child').href, false);
         r.send(); return r.status",
    );
    assert_eq!(status, 200, "{metrics}");
    browser.click(".remove");
    browser.click("#confirm-delete");
    browser.wait_for_text("#state", "Nothing has been pushed yet");
    browser.finish();
}

#[test]
fn it_works_below_a_route_prefix() {
    let gateway = Gateway::start(&["--web.route-prefix=/push/gate"]);
    works_at(&gateway, &gateway.url("/push/gate/"), "/push/gate/metrics/job/a");
    works_at(&gateway, &gateway.url("/push/gate/status#view=groups"), "/push/gate/metrics/job/a");
}

#[test]
fn it_works_behind_a_proxy_that_takes_a_prefix_away() {
    // With an external URL, and without one, when all links are relative.
    for flags in [&["--web.external-url=http://proxy.test/ext", "--web.route-prefix=/"][..], &[]] {
        let gateway = Gateway::start(flags);
        let proxy = Proxy::start(gateway.addresses()[0], "/ext");
        works_at(&gateway, &proxy.url("/ext/"), "/metrics/job/a");
    }
}

#[test]
fn without_scripts_there_is_a_way_to_the_metrics() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.devtools("Emulation.setScriptExecutionDisabled", &serde_json::json!({"value": true}));
    browser.go(&gateway.url("/"));
    browser.devtools("Emulation.setScriptExecutionDisabled", &serde_json::json!({"value": false}));
    assert_eq!(browser.text("#totals"), "1 group, 1 series");
    assert!(browser.text("noscript").contains("./metrics"));
    assert!(browser.text("#status-view noscript").contains("web.enable-lifecycle\tfalse"));
    assert_eq!(browser.value("document.querySelector('#filter').offsetParent"), serde_json::Value::Null);
    assert_ne!(browser.value("document.querySelector('#status-view').offsetParent"), serde_json::Value::Null);
}
