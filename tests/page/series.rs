//! What an open series tells beside its value: how it changed, when it began, its quantiles and exemplars.

use super::browser::{Browser, DESKTOP, PHONE};
use super::{BACKUP, BACKUP_PATH, family, toggle};
use crate::support::Gateway;

const OPENMETRICS: [(&str, &str); 1] = [("Content-Type", "application/openmetrics-text; version=1.0.0")];

#[test]
fn refreshes_draw_a_line_of_limited_length() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 4);
    for name in ["backup_files_total", "backup_duration_seconds", "backup_lag_seconds"] {
        browser.click(&toggle(&family(name)));
    }
    browser.wait_for_count(".values", 2);
    browser.wait_for_count(".card", 1);
    assert_eq!(browser.count(".sparkline:not([hidden])"), 0, "nothing has changed yet");
    gateway.push(BACKUP_PATH, BACKUP);
    browser.press("r");
    let srv = format!("{} tbody tr:last-child .sparkline", family("backup_files_total"));
    let line = |of: &str| format!("document.querySelector(\"{of}\").getAttribute('aria-label')");
    browser.wait_for(&format!("{}.includes('from 43,817 to 87,634, lowest 43,817')", line(&srv)));
    browser.wait_for(&format!("{}.includes('from 150 to 300')", line(".card .sparkline")));
    assert_eq!(browser.count(&format!("{} .sparkline:not([hidden])", family("backup_lag_seconds"))), 0);
    // A fall is drawn as a fall, and a latest value has a line too.
    let reset = BACKUP.replace("43817", "100").replace("1.5e-7", "-2");
    assert_eq!(gateway.put(BACKUP_PATH, &reset).status, 200);
    browser.press("r");
    browser.wait_for(&format!("{}.includes('from 43,817 to 100, lowest 100, highest 87,634')", line(&srv)));
    browser
        .wait_for_text(&format!("{} .values", family("backup_files_total")), "-43,717 since you opened it");
    browser.wait_for_text(&format!("{} .values", family("backup_lag_seconds")), "-2.00000015 since");
    browser.picture("sparkline");

    // There are never more than sixty points.
    let points = format!("document.querySelector(\"{srv} path\").getAttribute('d').split(/[ML]/).length - 1");
    while browser.value(&points).as_u64().unwrap() < 60 {
        let before = browser.value(&line(&srv));
        browser.press("r");
        browser.wait_for(&format!("{} !== {before}", line(&srv)));
    }
    browser.wait_for(&format!("{}.startsWith('The last 60 refreshes')", line(&srv)));
    for _ in 0..3 {
        browser.press("r");
    }
    assert_eq!(browser.value(&points), 60);
    browser.finish();
}

#[test]
fn a_histogram_shows_its_quantiles_and_a_count_axis() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    gateway.push(
        "/metrics/job/one",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0\n",
    );
    for screen in [DESKTOP, PHONE] {
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/#q=nightly"));
        browser.click(&toggle(".group"));
        browser.wait_for_count(".family", 4);
        browser.click(&toggle(&family("backup_duration_seconds")));
        browser.wait_for_count(".picture", 1);
        // 75 of 150 are 11 into the 56 of the bucket from 10 to 30, 135 are 15 into the 21 from 30 to 60, and 148.5 are
        // 7.5 into the 8 from 60 to 300.
        let facts = browser.texts(".facts > div");
        let facts: Vec<String> = facts.iter().map(|fact| fact.replace('\n', " ")).collect();
        assert_eq!(
            facts,
            ["Count 150", "Sum 2,841.5", "Mean 18.9433", "p50 13.929", "p90 51.429", "p99 285"]
        );
        assert_eq!(browser.texts(".counts span"), ["0", "20", "40"]);
        // Every text of the axes stands within the card.
        let is_within = "(card => [...document.querySelectorAll('.axis span, .counts span')].every(e => {
            const box = e.getBoundingClientRect();
            return box.left >= card.left && box.right <= card.right && box.bottom <= card.bottom && box.top >= card.top;
        }))(document.querySelector('.card').getBoundingClientRect())";
        assert_eq!(browser.value(is_within), true, "on a {}", screen.name);
        browser.open(&gateway.url("/#q=one"));
        browser.reload();
        browser.click(&toggle(".group"));
        browser.wait_for_count(".family", 1);
        browser.click(&toggle(".family"));
        browser.wait_for_count(".picture", 1);
        assert_eq!(browser.texts(".facts dd"), ["0", "0", "–", "–", "–", "–"]);
        browser.finish();
    }
}

#[test]
fn the_start_and_the_exemplars_of_a_series_are_shown_whatever_they_are_named() {
    let gateway = Gateway::start(&["--push.enable-utf8-names"]);
    let markup = "<img src=x onerror=alert(1)>";
    let body = format!(
        "# TYPE c counter\nc_total 2 # {{trace_id=\"{markup}\",\"<b>\"=\"\u{202e}x\"}} 12345.5 1700000000\nc_created 1700000000\n# TYPE h histogram\n\
         h_bucket{{le=\"1\"}} 1 # {{}} 0.5 1700000000\nh_bucket{{le=\"+Inf\"}} 2 # {{trace_id=\"t2\"}} 7 1700000001\nh_sum 7.5\nh_count 2\n# EOF\n"
    );
    let answer = gateway.request("POST", "/metrics/job/a", &OPENMETRICS, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 2);
    for name in ["c_total", "h"] {
        browser.click(&toggle(&family(name)));
    }
    browser.wait_for_count(".exemplars", 2);
    browser.wait_for_count(".picture", 1);
    assert!(browser.text(&format!("{} [scope=row]", family("c_total"))).contains("started "));
    assert_eq!(browser.texts(".exemplars > summary"), ["1 exemplar", "2 exemplars"]);
    browser.run("document.querySelectorAll('.exemplars').forEach(details => details.open = true)");
    let row = browser.text(&format!("{} .exemplars tbody tr", family("c_total")));
    assert!(row.contains(&format!("trace_id=\"{markup}\"")) && row.contains("12,345.5"), "{row}");
    assert!(row.contains(r#""<b>"="\u202ex""#) && row.contains("2023-11-1"), "{row}");
    let rows = browser.texts(&format!("{} .exemplars tbody tr", family("h")));
    assert!(rows[0].contains("t2") && rows[1].starts_with("no labels"), "{rows:?}");
    assert_eq!(browser.count("main img, main b, main script"), 0);
    // What is open stays open while another value comes.
    let answer = gateway.request("POST", "/metrics/job/a", &OPENMETRICS, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    browser.press("r");
    browser.wait_for_text(".values", "+2 since you opened it");
    assert_eq!(browser.count(".exemplars[open]"), 2);
    browser.picture("exemplars");
    browser.finish();
}
