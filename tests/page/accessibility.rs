//! axe-core finds no violation of the WCAG, levels A and AA, nor of its best practices, and the contrast is that of
//! level AAA. Screen readers get tables with headers.

use super::browser::{Browser, DESKTOP, DESKTOP_DARK, ESCAPE, PHONE, PHONE_DARK, Screen};
use super::{BACKUP, BACKUP_PATH, push_jobs, toggle};
use crate::programs;
use crate::support::Gateway;

const RULES: &str = "[[groups]]\nmatch = '{job=\"worker\"}'\n\
    relabel = [{ action = \"labeldrop\", regex = \"pod\" }]\n[[metrics]]\nmatch = 'queue_depth'\nmerge = \"sum\"\n";

/// Fails if axe finds something in what is shown.
#[track_caller]
fn check(browser: &Browser, axe: &str, what: &str) {
    if browser.value("!window.axe") == true {
        browser.run(axe);
    }
    let found = browser.run(
        "const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
         const told = (rule, node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`;
         const more = {'color-contrast-enhanced': {enabled: true}, 'label-content-name-mismatch': {enabled: true}};
         return axe.run(document, {resultTypes: ['violations'], runOnly: {type: 'tag', values: tags}, rules: more})
            .then(found => found.violations.flatMap(rule => rule.nodes.map(node => told(rule, node))))",
    );
    let found: Vec<&str> = found.as_array().unwrap().iter().filter_map(|one| one.as_str()).collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

fn filled() -> Gateway {
    let gateway = Gateway::start_with_config(RULES, &["--web.enable-admin-api"]);
    gateway.push(BACKUP_PATH, BACKUP);
    push_jobs(&gateway, &["a", "b"]);
    for pod in ["1", "2"] {
        let body = "# TYPE queue_depth gauge\nqueue_depth{queue=\"mail\"} 3\n";
        gateway.push(&format!("/metrics/job/worker/pod/{pod}"), body);
    }
    gateway.refused("/metrics/job/b", "# TYPE runs_total counter\nruns_total -1\n");
    gateway.refused("/metrics/job/new", "m\n");
    gateway
}

fn check_all(gateway: &Gateway, screen: Screen, axe: &str) -> Option<()> {
    let browser = Browser::start(screen)?;
    let check = |what: &str| check(&browser, axe, &format!("{what} on a {}", screen.name));
    browser.open(&gateway.url("/"));
    browser.wait_for("document.querySelectorAll('#health li').length === 2");
    check("list");
    browser.click("#filter");
    browser.press("nightly");
    browser.wait_for_count(".group", 1);
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 4);
    browser.run("document.querySelectorAll('.family .toggle').forEach(toggle => toggle.click())");
    browser
        .wait_for("document.querySelector('.picture') && document.querySelectorAll('.values').length === 2");
    check("open group");
    browser.click(".group .remove");
    browser.wait_for("document.querySelector('#confirm').open");
    check("dialog");
    browser.press(&ESCAPE.to_string());
    browser.run("document.querySelector('#show-keys').click()");
    check("keys");
    browser.press(&ESCAPE.to_string());
    browser.click("#filter");
    browser.run("document.querySelector('#filter').select()");
    browser.press("worker");
    browser.wait_for("document.querySelectorAll('.group').length === 1");
    browser.wait_for_text(".group .labels", "worker");
    browser.click(&toggle(".group"));
    browser.wait_for_text(".sources h3", "2 sources");
    browser.click(&toggle(".sources"));
    browser.wait_for_count(".sources tbody", 2);
    check("sources");
    browser.run("document.querySelector('#filter').select()");
    browser.press("nothing");
    browser.wait_for_text("#state", "None of");
    check("nothing found");
    browser.click("#to-status");
    browser.wait_for_count("#refusals li", 1);
    browser.wait_for_text(
        "#status-view [data-place='setting web.enable_admin_api']",
        "flag --web.enable-admin-api",
    );
    check("status");
    browser.click("#status-view details summary");
    browser.click("[data-place='limits.groups'] a");
    browser.wait_for("document.activeElement.dataset.place === 'setting limits.groups'");
    check("place in the status");
    browser.finish();
    Some(())
}

#[test]
fn axe_finds_nothing() {
    let Some(axe) = programs::axe() else { return };
    let gateway = filled();
    for screen in [DESKTOP, DESKTOP_DARK, PHONE, PHONE_DARK] {
        if check_all(&gateway, screen, &axe).is_none() {
            return;
        }
    }
}

#[test]
fn axe_finds_nothing_on_an_empty_page_and_one_that_failed() {
    let Some(axe) = programs::axe() else { return };
    let mut gateway = Gateway::start(&[]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.wait_for_text("#state", "Nothing has been pushed yet");
    check(&browser, &axe, "empty");
    gateway.kill();
    browser.click("#filter");
    browser.press("x");
    browser.wait_for_text("#problem", "The gateway does not answer.");
    check(&browser, &axe, "failed");
    browser.click("#to-status");
    browser.wait_for_text("#status-state", "The gateway does not answer");
    check(&browser, &axe, "failed status");
    browser.finish_with_failed_requests();
}

/// The names of all elements of this role, as screen readers get them.
fn named(browser: &Browser, role: &str) -> Vec<String> {
    let tree = browser.devtools("Accessibility.getFullAXTree", &serde_json::json!({}));
    let nodes = tree["nodes"].as_array().unwrap().iter();
    let shown = nodes.filter(|node| node["ignored"] == false && node["role"]["value"] == role);
    shown.map(|node| node["name"]["value"].as_str().unwrap_or_default().trim().to_owned()).collect()
}

#[test]
fn screen_readers_get_tables_with_headers() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    push_jobs(&gateway, &["a"]);
    for screen in [DESKTOP, PHONE] {
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/#sort=pushes&order=desc"));
        assert_eq!(named(&browser, "table"), ["Groups"]);
        assert_eq!(named(&browser, "columnheader"), ["Group", "Last push", "Pushes", "Series", "Delete"]);
        assert_eq!(browser.value("document.querySelector('[aria-sort]').innerText.trim()"), "Pushes");
        let backup = r#"job="nightly_backup" instance="db1""#;
        let mut headers = named(&browser, "rowheader");
        headers.sort();
        assert_eq!(headers, [r#"job="a""#, backup]);
        browser.click(&toggle(&super::group(r#"job="nightly_backup", instance="db1""#)));
        browser.wait_for_count(".family", 4);
        browser.click(&toggle(&super::family("backup_files_total")));
        browser.wait_for_count(".values tbody tr", 2);
        let tables = named(&browser, "table");
        assert_eq!(tables, ["Groups", "Series of backup_files_total"]);
        let headers = named(&browser, "rowheader");
        for wanted in [backup, r#"volume="home""#, r#"volume="srv""#] {
            assert!(headers.iter().any(|header| header.starts_with(wanted)), "no {wanted} in {headers:?}");
        }
        let headers = named(&browser, "columnheader");
        assert_eq!(headers[5..], ["Labels", "Value", "Copy"]);
        browser.finish();
    }
}
