//! Pages of other sites in a browser that can reach the gateway.

use std::io::Write as _;
use std::net::TcpListener;

use super::browser::{Browser, DESKTOP};
use super::proxy::{Proxy, read_head};
use crate::support::Gateway;

/// Serves this page at every path of another site, and returns its address.
fn other_site(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = read_head(&mut client);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length:";
            let _ = write!(client, "{head} {}\r\n\r\n{page}", page.len());
        }
    });
    url
}

#[test]
fn a_form_of_another_site_changes_nothing() {
    let gateway = Gateway::start(&["--web.enable-lifecycle"]);
    gateway.push("/metrics/job/a", "m 1\n");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    for path in ["/-/quit", "/metrics/job/a"] {
        let form = format!(
            "<form method=post enctype=text/plain action='{}'><input name='m 2\n#' value=x></form>\
             <script>document.forms[0].submit()</script>",
            gateway.url(path)
        );
        browser.go(&other_site(form));
        browser
            .wait_for("document.body.innerText.startsWith('Forbidden: the browser says that another site')");
    }
    assert_eq!(gateway.sample("m{instance=\"\",job=\"a\"}"), Some(1.0));
    browser.finish_with_failed_requests();
}

#[test]
fn another_site_shows_only_what_it_may_read() {
    let gateway = Gateway::start(&[]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.go(&other_site("<p>other</p>".to_owned()));
    let fetched = |path: &str, mode: &str| {
        let url = gateway.url(path);
        browser.run(&format!(
            "window.got = ''; fetch('{url}', {{mode: '{mode}'}}).then(() => window.got = 'yes', () => window.got = 'no')"
        ));
        browser.wait_for("window.got");
        browser.value("window.got").as_str().unwrap().to_owned()
    };
    assert_eq!(fetched("/metrics", "no-cors"), "no");
    assert_eq!(fetched("/metrics", "cors"), "no");
    assert_eq!(fetched("/nope", "no-cors"), "no");
    for mode in ["no-cors", "cors"] {
        assert_eq!(fetched("/api/v1/status", mode), "yes", "{mode}");
    }
}

#[test]
fn the_page_deletes_behind_a_proxy_that_names_another_host() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", "m 1\n");
    let proxy = Proxy::start(gateway.addresses()[0], "");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&proxy.url("/"));
    browser.click(".remove");
    browser.click("#confirm-delete");
    browser.wait_for_count(".group", 0);
    assert_eq!(gateway.pushed(), "");
    browser.finish();
}

#[test]
fn the_page_is_shown_under_allowed_names_only() {
    let gateway = Gateway::start_with_config("web.allowed_hosts = [\"127.0.0.1\", \"gateway.test\"]\n", &[]);
    gateway.push("/metrics/job/a", "m 1\n");
    let Some(browser) = Browser::start(DESKTOP) else { return };
    // The browser identifies a site by its name, wherever that points to.
    browser.go(&gateway.url("/").replace("127.0.0.1", "localhost"));
    browser.wait_for("document.body.innerText.startsWith('Misdirected Request: ')");
    browser.open(&gateway.url("/"));
    browser.wait_for_count(".group", 1);
    browser.finish_with_failed_requests();
}
