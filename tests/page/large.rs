//! Very many series: the page asks for what it shows, and shows what fits.

use std::fmt::Write as _;

use super::browser::{Browser, DESKTOP};
use super::toggle;
use crate::support::{Gateway, encode_request};

const SERIES: usize = 200_000;

/// The most elements that the page may have, and the most bytes that it may load. A store of a hundred series needs
/// about half.
const MOST_ELEMENTS: u64 = 6000;
const MOST_BYTES: u64 = 150_000;

#[track_caller]
fn is_bounded(browser: &Browser) {
    let elements = browser.count("*");
    assert!(elements < MOST_ELEMENTS, "{elements} elements");
    let bytes = browser.value(
        "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
         .reduce((sum, entry) => sum + entry.transferSize, 0)",
    );
    let bytes = bytes.as_f64().unwrap();
    assert!(bytes > 10_000.0 && bytes < MOST_BYTES as f64, "{bytes} bytes");
}

/// `count` counters `m` in the format of a push.
fn counters(count: usize) -> String {
    let mut body = String::from("# TYPE m counter\n");
    for n in 0..count {
        let _ = writeln!(body, "m{{n=\"{n:06}\"}} {n}");
    }
    body
}

#[test]
fn a_group_with_very_many_series_stays_usable() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/wide", &counters(SERIES));
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    assert_eq!(browser.text("#totals"), "1 group, 200,000 series");
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_count(".values tbody tr", 100);
    is_bounded(&browser);
    browser.click(".narrow input");
    browser.press("123456");
    browser.wait_for_count(".values tbody tr", 1);
    browser.wait_for_text(".values tbody tr", "123,456");
    is_bounded(&browser);
    browser.finish();
}

#[test]
fn very_many_series_in_many_groups_stay_usable() {
    const GROUPS: usize = 2000;
    let gateway = Gateway::start(&[]);
    let body = counters(SERIES / GROUPS);
    let mut connection = gateway.connect();
    for block in 0..20 {
        let groups = block * GROUPS / 20..(block + 1) * GROUPS / 20;
        let requests: Vec<u8> = groups
            .clone()
            .flat_map(|n| encode_request("POST", &format!("/metrics/job/job{n:04}"), &[], body.as_bytes()))
            .collect();
        connection.send(&requests).unwrap();
        for _ in groups {
            assert_eq!(connection.read_response("POST").unwrap().status, 200);
        }
    }
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/#sort=size&order=desc"));
    assert_eq!(browser.text("#totals"), "2,000 groups, 200,000 series");
    is_bounded(&browser);
    browser.press("/job1234");
    browser.wait_for_text("#totals", "1 of 2,000 groups, 100 of 200,000 series");
    assert_eq!(browser.value("document.title.startsWith('(1 group) job1234 – ')"), true);
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_count(".values tbody tr", 100);
    is_bounded(&browser);
    browser.finish();
}
