//! Whole tasks of a user: with the mouse, with the keyboard alone, enlarged, and on a phone.

use serde_json::Value;

use super::browser::{Browser, DESKTOP, DOWN, ENTER, NARROW, PHONE, RIGHT, TAB, ZOOMED};
use super::copying::{allow_clipboard, button, copied, copied_by};
use super::{BACKUP, BACKUP_PATH, family, push_jobs, toggle};
use crate::programs::{self, ask_until};
use crate::scraper::{Prometheus, number};
use crate::support::Gateway;

/// A number as the page shows it.
#[track_caller]
fn read(shown: &str) -> f64 {
    shown.replace(',', "").parse().unwrap_or_else(|_| panic!("{shown:?} is no number"))
}

/// The value that the page shows for the only series of a family.
fn value_of(browser: &Browser, name: &str) -> f64 {
    read(&browser.text(&format!("{} .values td:nth-of-type(1) > span", family(name))))
}

/// What Prometheus answers to an expression once it has scraped the gateway.
#[track_caller]
fn asked(prometheus: &Prometheus, expression: &str) -> f64 {
    ask_until(expression, || prometheus.value(expression))
}

/// A gateway with the nightly backup beside other jobs, a Prometheus that scrapes it, and a browser that may copy. `None`
/// if there is no such program.
fn beside_others() -> Option<(Gateway, Prometheus, Browser)> {
    let program = programs::prometheus()?;
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    push_jobs(&gateway, &["other", "others"]);
    let prometheus = Prometheus::start(&program, &gateway);
    let browser = Browser::start(DESKTOP)?;
    allow_clipboard(&browser);
    Some((gateway, prometheus, browser))
}

#[test]
fn what_is_copied_gives_prometheus_the_values_that_are_shown() {
    let Some((gateway, prometheus, browser)) = beside_others() else { return };
    browser.open(&gateway.url("/#q=nightly"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 4);
    browser.run("document.querySelectorAll('.family .toggle').forEach(toggle => toggle.click())");
    browser.wait_for_count(".values", 2);
    browser.wait_for_count(".picture", 1);

    let query = copied(&browser, &format!("{} td .copy", family("backup_lag_seconds")));
    assert_eq!(asked(&prometheus, &query), value_of(&browser, "backup_lag_seconds"));

    // The selector of the group gives all its series, and this one among them.
    let selector = copied(&browser, &button(1));
    let found = prometheus.query(&selector, None).unwrap();
    let is_srv = |one: &&Value| one["metric"]["volume"] == "srv";
    let srv = found.as_array().unwrap().iter().find(is_srv).expect("a series");
    let shown = browser.texts(&format!("{} .values tbody td:nth-of-type(1)", family("backup_files_total")));
    assert_eq!((&*shown[1], number(&srv["value"][1])), ("43,817", read(&shown[1])));

    // The query for a histogram is its rate, of which one takes quantiles. These are of all observations.
    let query = copied(&browser, &format!("{} .card .copy", family("backup_duration_seconds")));
    let selector = query.strip_prefix("rate(").unwrap().strip_suffix("[5m])").unwrap();
    let facts = format!("{} .facts > div", family("backup_duration_seconds"));
    let facts = browser.texts(&facts);
    for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let fact = facts.iter().find_map(|fact| fact.strip_prefix(name)).expect("a quantile");
        let real = asked(&prometheus, &format!("histogram_quantile({q}, {selector})"));
        assert!((read(fact.trim()) / real - 1.0).abs() < 1e-4, "{name}: {fact} instead of {real}");
    }
    browser.finish();
}

#[test]
fn a_query_is_found_and_copied_with_the_keyboard_alone() {
    let Some((gateway, prometheus, browser)) = beside_others() else { return };
    browser.open(&gateway.url("/"));
    browser.press("/nightly");
    browser.wait_for_count(".group", 1);
    browser.press(&format!("{DOWN}{ENTER}"));
    browser.wait_for_count(".family", 4);
    browser.press(&format!("{DOWN}{DOWN}{DOWN}{DOWN}{RIGHT}"));
    browser.wait_for_count(".values", 1);
    let name = "document.activeElement.getAttribute('aria-label')";
    let mut seen = Vec::new();
    while !seen
        .last()
        .is_some_and(|name: &String| name.starts_with("Copy: copy a query for backup_lag_seconds"))
    {
        browser.press(&TAB.to_string());
        seen.push(browser.value(name).as_str().unwrap_or_default().to_owned());
        assert!(seen.len() < 20, "{seen:?}");
    }
    let query = copied_by(&browser, || browser.press(&ENTER.to_string()));
    assert_eq!(query, r#"backup_lag_seconds{job="nightly_backup", instance="db1"}"#);
    assert_eq!(asked(&prometheus, &query), value_of(&browser, "backup_lag_seconds"));
    // The name of a button begins with what it shows, also right after.
    let starts = "[...document.querySelectorAll('.copy')].every(e => e.ariaLabel.startsWith(e.innerText))";
    assert_eq!(browser.value(starts), true);
    browser.finish();
}

/// Whether an element is on the screen, from its left to its right edge, and nothing lies over it.
fn is_seen(browser: &Browser, selector: &str) -> bool {
    let script = format!(
        "const e = document.querySelector({}); e.scrollIntoView({{block: 'center'}});
         const box = e.getBoundingClientRect();
         const top = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
         return box.width > 0 && box.left >= 0 && box.right <= innerWidth && (e.contains(top) || top.contains(e))",
        serde_json::json!(selector)
    );
    browser.run(&script) == true
}

/// The success criteria 1.4.4 and 1.4.10 of WCAG: at 200 % and on a narrow screen nothing is lost.
#[test]
fn the_nightly_push_is_found_when_all_is_large_or_the_screen_is_small() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    let jobs: Vec<String> = (0..60).map(|n| format!("job{n:02}")).collect();
    push_jobs(&gateway, &jobs.iter().map(String::as_str).collect::<Vec<_>>());
    for screen in [ZOOMED, PHONE, NARROW] {
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/"));
        for control in [
            "#filter",
            "#live",
            "#theme",
            "#to-groups",
            "#to-status",
            "[data-sort=size]",
            ".group .remove",
            ".group .pushes",
        ] {
            assert!(is_seen(&browser, control), "{control} on a {}", screen.name);
        }
        browser.click("#filter");
        browser.press("nightly");
        browser.wait_for_count(".group", 1);
        browser.click(&toggle(".group"));
        browser.wait_for_count(".family", 4);
        for name in ["backup_files_total", "backup_duration_seconds"] {
            browser.click(&toggle(&family(name)));
        }
        browser.wait_for_text(".values", "43,817");
        browser.wait_for_count(".picture", 1);
        for part in [
            ".values tbody tr:last-child td:nth-of-type(1) > span",
            ".values tbody tr:last-child .copy",
            ".values .start",
            ".facts > div:last-child dd",
            ".picture svg",
            ".card summary",
            ".copies button:last-child",
        ] {
            assert!(is_seen(&browser, part), "{part} on a {}", screen.name);
        }
        let widths = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(widths[0], widths[1], "on a {}", screen.name);
        browser.run("document.querySelector('.group').scrollIntoView()");
        browser.picture("nightly");
        browser.finish();
    }
}
