//! What the page shows, finds, sorts and opens.

use super::browser::{Browser, DESKTOP, ESCAPE};
use super::{BACKUP, BACKUP_PATH, family, group, push_jobs, toggle};
use crate::support::protobuf::{CONTENT_TYPE, HISTOGRAM, Histogram, Native};
use crate::support::{Gateway, encode_request};

const BACKUP_LABELS: &str = r#"job="nightly_backup", instance="db1""#;

#[test]
fn an_empty_gateway_says_how_to_push() {
    let gateway = Gateway::start(&[]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    assert_eq!(browser.value("document.title === `${location.host} – Tallygate`"), true);
    assert_eq!(browser.text("#totals"), "0 groups, 0 series");
    let said = browser.text("#state");
    assert!(said.contains("Nothing has been pushed yet") && said.contains("/metrics/job/"), "{said}");
    browser.finish();
}

#[test]
fn a_group_shows_its_families_and_their_values() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    gateway.push(BACKUP_PATH, BACKUP);
    gateway.refused("/metrics/job/broken", "m 1\nm 2\n");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    assert_eq!(browser.text("#totals"), "2 groups, 5 series");
    assert_eq!(browser.text(&format!("{} .failed", group(r#"job="broken""#))), "Last push failed");
    let backup = group(BACKUP_LABELS);
    assert_eq!(browser.text(&format!("{backup} .labels")).trim(), r#"job="nightly_backup" instance="db1""#);
    assert_eq!(browser.text(&format!("{backup} .row .pushes")), "2");
    assert_eq!(browser.text(&format!("{backup} .row .size")), "5");
    assert_eq!(browser.count(&format!("{backup} .failed:not([hidden])")), 0);

    browser.click(&toggle(&backup));
    browser.wait_for_count(".family", 4);
    let names = browser.texts(".family h3 > span:first-child");
    assert_eq!(
        names,
        ["backup_chunk_bytes", "backup_duration_seconds", "backup_files_total", "backup_lag_seconds"]
    );
    assert_eq!(browser.texts(".family .type"), ["summary", "histogram", "counter", "gauge"]);
    assert_eq!(browser.text(".family .help"), "Sizes of the chunks that were written.");
    for name in &names {
        browser.click(&toggle(&family(name)));
    }
    browser.wait_for_text(&family("backup_files_total"), r#"volume="srv""#);
    let rows = format!("{} .values tbody tr", family("backup_files_total"));
    assert_eq!(browser.texts(&format!("{rows} .labels")), ["volume=\"home\"", "volume=\"srv\""]);
    assert_eq!(browser.texts(&format!("{rows} td:nth-of-type(1)")), ["2,500", "87,634"]);
    browser.wait_for_text(&family("backup_lag_seconds"), "0.00000015");
    let summary = family("backup_chunk_bytes");
    browser.wait_for_text(&summary, "1,048,576");
    assert_eq!(browser.texts(&format!("{summary} dd")), ["183,648", "19,000,000,000", "103,459"]);

    let histogram = family("backup_duration_seconds");
    browser.wait_for_count(&format!("{histogram} .picture svg"), 1);
    let bars = browser.value(&format!(
        "[...document.querySelectorAll(`{histogram} .bar`)].map(e => Math.round(e.getAttribute('height')))"
    ));
    // Shares of the population of each bucket: 3, 16, 45, 56, 21, 8 and 1.
    assert_eq!(bars, serde_json::json!([5, 29, 80, 100, 38, 14, 2]));
    assert_eq!(
        browser
            .value(&format!("document.querySelector(`{histogram} .picture svg`).getAttribute('aria-label')")),
        "Histogram of 7 buckets; the fullest, 10 to 30, has 112 of 300 (37.3 %)"
    );
    browser.click(&format!("{histogram} summary"));
    assert_eq!(browser.texts(&format!("{histogram} tbody tr"))[2], "10\t128\t90\t30 %");
    browser.picture("group");
    browser.finish();
}

#[test]
fn native_histograms_are_drawn() {
    let gateway = Gateway::start(&[]);
    let native = Native {
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 2.0,
        negative: vec![(1, 3.0)],
        positive: vec![(0, 1.0), (1, 4.0), (2, 8.0), (6, 2.0)],
    };
    let body = Histogram::native(40.0, native).body(HISTOGRAM);
    let answer = gateway.request("POST", "/metrics/job/native", &[("Content-Type", CONTENT_TYPE)], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(&group(r#"job="native""#)));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_count(".picture .bar", 6);
    let places = browser.value("[...document.querySelectorAll('.whole')].map(e => Math.round(e.getAttribute('x') / e.getAttribute('width')))");
    // There are ten powers of two from -1 to -0.001, nine from 0.001 to 0.5, and three from 4 to 32.
    assert_eq!(places, serde_json::json!([0, 11, 21, 22, 23, 27]));
    let label = browser.value("document.querySelector('.picture svg').getAttribute('aria-label')");
    assert_eq!(label, "Histogram of 6 buckets; the fullest, 2 to 4, has 8 of 20 (40 %)");
    browser.click(".card summary");
    assert_eq!(browser.texts(".card tbody tr")[3], "1\t2\t4\t20 %");
    browser.picture("native");
    browser.finish();
}

#[test]
fn text_of_a_push_never_becomes_markup() {
    let gateway = Gateway::start(&[]);
    let markup = "<img src=x onerror=alert(1)>";
    gateway.push(
        "/metrics/job/%3Cimg%20src=x%20onerror=alert(1)%3E/instance/%3Cscript%3Ealert(2)%3C%2Fscript%3E",
        &format!("# HELP m <b>bold</b> {markup}\n# TYPE m gauge\nm{{x=\"{markup}\\\"'&amp;\"}} 1\n"),
    );
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_count(".family tbody tr", 1);
    assert_eq!(browser.text(".family .help"), format!("<b>bold</b> {markup}"));
    assert!(browser.text(".group .labels").contains(&format!("job=\"{markup}\"")));
    assert!(browser.text(".group .labels").contains("instance=\"<script>alert(2)</script>\""));
    assert!(browser.text(".family [scope=row]").contains(&format!("x=\"{markup}\\\"'&amp;\"")));
    browser.click(".remove");
    assert!(browser.text("#confirm-question").contains(markup));
    assert_eq!(browser.count("main img, dialog img, main script, main b"), 0);
    browser.finish();
}

#[test]
fn the_filter_finds_labels_families_and_text() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    push_jobs(&gateway, &["import_orders", "import_stock", "report"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.wait_for_count(".group", 4);
    browser.press("/");
    for (words, found) in [
        ("import", 2),
        ("IMPORT orders", 1),
        ("job=import", 2),
        ("job=orders", 0),
        ("family:chunk", 1),
        ("instance=db", 1),
    ] {
        browser.run("document.querySelector('#filter').select()");
        browser.press(words);
        browser.wait_for(&format!(
            "new URLSearchParams(location.hash.slice(1)).get('q') === '{words}'
             && document.querySelector('#groups').ariaBusy === 'false'"
        ));
        assert_eq!(browser.count(".group"), found, "{words}");
        assert!(browser.text("#totals").starts_with(&format!("{found} of 4 groups")), "{words}");
    }
    browser.press(&ESCAPE.to_string());
    browser.wait_for_count(".group", 4);
    assert_eq!(browser.text("#totals"), "4 groups, 8 series");

    browser.press("nothing has this");
    browser.wait_for_text("#state", "None of 4 groups matches this filter.");
    browser.picture("no-match");
    // Everything that was typed in one go is one step in the history.
    browser.back();
    browser.wait_for_count(".group", 4);
    browser.finish();
}

#[test]
fn groups_are_sorted_by_what_one_looks_for() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b", "c", "b", "b", "a"]);
    gateway.push("/metrics/job/c", "# TYPE m gauge\nm{x=\"1\"} 1\nm{x=\"2\"} 1\n");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    let order = |browser: &Browser, jobs: &str| {
        let condition =
            "[...document.querySelectorAll('.group .labels .value')].map(e => e.innerText[1]).join('')";
        browser.wait_for(&format!("{condition} === '{jobs}'"));
    };
    browser.open(&gateway.url("/"));
    order(&browser, "abc");
    for (sort, first, second) in
        [("pushed", "cab", "bac"), ("pushes", "bac", "cab"), ("size", "cab", "abc"), ("name", "abc", "cba")]
    {
        let button = format!("[data-sort={sort}]");
        browser.click(&button);
        browser.wait_for(&format!("document.querySelector('{button}').parentNode.ariaSort"));
        if sort != "pushes" {
            order(&browser, first);
            browser.click(&button);
            order(&browser, second);
        }
    }
    let address = browser.value("location.href");
    let address = address.as_str().unwrap();
    assert!(address.ends_with("#order=desc"), "{address}");
    browser.back();
    order(&browser, "abc");
    browser.finish();
}

#[test]
fn an_address_opens_what_it_was_copied_from() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    let jobs: Vec<String> = (0..120).map(|n| format!("a{n:03}/instance/a")).collect();
    push_jobs(&gateway, &jobs.iter().map(String::as_str).collect::<Vec<_>>());
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/#q=backup"));
    let backup = group(BACKUP_LABELS);
    browser.click(&toggle(&backup));
    browser.wait_for_count(".family", 4);
    browser.click(&toggle(&family("backup_files_total")));
    browser.wait_for_text(&family("backup_files_total"), "43,817");
    let address = browser.value("location.href").as_str().unwrap().to_owned();

    // The back button closes one row after the other.
    browser.back();
    browser.wait_for("document.querySelectorAll('.family.open').length === 0");
    browser.back();
    browser.wait_for("document.querySelectorAll('.group.open').length === 0");

    browser.go("about:blank");
    browser.open(&address);
    browser.wait_for_text(&family("backup_files_total"), "43,817");
    assert_eq!(browser.value("document.querySelector('#filter').value"), "backup");

    // Without the filter the group is not on the first page, but is shown nevertheless.
    browser.go("about:blank");
    browser.open(&address.replace("q=backup&", ""));
    browser.wait_for_text(&family("backup_files_total"), "43,817");
    browser.wait_for(&format!(
        "(box => box.top >= 0 && box.top < innerHeight)(document.querySelector(`{backup}`).getBoundingClientRect())"
    ));

    gateway.delete(BACKUP_PATH);
    browser.go("about:blank");
    browser.go(&address);
    browser.wait_for_text("#gone", "gone");
    let gone = browser.messages();
    assert!(gone.iter().all(|message| message.contains("404")), "{gone:?}");
    browser.finish();
}

#[test]
fn what_a_series_grew_by_is_told() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 4);
    for name in ["backup_files_total", "backup_duration_seconds"] {
        browser.click(&toggle(&family(name)));
    }
    browser.wait_for_text(".values", "43,817");
    browser.wait_for_text(".card", "2,841.5");
    assert!(!browser.text(".values").contains("since"));
    gateway.push(BACKUP_PATH, BACKUP);
    browser.wait_for_text(".values", "+43,817 since you opened it");
    browser.wait_for_text(".card", "+150 observations since you opened it");
    browser.finish();
}

#[test]
fn ten_thousand_groups_stay_usable() {
    let gateway = Gateway::start(&[]);
    let mut connection = gateway.connect();
    for block in 0..100 {
        let mut requests = Vec::new();
        for n in block * 100..(block + 1) * 100 {
            let path = format!("/metrics/job/job{n:05}/instance/i");
            let body = format!("# TYPE runs_total counter\nruns_total {n}\n");
            requests.extend(encode_request("POST", &path, &[], body.as_bytes()));
        }
        connection.send(&requests).unwrap();
        for _ in 0..100 {
            assert_eq!(connection.read_response("POST").unwrap().status, 200);
        }
    }
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    assert_eq!(browser.text("#totals"), "10,000 groups, 10,000 series");
    assert!(browser.count(".group") <= 50, "only what is shown is asked for");
    // Scrolling down loads more.
    for wanted in [100, 150] {
        browser.run("scrollTo(0, document.body.scrollHeight)");
        browser.wait_for(&format!("document.querySelectorAll('.group').length >= {wanted}"));
    }
    browser.press("/job09998");
    browser.wait_for_text("#totals", "1 of 10,000 groups");
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_text(".values", "9,998");
    browser.press(&ESCAPE.to_string());
    browser.finish();
}

#[test]
fn many_series_come_page_by_page() {
    let gateway = Gateway::start(&[]);
    let body: String = (0..250).map(|n| format!("m{{n=\"{n:03}\"}} {n}\n")).collect();
    gateway.push("/metrics/job/wide", &format!("# TYPE m gauge\n{body}"));
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(".family", 1);
    browser.click(&toggle(".family"));
    browser.wait_for_count(".values tbody tr", 100);
    browser.click(".family-body > button");
    browser.wait_for_count(".values tbody tr", 200);
    browser.click(".family-body > button");
    browser.wait_for_count(".values tbody tr", 250);
    browser.click(".narrow input");
    browser.press("24");
    browser.wait_for_count(".values tbody tr", 13);
    browser.finish();
}
