//! The status: which settings are in force and why, how full the limits are, who looks, and what has changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::browser::{Browser, DESKTOP, PHONE};
use super::push_jobs;
use crate::programs::ask_until;
use crate::support::{Directory, Gateway};

#[track_caller]
fn status(gateway: &Gateway, headers: &[(&str, &str)]) -> Value {
    let response = gateway.request("GET", "/api/v1/status", headers, b"");
    assert_eq!(response.status, 200, "{}", response.text());
    let mut answer: Value = serde_json::from_slice(&response.body).expect("JSON");
    answer["data"].take()
}

/// Value, origin and place of a setting.
#[track_caller]
fn setting(status: &Value, key: &str) -> (String, String, Value) {
    let settings = status["settings"].as_array().expect("settings");
    let found = settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    (text("value"), text("origin"), found["place"].clone())
}

fn limit(status: &Value, name: &str) -> Value {
    let limits = status["limits"].as_array().unwrap();
    limits.iter().find(|limit| limit["limit"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

/// Users with the password "secret".
fn users(folder: &Directory, names: &[&str]) -> String {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let text =
        names.iter().fold("basic_auth_users:\n".to_owned(), |text, name| format!("{text}  {name}: {hash}\n"));
    format!("--web.config.file={}", folder.write("web.yml", text))
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:secret")))
}

/// Sends this login with every request, as a browser does after its user has logged in.
fn log_in(browser: &Browser, user: &str) {
    browser.devtools("Network.enable", &json!({}));
    let headers = json!({"headers": {"Authorization": basic(user)}});
    browser.devtools("Network.setExtraHTTPHeaders", &headers);
}

const LOADED: &str = "document.documentElement.dataset.status === 'loaded'";

#[test]
fn every_setting_says_where_it_is_from() {
    let folder = Directory::new();
    let text = "[limits]\nseries = 10\ngroups = 20\n\n[push]\nput = \"aggregate\"\n[access]\nanonymous = [\"scrape\", \"admin\"]\n";
    let file = folder.write("tallygate.toml", text);
    let variables = [("TALLYGATE_LIMITS__GROUPS", "30"), ("TALLYGATE_log__level", "warn")];
    let flags = [
        "--web.listen-address=127.0.0.1:0",
        &format!("--config.file={file}"),
        "--log.level=info",
        "--no-push.aggregate",
        "--web.enable-lifecycle",
    ];
    let gateway = Gateway::start_exactly(&flags, &variables);
    let status = status(&gateway, &[]);
    assert_eq!(status["config_file"], file);
    for (key, value, origin, place) in [
        ("limits.series", "10", "file", json!(2)),
        ("limits.groups", "30", "environment", json!("TALLYGATE_LIMITS__GROUPS")),
        ("push.put", "aggregate", "file", json!(6)),
        ("log.level", "info", "flag", json!("log.level")),
        ("aggregation.enabled", "false", "flag", json!("no-push.aggregate")),
        ("web.enable_lifecycle", "true", "flag", json!("web.enable-lifecycle")),
        ("web.listen_address", "127.0.0.1:0", "flag", json!("web.listen-address")),
        ("access.anonymous", "scrape+admin", "file", json!(8)),
        ("web.telemetry_path", "/metrics", "default", Value::Null),
        // Without aggregation it is on.
        ("exposition.stock_formats", "true", "default", Value::Null),
    ] {
        assert_eq!(setting(&status, key), (value.to_owned(), origin.to_owned(), place), "{key}");
    }
    assert_eq!(status["flags"]["log.level"], "info");
}

#[test]
fn limits_follow_the_memory_and_say_so() {
    let program = crate::support::binary();
    // The limit of the address space stands for that of a container.
    let limit = "ulimit -S -v 4000000; exec \"$0\" \"$@\"";
    let flags = ["-c", limit, program.to_str().unwrap(), "--web.listen-address=127.0.0.1:0"];
    let gateway = Gateway::start_program(std::path::Path::new("sh"), &flags, &[]);
    let status = status(&gateway, &[]);
    let (value, origin, place) = setting(&status, "limits.store_bytes");
    assert_eq!((&*origin, place), ("memory", Value::Null));
    assert_eq!(limit_of(&status, "limits.store_bytes"), value);
}

fn limit_of(status: &Value, name: &str) -> String {
    limit(status, name)["bound"].as_str().unwrap().to_owned()
}

#[test]
fn limits_persistence_and_rules_are_told_as_they_are() {
    let folder = Directory::new();
    let text = "limits.series = 2\nlimits.groups = 0\n[[groups]]\nmatch = '{job=\"<b>\"}'\nttl = \"1h\"\n";
    let config = folder.write("tallygate.toml", text);
    let store = folder.path_of("store");
    let flags = [
        &*format!("--config.file={config}"),
        &*format!("--persistence.file={store}"),
        "--web.enable-lifecycle",
    ];
    let gateway = Gateway::start(&flags);
    let before = status(&gateway, &[]);
    assert_eq!(before["persistence"]["kept_at"], Value::Null);
    push_jobs(&gateway, &["a", "b"]);
    assert_eq!(gateway.post("/metrics/job/c", "m 1\n").status, 429);
    let now = status(&gateway, &[]);
    assert_eq!(now["start_time"], before["start_time"]);
    assert_eq!(
        limit(&now, "limits.series"),
        json!({"limit": "limits.series", "hits": 1, "used": 2, "most": 2, "hit_lately": true, "bound": "2"})
    );
    let groups = limit(&now, "limits.groups");
    assert_eq!(
        (&groups["used"], &groups["bound"], &groups["hit_lately"]),
        (&json!(3), &json!(""), &json!(false))
    );
    assert_eq!(limit(&now, "limits.head_timeout")["bound"], "30s");
    let persistence = &now["persistence"];
    assert_eq!((&persistence["sync"], &persistence["file"]), (&json!("push"), &json!(store)));
    assert_eq!((&persistence["failing"], &persistence["failed_commits"]), (&Value::Null, &json!(0)));
    assert!(persistence["kept_at"].is_string() && persistence["commits"].as_u64() > Some(0), "{persistence}");

    let rules = &now["rules"];
    let sha256 = |text: &str| -> String {
        let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!((&rules["group_rules"], &rules["metric_rules"]), (&json!(1), &json!(0)));
    assert_eq!(rules["groups"], json!([{"selector": "{job=\"<b>\"}", "line": 3}]));
    assert_eq!((&rules["problem"], &rules["fingerprint"]), (&Value::Null, &json!(sha256(text))));
    // What can't be read stays out of force, and is told until it is put right.
    folder.write("tallygate.toml", "[[metrics]]\nmatch = '{'\n");
    assert_eq!(gateway.post("/-/reload", "").status, 500);
    let wrong = status(&gateway, &[])["rules"].take();
    assert_eq!((&wrong["fingerprint"], &wrong["groups"]), (&rules["fingerprint"], &rules["groups"]));
    assert!(wrong["problem"]["reason"].as_str().unwrap().contains("line 2"), "{wrong}");
    let right = "[[metrics]]\nmatch = 'm'\nmerge = \"sum\"\n";
    folder.write("tallygate.toml", right);
    assert_eq!(gateway.post("/-/reload", "").status, 200);
    let now = status(&gateway, &[])["rules"].take();
    assert_eq!((&now["problem"], &now["fingerprint"]), (&Value::Null, &json!(sha256(right))));
    assert_eq!((&now["group_rules"], &now["metric_rules"]), (&json!(0), &json!(1)));
}

#[test]
fn who_may_only_scrape_gets_no_configuration() {
    let folder = Directory::new();
    let text = "[access]\nusers = { root = [\"push\", \"scrape\", \"admin\"], reader = [\"scrape\"] }\n\
                [[groups]]\nmatch = '{job=\"hush\"}'\n";
    let config = folder.write("tallygate.toml", text);
    let store = folder.path_of("store");
    let flags = [
        &*users(&folder, &["root", "reader"]),
        &*format!("--config.file={config}"),
        &*format!("--persistence.file={store}"),
    ];
    let gateway = Gateway::start(&flags);
    folder.write("tallygate.toml", "[[groups]]\nmatch = '{job=\"hush\"}' hush\n");
    gateway.signal("HUP");
    let of = |user: &str| status(&gateway, &[("Authorization", &basic(user))]);
    ask_until("the reload", || {
        if of("root")["rules"]["problem"].is_null() { Err(String::new()) } else { Ok(()) }
    });
    let (root, reader) = (of("root"), of("reader"));
    assert!(root["settings"].as_array().unwrap().len() > 40);
    assert_eq!(root["access"]["may"], json!(["push", "scrape", "admin"]));
    assert_eq!(
        reader["access"],
        json!({"kind": "user", "name": "reader", "may": ["scrape"], "has_logins": true, "has_tls": false})
    );
    assert_eq!(
        (&reader["settings"], &reader["flags"], &reader["config_file"]),
        (&Value::Null, &json!({}), &Value::Null)
    );
    // Whether all is well is no secret.
    assert_eq!(
        (&reader["persistence"]["sync"], &reader["rules"]["group_rules"]),
        (&json!("push"), &json!(1))
    );
    assert!(reader["rules"]["problem"]["since"].is_string());
    let page = gateway.request("GET", "/status", &[("Authorization", &basic("reader"))], b"").text();
    for text in [reader.to_string(), page] {
        for hidden in ["hush", &store, "tallygate.toml", "web.yml", "root"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
}

/// Where there are no logins, its user's browser takes any page to the gateway.
#[test]
fn pages_of_other_sites_get_no_settings() {
    let gateway = Gateway::start(&[]);
    for (header, value, is_own) in [
        ("Sec-Fetch-Site", "cross-site", false),
        ("Origin", "http://other.example", false),
        ("Sec-Fetch-Site", "same-origin", true),
        ("Origin", "http://gateway.test", true),
        ("Accept", "*/*", true),
    ] {
        let status = status(&gateway, &[(header, value)]);
        assert_eq!(status["settings"].is_array(), is_own, "{header}: {value}");
        assert_eq!(status["config_file"].is_string(), is_own, "{header}: {value}");
        assert_eq!(status["flags"]["log.level"], "info");
    }
}

#[test]
fn a_setting_and_where_it_is_from_is_found() {
    for screen in [DESKTOP, PHONE] {
        let gateway = Gateway::start_with_config(
            "exposition.zero_lead = \"2m\"\npush.default_job = \"<i>\"\n",
            &["--log.format=json"],
        );
        let Some(browser) = Browser::start(screen) else { return };
        browser.open(&gateway.url("/"));
        let loaded = "performance.getEntriesByType('resource').filter(e => e.name.includes('status')).length";
        assert_eq!(browser.value(loaded), 0, "the list needs nothing of the status");
        browser.click("#to-status");
        browser.wait_for(LOADED);
        browser.click("#settings-filter");
        browser.press("zero");
        browser.wait_for_text("#settings-count", "1 of ");
        let row = browser.text("[data-place='setting exposition.zero_lead']");
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words[..2], ["exposition.zero_lead", "2m0s"]);
        assert!(row.ends_with("tallygate.toml, line 1"), "{row}");
        browser.run("document.querySelector('#settings-filter').select()");
        browser.press("flag");
        browser.wait_for_text("#settings-count", "2 of ");
        assert!(browser.text("[data-place='setting log.format']").ends_with("flag --log.format"));
        browser.run("document.querySelector('#settings-filter').select()");
        browser.press("\u{e003}");
        browser.click("#settings-set");
        browser.wait_for_text("#settings-count", "4 of ");
        assert!(browser.text("[data-place='setting push.default_job']").contains("<i>"));
        assert_eq!(browser.count("#status-view i"), 0);
        browser.click("#settings-set");
        browser.wait_for_text("[data-place='setting limits.name_length']", "1,024");
        let widths = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(widths[0], widths[1], "on a {}", screen.name);
        browser.picture("settings");
        browser.finish();
    }
}

#[test]
fn an_address_leads_to_a_place_in_the_status() {
    let gateway = Gateway::start(&[]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/#view=status&at=setting+log.level"));
    browser.wait_for("document.activeElement.dataset.place === 'setting log.level'");
    let seen = browser.value(
        "(box => box.top > 50 && box.bottom < innerHeight)(document.activeElement.getBoundingClientRect())",
    );
    assert_eq!(seen, true);
    // Nobody is led to what is not there.
    browser.go("about:blank");
    browser.open(&gateway.url("/#view=status&at=%22%5D%3Cb%3E"));
    browser.wait_for(LOADED);
    browser.finish();
}

#[test]
fn a_gateway_that_is_gone_and_comes_back_is_told() {
    let mut gateway = Gateway::start(&[]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/#view=status"));
    browser.wait_for(LOADED);
    assert_eq!(browser.value("document.querySelector('#status-news').hidden"), true);
    let address = format!("--web.listen-address=127.0.0.1:{}", gateway.port());
    gateway.kill();
    browser.press("r");
    browser.wait_for_text("#status-problem", "The gateway does not answer. What you see may be out of date.");
    browser.picture("gone");
    let gateway = Gateway::start_exactly(&[&address, "--web.enable-lifecycle"], &[]);
    browser.click("#status-problem button");
    browser.wait_for_text("#status-news", "The gateway was restarted at 20");
    assert_eq!(browser.value("document.querySelector('#status-problem').hidden"), true);
    // What is shown is that of the new one.
    browser.wait_for_text("[data-place='setting web.enable_lifecycle']", "true");
    browser.picture("restarted");
    browser.click("#status-news button");
    browser.wait_for(&format!("document.documentElement.dataset.ready && {LOADED}"));
    browser.wait_for("document.querySelector('#status-news').hidden");
    drop(gateway);
    browser.finish_with_failed_requests();
}

#[test]
fn the_status_comes_once_the_gateway_is_back() {
    let mut gateway = Gateway::start(&[]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/"));
    let address = format!("--web.listen-address=127.0.0.1:{}", gateway.port());
    gateway.kill();
    browser.click("#to-status");
    browser.wait_for_text("#status-state", "The gateway does not answer");
    let _gateway = Gateway::start_exactly(&[&address], &[]);
    browser.press("r");
    browser.wait_for(LOADED);
    browser.wait_for_text("#status-news", "The gateway was restarted at 20");
    browser.finish_with_failed_requests();
}

#[test]
fn what_somebody_may_do_is_told_and_when_it_changes() {
    let folder = Directory::new();
    let gateway = Gateway::start_with_config(
        "[access]\nusers = { root = [\"push\", \"scrape\", \"admin\"], reader = [\"scrape\"] }\n",
        &[&users(&folder, &["root", "reader"])],
    );
    let Some(browser) = Browser::start(DESKTOP) else { return };
    log_in(&browser, "root");
    browser.open(&gateway.url("/#view=status"));
    browser.wait_for(LOADED);
    let you = "#status-view div:has(> [data-place=access])";
    browser.wait_for_text(you, "user root");
    browser.wait_for_text(you, "push, scrape and admin");
    assert!(browser.count("[data-place^='setting ']") > 40);
    // Another login does less.
    log_in(&browser, "reader");
    browser.press("r");
    browser.wait_for_text("#status-news", "What you may do has changed: it is now scrape.");
    browser.wait_for_text(you, "user reader");
    assert_eq!(browser.count("[data-place^='setting ']"), 0);
    browser.wait_for_text("#status-view", "that takes the permission \"admin\"");
    assert!(!browser.text("#status-view").contains("web.yml"));
    browser.click("#status-news button");
    browser.wait_for(&format!("document.documentElement.dataset.ready && {LOADED}"));
    browser.wait_for("document.querySelector('#status-news').hidden");
    browser.picture("reader");
    browser.finish();
}

#[test]
fn a_refresh_keeps_the_place_in_the_status() {
    let gateway = Gateway::start(&[]);
    push_jobs(&gateway, &["a"]);
    let Some(browser) = Browser::start(DESKTOP) else { return };
    browser.open(&gateway.url("/#view=status&at=limits.series"));
    browser.wait_for("document.activeElement.dataset.place === 'limits.series'");
    browser.run("getSelection().selectAllChildren(document.querySelector('[data-place=limits]'))");
    let place = "[document.activeElement.dataset.place, String(getSelection()), scrollY]";
    let before = browser.value(place);
    push_jobs(&gateway, &["b", "c"]);
    browser.wait_for_text("[data-place='limits.series']", "limits.series\t3");
    assert_eq!(browser.value(place), before);
    browser.finish();
}

#[cfg(feature = "postgres")]
#[test]
fn replicas_are_listed_and_none_is_taken_for_another() {
    use crate::programs::database::Database;

    let Some(database) = Database::start(&["fsync=off"]) else { return };
    let Some(browser) = Browser::start(DESKTOP) else { return };
    let flag = format!("--persistence.postgres={}", database.url());
    let start = |name| Gateway::start(&[&flag, &format!("--persistence.replica={name}")]);
    let (_one, two) = (start("one"), start("two"));
    browser.open(&two.url("/#view=status"));
    browser.wait_for_text("#status-view", "two (this one)");
    let replicas = browser.text("#status-view div:has(> [data-place=replicas])");
    assert!(replicas.contains("one") && replicas.contains("ago"), "{replicas}");
    // Without a database there is no such part.
    let alone = Gateway::start(&[]);
    browser.open(&alone.url("/#view=status"));
    browser.wait_for(LOADED);
    assert!(!browser.text("#status-view").contains("Replicas"));
}
