//! Uses the page without a mouse.

use super::browser::{Browser, DELETE, DESKTOP, DOWN, ENTER, ESCAPE, LEFT, RIGHT, TAB, UP};
use super::{BACKUP, BACKUP_PATH, push_jobs};
use crate::support::Gateway;

/// The name of the element with the focus.
fn focused(browser: &Browser) -> String {
    let name = browser.value(
        "(e => e.ariaLabel || document.getElementById(e.getAttribute('aria-labelledby'))?.innerText || e.innerText || e.id)(document.activeElement)",
    );
    name.as_str().unwrap().trim().to_owned()
}

#[test]
fn a_keyboard_is_enough() {
    let gateway = Gateway::start(&[]);
    gateway.push(BACKUP_PATH, BACKUP);
    push_jobs(&gateway, &["a", "b", "z"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));

    browser.press("?");
    assert_eq!(browser.value("document.querySelector('#keys').open"), true);
    browser.press(&ESCAPE.to_string());
    assert_eq!(browser.value("document.querySelector('#keys').open"), false);

    browser.press("/nightly");
    browser.wait_for_count(".group", 1);
    browser.press(&DOWN.to_string());
    assert_eq!(focused(&browser), r#"job="nightly_backup" instance="db1""#);
    // The element with the focus is highlighted.
    let ring = browser.value("getComputedStyle(document.activeElement.closest('.row')).boxShadow");
    assert_ne!(ring, "none");
    browser.press(&ENTER.to_string());
    browser.wait_for_count(".family", 4);
    browser.press(&format!("{DOWN}{DOWN}j"));
    assert_eq!(focused(&browser), "backup_files_total");
    browser.press(&RIGHT.to_string());
    browser.wait_for_text(".values", "43,817");
    browser.press(&LEFT.to_string());
    browser.wait_for_count(".values", 0);
    browser.press(&format!("k{UP}"));
    assert_eq!(focused(&browser), "backup_chunk_bytes");
    browser.press(&LEFT.to_string());
    assert_eq!(focused(&browser), r#"job="nightly_backup" instance="db1""#);
    browser.press(&ESCAPE.to_string());
    browser.wait_for_count(".group.open", 0);

    browser.press(&format!("/{ESCAPE}"));
    browser.wait_for_count(".group", 4);
    browser.press(&format!("{DOWN}{DOWN}{DELETE}"));
    let question = browser.text("#confirm-question");
    assert!(question.contains(r#"{job="b"}"#), "{question}");
    browser.press(&format!("{TAB}{ENTER}"));
    browser.wait_for_count(".group", 3);
    browser.wait_for_count("dialog[open]", 0);
    // The focus moves to the element that is there now.
    assert_ne!(focused(&browser), r#"job="b""#);
    assert_eq!(browser.value("document.activeElement.classList.contains('toggle')"), true);
    browser.finish();
}

#[test]
fn shortcuts_of_a_single_character_can_be_switched_off() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a", "b"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.press("?");
    browser.click("#keys-on");
    browser.press(&ESCAPE.to_string());
    for _ in 0..2 {
        browser.press("?/jr");
        assert_eq!(browser.value("document.querySelector('#keys').open"), false);
        assert_eq!(browser.value("document.querySelector('#filter').value"), "");
        assert_eq!(browser.value("document.activeElement.classList.contains('toggle')"), false);
        browser.reload();
    }
    browser.click("#show-keys");
    browser.click("#keys-on");
    browser.click("#keys-close");
    browser.press("j");
    assert_eq!(browser.value("document.activeElement.classList.contains('toggle')"), true);
    browser.finish();
}

#[test]
fn tab_reaches_every_control_and_each_has_a_name() {
    let gateway = Gateway::start(&["--web.enable-admin-api"]);
    push_jobs(&gateway, &["a", "b"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    browser.run("document.activeElement.blur()");
    let mut names = Vec::new();
    loop {
        browser.press(&TAB.to_string());
        if browser.value("document.activeElement === document.body") == true {
            break;
        }
        let name = focused(&browser);
        assert!(!name.is_empty(), "a control without a name after {names:?}");
        if names.first() == Some(&name) {
            break;
        }
        names.push(name);
        assert!(names.len() < 60, "{names:?}");
    }
    for wanted in ["Groups", "Status", "Metrics", "Keyboard shortcuts (?)", "Live", "filter"] {
        assert!(names.iter().any(|name| name == wanted), "{wanted} is not in {names:?}");
    }
    for sort in ["Group", "Last push", "Pushes", "Series"] {
        assert!(names.iter().any(|name| name.starts_with(sort)), "{sort} is not in {names:?}");
    }
    assert!(names.iter().any(|name| name == r#"Delete group {job="b"}"#), "{names:?}");
    browser.finish();
}
