//! The sources of a group, where rules fold or add up what several senders push.

use super::browser::{Browser, DESKTOP, DOWN, ENTER, PHONE};
use super::{family, toggle};
use crate::support::Gateway;

const RULES: &str = r#"
[[groups]]
match = '{job="worker"}'
relabel = [{ action = "labeldrop", regex = "pod" }]
[[metrics]]
match = 'queue_depth'
merge = "max"
[[metrics]]
match = '{__name__=~"runs_total|seconds"}'
temporality = "cumulative"
"#;

fn push(gateway: &Gateway, pod: &str, depth: u32) {
    let body = format!(
        "# TYPE queue_depth gauge\nqueue_depth{{queue=\"mail\"}} {depth}\n# TYPE runs_total counter\nruns_total {depth}0\n\
         # TYPE seconds histogram\nseconds_bucket{{le=\"1\"}} 2\nseconds_bucket{{le=\"+Inf\"}} 3\nseconds_sum 4.5\n\
         seconds_count 3\n"
    );
    gateway.push(&format!("/metrics/job/worker/pod/{pod}"), &body);
}

/// The labels of the source whose queue is longest, as a reader finds it in the table.
const LONGEST: &str = "[...document.querySelectorAll('.sources tbody')].map(source => ({
    name: source.querySelector('.labels').innerText.trim(),
    depth: Number(source.querySelector('[data-name=queue_depth] td').innerText),
})).sort((a, b) => b.depth - a.depth)[0].name";

#[test]
fn the_worker_with_the_largest_queue_is_found() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    gateway.push("/metrics/job/alone", "queue_depth 1\n");
    for (pod, depth) in [("w1", 3), ("w2", 41), ("w3", 7)] {
        push(&gateway, pod, depth);
    }
    for screen in [DESKTOP, PHONE] {
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/#q=worker"));
        browser.click(&toggle(".group"));
        browser.wait_for_text(".sources h3", "3 sources");
        assert_eq!(browser.count(".sources tbody"), 0, "they are loaded when they are opened");
        browser.click(&toggle(".sources"));
        browser.wait_for_count(".sources tbody", 3);
        assert_eq!(browser.value(LONGEST), r#"job="worker" pod="w2""#);
        let second = |name: &str| browser.text(&format!(".sources tbody:nth-of-type(2) [data-name={name}]"));
        assert!(
            second("queue_depth").contains("latest value")
                && second("queue_depth").contains("queue=\"mail\"")
        );
        assert!(second("runs_total").contains("total pushed so far") && second("runs_total").contains("410"));
        assert!(second("seconds").contains("count 3, sum 4.5"), "{}", second("seconds"));
        let widths = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(widths[0], widths[1], "on a {}", screen.name);
        browser.run("document.querySelector('.sources').scrollIntoView()");
        browser.picture("sources");

        // They stay open, and follow what is pushed and what goes.
        push(&gateway, "w3", 50);
        assert_eq!(gateway.delete("/metrics/job/worker/pod/w1").status, 202);
        browser.wait_for_count(".sources tbody", 2);
        browser.wait_for(&format!("{LONGEST} === 'job=\"worker\" pod=\"w3\"'"));
        browser.wait_for_text(".sources h3", "2 sources");
        // The address opens them too.
        browser.reload();
        browser.wait_for_count(".sources tbody", 2);
        push(&gateway, "w1", 3);
        push(&gateway, "w3", 7);
        browser.finish();
    }
}

#[test]
fn sources_are_sorted_by_the_values_of_a_family() {
    let rules = RULES.replace("match = 'queue_depth'", "match = '{__name__=~\".*depth.*\"}'");
    let gateway = Gateway::start_with_config(&rules, &["--push.enable-utf8-names"]);
    for pod in 0..150 {
        // The deepest queues are not among the first hundred sources.
        let body = format!(
            "# TYPE queue_depth gauge\nqueue_depth {}\n# TYPE \"<b>depth\" gauge\n{{\"<b>depth\"}} {}\n",
            pod * 7 % 150,
            150 - pod
        );
        gateway.push(&format!("/metrics/job/worker/pod/p{pod:03}"), &body);
    }
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_text(".sources h3", "150 sources");
    browser.click(&toggle(".sources"));
    browser.wait_for_count(".sources tbody", 100);
    let choose = |option: &str| {
        browser.run(&format!(
            "const select = document.querySelector('.sources select'); select.value = '{option}';
             select.dispatchEvent(new Event('change'))"
        ));
    };
    let first = |pod: &str| {
        browser.wait_for(&format!(
            "document.querySelector('.sources tbody .labels')?.innerText.includes('{pod}')"
        ));
    };
    assert_eq!(
        browser.texts(".sources option"),
        ["Labels", "Last push", "Pushes", "Value of <b>depth", "Value of queue_depth"]
    );
    first("p000");
    choose("Value of queue_depth");
    // 107 times 7 is 149 more than 4 times 150.
    first("p107");
    assert_eq!(browser.text(".sources tbody [data-name=queue_depth] td"), "149");
    assert_eq!(browser.count(".sources tbody"), 100);
    browser.click(".sources .order button");
    first("p000");
    assert_eq!(browser.text(".sources .order button"), "↑ ascending");
    choose("Value of <b>depth");
    first("p000");
    // A refresh keeps the order.
    choose("Value of queue_depth");
    first("p107");
    gateway.push("/metrics/job/worker/pod/p003", "# TYPE queue_depth gauge\nqueue_depth 1000\n");
    first("p003");
    browser.finish();
}

#[test]
fn a_group_without_sources_shows_none() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    gateway.push("/metrics/job/alone", "load 1\n");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_count(&family("load"), 1);
    assert_eq!(browser.value("document.querySelector('.sources').offsetParent"), serde_json::Value::Null);
    browser.finish();
}

#[test]
fn many_sources_come_a_hundred_at_a_time_and_the_keyboard_reaches_them() {
    let gateway = Gateway::start_with_config(RULES, &[]);
    for pod in 0..230 {
        let body = format!("# TYPE queue_depth gauge\nqueue_depth {pod}\n");
        gateway.push(&format!("/metrics/job/worker/pod/p{pod:03}"), &body);
    }
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.click(&toggle(".group"));
    browser.wait_for_text(".sources h3", "230 sources");
    browser.press(&format!("{DOWN}{DOWN}{ENTER}"));
    browser.wait_for_count(".sources tbody", 100);
    browser.click(".sources .family-body > button");
    browser.wait_for_count(".sources tbody", 200);
    // A refresh keeps what is loaded.
    gateway.push("/metrics/job/worker/pod/p000", "# TYPE queue_depth gauge\nqueue_depth 1000\n");
    browser.wait_for_text(".sources tbody [data-name] td", "1,000");
    assert_eq!(browser.count(".sources tbody"), 200);
    browser.click(".sources .family-body > button");
    browser.wait_for_count(".sources tbody", 230);
    browser.finish();
}
