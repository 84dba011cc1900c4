//! Idempotency keys: a repeated request counts once, in memory and on disk.

use std::io::Write as _;
use std::thread;

use crate::support::{Directory, Gateway, Response};

const GROUP: &str = "/metrics/job/a";
const COUNTER: &str = "# TYPE c_total counter\nc_total 1\n";
const C_TOTAL: &str = r#"c_total{instance="",job="a"}"#;

/// Runs a test with a gateway without persistence, one that answers after the commit, and one that answers before
/// it.
fn everywhere(test: impl Fn(&Gateway)) {
    test(&Gateway::start(&[]));
    let folder = Directory::new();
    test(&Gateway::start(&[&file_flag(&folder, "push")]));
    let config = "[persistence]\nsync = \"interval\"\n";
    test(&Gateway::start_with_config(config, &[&file_flag(&folder, "interval")]));
}

/// The flag for a persistence file in this folder.
fn file_flag(folder: &Directory, name: &str) -> String {
    format!("--persistence.file={}", folder.path().join(name).display())
}

/// Sends a request with this key.
fn send(gateway: &Gateway, method: &str, path: &str, key: &str, body: &str) -> Response {
    gateway.request(method, path, &[("Idempotency-Key", key)], body.as_bytes())
}

/// The status, and whether the answer says that it was replayed.
fn result(response: &Response) -> (u16, bool) {
    let header = response.header("Idempotent-Replayed");
    assert!(matches!(header, None | Some("true")), "{header:?}");
    (response.status, header.is_some())
}

/// The whole group in the API, including its times.
fn group(gateway: &Gateway) -> serde_json::Value {
    gateway.api()["data"].clone()
}

// What a key does.

#[test]
fn a_push_that_is_sent_again_counts_once() {
    everywhere(|gateway| {
        assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, false));
        let before = group(gateway);
        for _ in 0..2 {
            assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, true));
        }
        // Even the push time has not changed.
        assert_eq!(group(gateway), before);
        assert_eq!(result(&send(gateway, "POST", GROUP, "l", COUNTER)), (200, false));
        assert_eq!(gateway.sample(C_TOTAL), Some(2.0));
    });
}

#[test]
fn a_put_that_is_sent_again_does_not_replace_what_came_between() {
    everywhere(|gateway| {
        assert_eq!(result(&send(gateway, "PUT", GROUP, "k", COUNTER)), (200, false));
        gateway.push(GROUP, COUNTER);
        let before = group(gateway);
        assert_eq!(result(&send(gateway, "PUT", GROUP, "k", COUNTER)), (200, true));
        assert_eq!(group(gateway), before);
        assert_eq!(gateway.sample(C_TOTAL), Some(2.0));
    });
}

#[test]
fn a_delete_that_is_sent_again_does_not_delete_what_came_between() {
    everywhere(|gateway| {
        gateway.push(GROUP, COUNTER);
        assert_eq!(result(&send(gateway, "DELETE", GROUP, "k", "")), (202, false));
        assert_eq!(gateway.pushed(), "");
        gateway.push(GROUP, COUNTER);
        assert_eq!(result(&send(gateway, "DELETE", GROUP, "k", "")), (202, true));
        assert_eq!(gateway.sample(C_TOTAL), Some(1.0));
    });
}

#[test]
fn a_replay_has_the_status_of_the_first_answer() {
    let gateway = Gateway::start(&["--push.disable-consistency-check"]);
    assert_eq!(result(&send(&gateway, "POST", GROUP, "k", COUNTER)), (202, false));
    assert_eq!(result(&send(&gateway, "POST", GROUP, "k", COUNTER)), (202, true));
}

#[test]
fn a_replay_is_not_checked_against_what_came_between() {
    everywhere(|gateway| {
        assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, false));
        gateway.delete(GROUP);
        gateway.push("/metrics/job/b", "# TYPE c_total gauge\nc_total 1\n");
        assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, true));
        assert_eq!(send(gateway, "POST", GROUP, "l", COUNTER).status, 400);
    });
}

#[test]
fn the_same_key_with_another_body_is_refused() {
    everywhere(|gateway| {
        send(gateway, "POST", GROUP, "k", COUNTER);
        let before = group(gateway);
        let response = send(gateway, "POST", GROUP, "k", "# TYPE c_total counter\nc_total 2\n");
        assert_eq!(result(&response), (422, false));
        assert!(response.text().to_lowercase().contains("key"), "{}", response.text());
        assert_eq!(group(gateway), before);
        assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, true));
    });
}

#[test]
fn the_same_bytes_as_another_type_are_another_body() {
    everywhere(|gateway| {
        let headers = [("Idempotency-Key", "k"), ("Content-Type", "text/plain")];
        assert_eq!(gateway.request("POST", GROUP, &headers, COUNTER.as_bytes()).status, 200);
        assert_eq!(send(gateway, "POST", GROUP, "k", COUNTER).status, 422);
        assert_eq!(gateway.sample(C_TOTAL), Some(1.0));
    });
}

#[test]
fn a_key_counts_for_one_method_and_one_group() {
    everywhere(|gateway| {
        for path in [GROUP, "/metrics/job/b", "/metrics/job/a/instance/x"] {
            let send = |method| result(&send(gateway, method, path, "k", COUNTER));
            assert_eq!(
                [send("PUT"), send("POST"), send("DELETE")],
                [(200, false), (200, false), (202, false)]
            );
            assert_eq!([send("PUT"), send("POST"), send("DELETE")], [(200, true), (200, true), (202, true)]);
        }
    });
}

#[test]
fn a_group_is_the_same_however_its_path_spells_it() {
    everywhere(|gateway| {
        send(gateway, "POST", "/metrics/job/a/x/1/y/2", "k", COUNTER);
        let response = send(gateway, "POST", "/metrics/job@base64/YQ/y/2/x@base64/MQ", "k", COUNTER);
        assert_eq!(result(&response), (200, true));
    });
}

// Refused requests.

#[test]
fn a_refused_push_may_be_mended_and_sent_again_with_its_key() {
    everywhere(|gateway| {
        gateway.push("/metrics/job/b", "# TYPE g gauge\ng 1\n");
        let refused = [
            // Refused by the parser, by a check of the push, and because of existing metrics.
            "c_total\n",
            "# TYPE c_total counter\nc_total -1\n",
            "# TYPE g counter\ng 1\n",
        ];
        for body in refused.iter().chain(&refused) {
            assert_eq!(result(&send(gateway, "POST", GROUP, "k", body)), (400, false), "{body}");
        }
        assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, false));
        assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, true));
        assert_eq!(gateway.sample(C_TOTAL), Some(1.0));
    });
}

// What a key looks like.

#[test]
fn a_key_has_up_to_255_visible_ascii_characters() {
    everywhere(|gateway| {
        let longest = "k".repeat(255);
        for key in ["k", "8e03978e-40d5-43dd-bc93-6894a57f9324", "!~'(),/:;=?@[]{}", &longest] {
            assert_eq!(result(&send(gateway, "POST", GROUP, key, COUNTER)), (200, false), "{key}");
            assert_eq!(result(&send(gateway, "POST", GROUP, key, COUNTER)), (200, true), "{key}");
        }
        let before = group(gateway);
        let too_long = "k".repeat(256);
        for key in ["", "\"\"", "a b", "\"a b\"", "a\tb", "schlüssel", &too_long] {
            for (method, body) in [("POST", COUNTER), ("PUT", COUNTER), ("DELETE", "")] {
                let response = send(gateway, method, GROUP, key, body);
                assert_eq!(result(&response), (400, false), "{method} {key:?}");
                assert_eq!(
                    response.text(),
                    "the Idempotency-Key must be 1 to 255 visible ASCII characters\n"
                );
            }
        }
        assert_eq!(group(gateway), before);
    });
}

#[test]
fn a_quoted_key_is_the_same_as_a_bare_one() {
    everywhere(|gateway| {
        assert_eq!(result(&send(gateway, "POST", GROUP, "\"k\"", COUNTER)), (200, false));
        assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, true));
        assert_eq!(result(&send(gateway, "POST", GROUP, "\"k\"", COUNTER)), (200, true));
    });
}

#[test]
fn either_header_holds_a_key_and_two_must_agree() {
    everywhere(|gateway| {
        let post =
            |headers: &[(&str, &str)]| result(&gateway.request("POST", GROUP, headers, COUNTER.as_bytes()));
        assert_eq!(post(&[("X-Idempotency-Key", "k")]), (200, false));
        assert_eq!(post(&[("idempotency-key", "k")]), (200, true));
        assert_eq!(post(&[("Idempotency-Key", "k"), ("X-Idempotency-Key", "k")]), (200, true));
        for name in ["Idempotency-Key", "X-Idempotency-Key"] {
            assert_eq!(post(&[("Idempotency-Key", "l"), (name, "m")]), (400, false));
        }
        assert_eq!(gateway.sample(C_TOTAL), Some(1.0));
    });
}

#[test]
fn a_compressed_body_is_the_same_as_a_plain_one() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(COUNTER.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    everywhere(|gateway| {
        let compressed = |key| {
            let headers = [("Idempotency-Key", key), ("Content-Encoding", "gzip")];
            result(&gateway.request("POST", GROUP, &headers, &gzip))
        };
        assert_eq!(compressed("k"), (200, false));
        assert_eq!(result(&send(gateway, "POST", GROUP, "k", COUNTER)), (200, true));
        assert_eq!(result(&send(gateway, "POST", GROUP, "l", COUNTER)), (200, false));
        assert_eq!(compressed("l"), (200, true));
        assert_eq!(gateway.sample(C_TOTAL), Some(2.0));
    });
}

// Twins.

#[test]
fn of_twins_at_the_same_time_one_counts() {
    const TWINS: usize = 16;
    const KEYS: usize = 20;
    everywhere(|gateway| {
        for key in 0..KEYS {
            let key = key.to_string();
            let answers: Vec<(u16, bool)> = thread::scope(|scope| {
                let twin = || scope.spawn(|| result(&send(gateway, "POST", GROUP, &key, COUNTER)));
                let twins: Vec<_> = (0..TWINS).map(|_| twin()).collect();
                twins.into_iter().map(|twin| twin.join().unwrap()).collect()
            });
            assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
            assert_eq!(answers.iter().filter(|(_, is_replayed)| !is_replayed).count(), 1, "{answers:?}");
        }
        assert_eq!(gateway.sample(C_TOTAL), Some(KEYS as f64));
    });
}

#[test]
fn of_different_requests_with_one_key_at_the_same_time_one_is_applied() {
    everywhere(|gateway| {
        let answers: Vec<(u16, f64)> = thread::scope(|scope| {
            let push = |value: usize| {
                let body = format!("# TYPE c_total counter\nc_total {value}\n");
                scope.spawn(move || (send(gateway, "POST", GROUP, "k", &body).status, value as f64))
            };
            let pushes: Vec<_> = (1..=16).map(push).collect();
            pushes.into_iter().map(|push| push.join().unwrap()).collect()
        });
        let applied: Vec<f64> =
            answers.iter().filter(|(status, _)| *status == 200).map(|(_, value)| *value).collect();
        assert_eq!(applied.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 422)), "{answers:?}");
        assert_eq!(gateway.sample(C_TOTAL), Some(applied[0]));
    });
}

// How long a key is remembered.

#[test]
fn keys_survive_a_stop() {
    for sync in ["push", "interval"] {
        let folder = Directory::new();
        let config = format!("[persistence]\nsync = \"{sync}\"\n");
        let start = || Gateway::start_with_config(&config, &[&file_flag(&folder, "store")]);
        let gateway = start();
        send(&gateway, "POST", GROUP, "k", COUNTER);
        send(&gateway, "DELETE", "/metrics/job/b", "k", "");
        gateway.signal("TERM");
        gateway.wait();

        let gateway = start();
        assert_eq!(gateway.sample("tallygate_idempotency_keys"), Some(2.0), "{sync}");
        assert_eq!(result(&send(&gateway, "POST", GROUP, "k", COUNTER)), (200, true), "{sync}");
        assert_eq!(result(&send(&gateway, "DELETE", "/metrics/job/b", "k", "")), (202, true), "{sync}");
        assert_eq!(send(&gateway, "POST", GROUP, "k", "c_total 2\n").status, 422, "{sync}");
        assert_eq!(result(&send(&gateway, "POST", GROUP, "l", COUNTER)), (200, false), "{sync}");
        assert_eq!(gateway.sample(C_TOTAL), Some(2.0), "{sync}");
    }
}

#[test]
fn keys_survive_a_kill() {
    let folder = Directory::new();
    let start = || Gateway::start(&[&file_flag(&folder, "store")]);
    let gateway = start();
    send(&gateway, "POST", GROUP, "k", COUNTER);
    drop(gateway);
    let gateway = start();
    assert_eq!(result(&send(&gateway, "POST", GROUP, "k", COUNTER)), (200, true));
    assert_eq!(gateway.sample(C_TOTAL), Some(1.0));
}

#[test]
fn keys_survive_the_removal_of_their_group() {
    let folder = Directory::new();
    let flags = ["--web.enable-admin-api".to_owned(), file_flag(&folder, "store")];
    for flags in [&flags[..1], &flags[..]] {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let gateway = Gateway::start(&flags);
        send(&gateway, "POST", GROUP, "k", COUNTER);
        assert_eq!(gateway.delete(GROUP).status, 202);
        assert_eq!(result(&send(&gateway, "POST", GROUP, "k", COUNTER)), (200, true));
        assert_eq!(gateway.put("/api/v1/admin/wipe", "").status, 202);
        assert_eq!(result(&send(&gateway, "POST", GROUP, "k", COUNTER)), (200, true));
        assert_eq!(gateway.pushed(), "");
    }
}

#[test]
fn with_a_window_of_zero_every_request_counts() {
    let config = "[push]\nidempotency_window = \"0s\"\n";
    let folder = Directory::new();
    for flags in [vec![], vec![file_flag(&folder, "store")]] {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let gateway = Gateway::start_with_config(config, &flags);
        for count in 1..=3 {
            assert_eq!(result(&send(&gateway, "POST", GROUP, "k", COUNTER)), (200, false));
            assert_eq!(gateway.sample(C_TOTAL), Some(f64::from(count)));
        }
        assert_eq!(gateway.sample("tallygate_idempotency_window_seconds"), Some(0.0));
        assert_eq!(send(&gateway, "POST", GROUP, "a b", COUNTER).status, 400);
    }
}

// Metrics.

#[test]
fn keys_replays_and_conflicts_are_counted() {
    everywhere(|gateway| {
        let metrics = || {
            ["keys", "replays_total", "conflicts_total", "evictions_total", "window_seconds"].map(|name| {
                gateway.sample(&format!("tallygate_idempotency_{name}")).unwrap_or_else(|| panic!("{name}"))
            })
        };
        assert_eq!(metrics(), [0.0, 0.0, 0.0, 0.0, 3600.0]);
        send(gateway, "POST", GROUP, "k", COUNTER);
        assert_eq!(metrics(), [1.0, 0.0, 0.0, 0.0, 3600.0]);
        send(gateway, "POST", GROUP, "k", COUNTER);
        send(gateway, "POST", GROUP, "k", "c_total 2\n");
        send(gateway, "DELETE", GROUP, "k", "");
        send(gateway, "DELETE", GROUP, "k", "");
        assert_eq!(metrics(), [2.0, 2.0, 1.0, 0.0, 3600.0]);
        send(gateway, "POST", GROUP, "m", "c_total -1\n");
        gateway.push(GROUP, COUNTER);
        assert_eq!(metrics(), [2.0, 2.0, 1.0, 0.0, 3600.0]);
    });
}
