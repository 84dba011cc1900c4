//! A refresh changes only what has changed.

use serde_json::{Value, json};

use super::browser::{Browser, DESKTOP};
use super::proxy::Proxy;
use super::{group, push_jobs, toggle};
use crate::support::Gateway;

/// What a reader could lose: the scroll position, the focus, the selection.
fn place(browser: &Browser, row: &str) -> Value {
    json!({
        "top": browser.value(&format!("Math.round(document.querySelector(`{row}`).getBoundingClientRect().top)")),
        "focus": browser.value("document.activeElement.getAttribute('aria-labelledby')"),
        "selection": browser.value("String(getSelection())"),
        "open": browser.value("document.querySelectorAll('.open').length"),
    })
}

#[test]
fn a_push_appears_without_a_loss_of_place() {
    let gateway = Gateway::start(&[]);
    let jobs: Vec<String> = (0..80).map(|n| format!("m{n:02}")).collect();
    push_jobs(&gateway, &jobs.iter().map(String::as_str).collect::<Vec<_>>());
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    let row = group(r#"job="m30""#);
    browser.click(&toggle(&row));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_text(".values", "30");
    browser.run(&format!(
        "document.querySelector('.family .toggle').focus();
         getSelection().selectAllChildren(document.querySelector(`{row} .labels`));"
    ));
    let before = place(&browser, &row);
    assert_eq!(before["selection"], "job=\"m30\"");
    // Groups before it and the group itself change: the list grows above it, and its value changes.
    push_jobs(&gateway, &["a1", "a2", "a3"]);
    gateway.push("/metrics/job/m30", "# TYPE runs_total counter\nruns_total 5\n");
    browser.wait_for_text(".values", "35");
    browser.wait_for_text("#totals", "83 groups");
    assert_eq!(place(&browser, &row), before);
    assert_eq!(browser.text(&format!("{row} .row .pushes")), "2");

    // A group that was deleted elsewhere disappears, and the others stay.
    for job in ["a1", "a2", "m10"] {
        gateway.delete(&format!("/metrics/job/{job}"));
    }
    browser.wait_for_text("#totals", "80 groups");
    assert_eq!(place(&browser, &row), before);
    browser.finish();
}

/// A group that is open stays open when the filter or the order changes, as long as the new list has it.
#[test]
fn what_is_open_stays_open_while_the_filter_and_the_order_show_it() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["import_orders", "import_stock", "report"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(&group(r#"job="import_stock""#)));
    browser.wait_for_count(".group.open .family", 1);
    let is_shown = |words: &str, open: u64| {
        browser.wait_for(&format!(
            "(a => '{words}' === `${{a.get('q')}} ${{a.get('sort')}} ${{a.getAll('open').length}}`)
             (new URLSearchParams(location.hash.slice(1)))
             && document.querySelector('#groups').ariaBusy === 'false'"
        ));
        assert_eq!(browser.count(".group.open"), open, "{words}");
    };
    browser.press("/import");
    is_shown("import null 1", 1);
    browser.click("[data-sort=pushed]");
    is_shown("import pushed 1", 1);
    browser.run("document.querySelector('#filter').select()");
    browser.press("report");
    is_shown("report pushed 0", 0);
    browser.finish();
}

/// It is asked for before the script of the page is there, which then must not ask again.
#[test]
fn the_first_groups_are_asked_for_once() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    // Nothing is asked for unasked.
    browser.run("localStorage.setItem('tallygate-live', 'off')");
    let asked =
        "performance.getEntriesByType('resource').filter(e => e.name.includes('api/v1/groups')).length";
    for (address, groups) in [("/", 2), ("/#q=job%3Db&sort=size&order=desc", 1), ("/#view=status", 2)] {
        browser.go("about:blank");
        browser.open(&gateway.url(address));
        browser.wait_for_count(".group", groups);
        assert_eq!(browser.value(asked), 1, "{address}");
    }
    browser.finish();
}

#[test]
fn a_row_that_moves_keeps_the_focus() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b", "c"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/#sort=pushed&order=desc"));
    let row = group(r#"job="a""#);
    browser.run(&format!("document.querySelector(`{}`).focus()", toggle(&row)));
    let focus = browser.value("document.activeElement.getAttribute('aria-labelledby')");
    push_jobs(&gateway, &["a"]);
    browser.press("r");
    browser.wait_for("document.querySelector('.group .labels').innerText.includes('\"a\"')");
    assert_eq!(browser.value("document.activeElement.getAttribute('aria-labelledby')"), focus);
    browser.finish();
}

#[test]
fn what_is_not_live_waits_for_the_user() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click("#live");
    browser.reload();
    assert_eq!(browser.value("document.querySelector('#live').ariaPressed"), "false");
    push_jobs(&gateway, &["b"]);
    assert_eq!(browser.text("#totals"), "1 group, 1 series");
    browser.press("r");
    browser.wait_for_text("#totals", "2 groups, 2 series");
    browser.finish();
}

#[test]
fn an_open_group_that_somebody_deletes_says_so() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(&group(r#"job="a""#)));
    browser.wait_for_count(".family", 1);
    gateway.delete("/metrics/job/a");
    browser.press("r");
    browser.wait_for_text(".group.gone", "This group is gone");
    assert_eq!(browser.text("#totals"), "1 group, 1 series");
    browser.finish_with_failed_requests();
}

#[test]
fn a_gateway_that_does_not_answer_is_asked_again() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b"]);
    let proxy = Proxy::start(gateway.addresses()[0], "");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&proxy.url("/"));
    browser.wait_for_count(".group", 2);
    proxy.cut(true);
    browser.wait_for_text("#problem", "The gateway does not answer.");
    browser.picture("no-answer");
    assert_eq!(browser.count(".group"), 2, "what was loaded stays");
    proxy.cut(false);
    push_jobs(&gateway, &["c"]);
    browser.wait_for_count(".group", 3);
    browser.wait_for("document.querySelector('#problem').hidden");
    browser.finish_with_failed_requests();
}
