//! Unusual names, values and URLs.

use super::browser::{Browser, DESKTOP};
use super::{family, push_jobs, toggle};
use crate::support::Gateway;

/// Opens the only group, and the family of this name in it.
fn open_family(browser: &Browser, name: &str) {
    browser.click(&toggle(".group"));
    browser.wait_for("document.querySelector('.family')");
    browser.click(&toggle(&family(name)));
}

#[test]
fn names_that_mean_something_to_scripts_are_names() {
    let gateway = Gateway::start(&["--push.enable-utf8-names"]);
    let text = "# TYPE constructor gauge\nconstructor{toString=\"__proto__\",valueOf=\"toString\"} 1\n\
                # TYPE __proto__ gauge\n__proto__ 2\n\
                # TYPE hasOwnProperty gauge\nhasOwnProperty{\"say \\\"🦀\\\"\"=\"👩\u{200d}💻\"} 3\n\
                # TYPE unseen gauge\nunseen{a=\"x\u{202e}y\u{200b}\",b=\"1\\n2\t3\"} 4\n";
    gateway.push("/metrics/job/__proto__/constructor/prototype", text);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    assert_eq!(browser.text(".group .labels").trim(), r#"job="__proto__" constructor="prototype""#);
    open_family(&browser, "constructor");
    browser.wait_for_text(&family("constructor"), r#"toString="__proto__" valueOf="toString""#);
    browser.click(&toggle(&family("__proto__")));
    browser.wait_for_text(&family("__proto__"), "no other labels\t2");
    browser.click(&toggle(&family("hasOwnProperty")));
    browser.wait_for_text(&family("hasOwnProperty"), "\"say \\\"🦀\\\"\"=\"👩\u{200d}💻\"");
    browser.click(&toggle(&family("unseen")));
    browser.wait_for_text(&family("unseen"), r#"a="x\u202ey\u200b" b="1\n2\t3""#);
    let address = browser.value("location.href").as_str().unwrap().to_owned();
    browser.go("about:blank");
    browser.open(&address);
    browser.wait_for_count(".family.open", 4);
    browser.click(".remove");
    browser.click("#confirm-delete");
    browser.wait_for_count(".group", 0);
    browser.finish();
}

#[test]
fn counts_that_are_no_counts_are_drawn_as_far_as_they_can_be() {
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    gateway.push(
        "/metrics/job/a",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 4\nh_bucket{le=\"2\"} NaN\nh_bucket{le=\"3\"} 123454.4\n\
         h_bucket{le=\"4\"} 1\nh_bucket{le=\"5\"} +Inf\nh_bucket{le=\"+Inf\"} +Inf\nh_sum NaN\nh_count NaN\n",
    );
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    open_family(&browser, "h");
    browser.wait_for_count(".picture .bar", 6);
    browser.click(".card summary");
    let shown = browser.texts(".card tbody tr td:nth-child(3)");
    assert_eq!(shown, ["4", "0", "123,450", "0", "+Inf", "0"]);
    let heights =
        browser.value("[...document.querySelectorAll('rect.bar')].map(e => e.getAttribute('height'))");
    assert_eq!(heights, serde_json::json!(["1.5", "0", "1.5", "0", "100", "0"]));
    assert!(!browser.text(".card").contains("NaN %"));
    browser.finish();
}

#[test]
fn many_buckets_and_long_values_stay_on_the_screen() {
    let gateway = Gateway::start_with_config("limits.label_value_length = 0\n", &[]);
    let mut text = "# TYPE h histogram\n".to_owned();
    for bucket in 1..=500 {
        text.push_str(&format!("h_bucket{{le=\"{bucket}\"}} {}\n", bucket * 2));
    }
    text.push_str("h_bucket{le=\"+Inf\"} 1000\nh_sum 1\nh_count 1000\n# TYPE long gauge\n");
    text.push_str(&format!("long{{x=\"{}\"}} 1e300\n", "long value ".repeat(100_000)));
    gateway.push("/metrics/job/a", &text);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    open_family(&browser, "h");
    browser.wait_for_count(".picture .bar", 501);
    browser.picture("many-buckets");
    browser.click(&toggle(&family("h")));
    browser.click(&toggle(&family("long")));
    browser.wait_for_text(&family("long"), "1e+300");
    let height = browser.value("document.querySelector('.values').offsetHeight").as_u64().unwrap();
    assert!(height < 860, "a value of a million characters takes {height} pixels");
    browser.finish();
}

#[test]
fn an_address_can_only_name_groups() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    // Invalid ids: another path, an empty one, and one that is too long.
    let long = "A".repeat(40_000);
    browser.open(&gateway.url(&format!(
        "/#open=..%2F..%2Fx&family=y&open=..&family=status&open=.&open=&open=%3Cb%3E&open={long}&sort=__proto__\
         &view=constructor&order=<"
    )));
    browser.wait_for_count(".group", 2);
    assert_eq!(browser.value("document.querySelector('#gone').hidden"), true);
    assert!(browser.messages().is_empty(), "nothing was asked for");
    // Far too many. The page looks for only some of them, and still shows the list.
    let many: String = (0..10_000).map(|n| format!("open=a{n}&family=f&")).collect();
    browser.go("about:blank");
    browser.open(&gateway.url(&format!("/#{many}")));
    browser.wait_for_count(".group", 2);
    browser.wait_for_text("#gone", "50 groups of this address are gone");
    browser.finish_with_failed_requests();
}
