//! Long-running processes that push all that they have counted. Adding that counts it again and again. The gateway
//! changes nothing, but reports it.

use crate::support::formats::{OPENMETRICS, PROTOBUF};
use crate::support::{self, Gateway, protobuf};

const WARNING: &str = "two pushes with the same start time";

fn suspected(gateway: &Gateway) -> f64 {
    gateway.sample("tallygate_suspected_running_totals_total").unwrap()
}

/// Whether the page marks each group, in their order.
fn marked(gateway: &Gateway) -> Vec<bool> {
    let answer: serde_json::Value = serde_json::from_slice(&gateway.get("/api/v1/groups").body).unwrap();
    let groups = answer["data"]["groups"].as_array().unwrap();
    groups.iter().map(|group| group["suspected_running_totals"].as_bool().unwrap()).collect()
}

fn page(start: f64, total: u32) -> String {
    format!(
        "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {start}\n\
         # TYPE requests_total counter\nrequests_total {total}\n"
    )
}

#[test]
fn the_same_process_with_counters_that_do_not_fall_is_noticed_once() {
    let gateway = Gateway::start(&[]);
    gateway.push("/metrics/job/a", &page(1.7e9, 5));
    gateway.push("/metrics/job/b", &page(1.7e9, 5));
    assert_eq!((suspected(&gateway), marked(&gateway)), (0.0, vec![false, false]));
    for total in [5, 7, 20] {
        gateway.push("/metrics/job/a", &page(1.7e9, total));
    }
    assert_eq!((suspected(&gateway), marked(&gateway)), (3.0, vec![true, false]));
    // Nothing else changes.
    assert_eq!(gateway.sample("requests_total{instance=\"\",job=\"a\"}"), Some(37.0));
    let log = gateway.stderr();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(WARNING)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("logged_source=127.0.0.1:") && lines[0].contains("{job=\\\"a\\\"}"), "{log}");
    // The process counts anew for each push after all.
    gateway.push("/metrics/job/a", &page(1.7e9, 1));
    assert_eq!((suspected(&gateway), marked(&gateway)), (3.0, vec![false, false]));
}

#[test]
fn processes_that_end_are_not_noticed() {
    let gateway = Gateway::start(&[]);
    for start in 0..10 {
        gateway.push("/metrics/job/a", &page(1.7e9 + f64::from(start), 5 + start));
    }
    // Without a start time, without types that add, or with PUT, nothing is suspected.
    for _ in 0..3 {
        gateway.push("/metrics/job/b", "# TYPE c counter\nc 1\n");
        gateway.push("/metrics/job/c", "process_start_time_seconds 1.7e9\ng 5\n");
        assert_eq!(gateway.put("/metrics/job/d", &page(1.7e9, 5)).status, 200);
    }
    assert_eq!((suspected(&gateway), marked(&gateway)), (0.0, vec![false; 4]));
    let gateway = Gateway::start(&["--no-push.aggregate"]);
    for _ in 0..3 {
        gateway.push("/metrics/job/a", &page(1.7e9, 5));
    }
    assert_eq!((suspected(&gateway), marked(&gateway)), (0.0, vec![false]));
}

#[test]
fn every_way_to_tell_a_start_time_counts() {
    let gateway = Gateway::start(&[]);
    let counter =
        protobuf::message(3, &[protobuf::number(1, 5.0), protobuf::timestamp(3, (1_700_000_000, 0))]);
    let metric = protobuf::message(4, &[counter]);
    let bodies = [
        ("a", "", b"# TYPE c_total counter\nc_total 5\n# TYPE c_created gauge\nc_created 1.7e9\n".to_vec()),
        ("b", OPENMETRICS, b"# TYPE c counter\nc_total 5\nc_created 1.7e9\n# EOF\n".to_vec()),
        ("c", PROTOBUF, protobuf::family("c_total", 0, &[metric])),
    ];
    for _ in 0..2 {
        for (job, content_type, body) in &bodies {
            let headers = [("Content-Type", *content_type)];
            let answer = gateway.request("POST", &format!("/metrics/job/{job}"), &headers, body);
            assert_eq!(answer.status, 200, "{job}: {}", answer.text());
        }
    }
    assert_eq!((suspected(&gateway), marked(&gateway)), (3.0, vec![true; 3]));
}

#[test]
fn they_are_noticed_where_pushes_wait_for_the_disk() {
    let folder = support::Directory::new();
    let gateway = Gateway::start(&[&format!("--persistence.file={}", folder.path_of("store"))]);
    for _ in 0..2 {
        gateway.push("/metrics/job/a", &page(1.7e9, 5));
    }
    assert_eq!((suspected(&gateway), marked(&gateway)), (1.0, vec![true]));
    // A retry does not count as a repetition.
    for _ in 0..2 {
        let answer =
            gateway.request("POST", "/metrics/job/b", &[("Idempotency-Key", "k")], page(1.7e9, 5).as_bytes());
        assert_eq!(answer.status, 200);
    }
    assert_eq!((suspected(&gateway), marked(&gateway)), (1.0, vec![true, false]));
}
