//! Large answers of the API come compressed for clients that ask for it, in parts that can be read at once.

use std::io::{Read as _, Write as _};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{Connection, Gateway, Response, encode_request};

const GZIP: &[(&str, &str)] = &[("Accept-Encoding", "gzip, deflate, br")];

/// A store whose answers have several times 64 KiB.
fn large() -> Gateway {
    let gateway = Gateway::start(&[]);
    for job in 0..500 {
        let label = format!("{job:03}").repeat(60);
        let series: String = (0..5).map(|n| format!("m{{n=\"{n}\",long=\"{label}\"}} {n}\n")).collect();
        gateway.push(&format!("/metrics/job/{label}"), &series);
    }
    let series: String = (0..1000).map(|n| format!("wide{{n=\"{n:0200}\"}} {n}\n")).collect();
    gateway.push("/metrics/job/wide", &series);
    gateway
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    // A part has no end.
    let _ = GzDecoder::new(bytes).read_to_end(&mut plain);
    plain
}

fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    let response = gateway.request("GET", path, headers, b"");
    assert_eq!(response.status, 200, "{path}");
    assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{path}");
    response
}

fn large_paths(gateway: &Gateway) -> [String; 3] {
    let wide = gateway.get("/api/v1/groups?q=job%3Dwide");
    let wide: Value = serde_json::from_slice(&wide.body).unwrap();
    let id = wide["data"]["groups"][0]["id"].as_str().unwrap();
    [
        "/api/v1/metrics".to_owned(),
        "/api/v1/groups?limit=500".to_owned(),
        format!("/api/v1/groups/{id}/series?family=wide&limit=1000"),
    ]
}

#[test]
fn large_answers_are_compressed_as_asked() {
    let gateway = large();
    for path in large_paths(&gateway) {
        let plain = get(&gateway, &path, &[]);
        assert!(plain.body.len() > 200_000, "{path}: {} bytes", plain.body.len());
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        let compressed = get(&gateway, &path, GZIP);
        assert_eq!(compressed.header("content-encoding"), Some("gzip"), "{path}");
        assert!(compressed.body.len() * 4 < plain.body.len(), "{path}: {} bytes", compressed.body.len());
        let mut inflated = Vec::new();
        GzDecoder::new(&compressed.body[..]).read_to_end(&mut inflated).unwrap();
        assert_eq!(inflated, plain.body, "{path}");
        for refused in ["gzip;q=0", "identity", "br"] {
            let answer = get(&gateway, &path, &[("Accept-Encoding", refused)]);
            assert_eq!(answer.header("content-encoding"), None, "{path}: {refused}");
            assert_eq!(answer.body, plain.body, "{path}: {refused}");
        }
    }
}

/// The parts of an answer as they are sent.
fn parts(gateway: &Gateway, path: &str) -> Vec<Vec<u8>> {
    let mut connection: Connection = gateway.connect();
    let headers = [GZIP, &[("Connection", "close")]].concat();
    connection.send(&encode_request("GET", path, &headers, b"")).unwrap();
    let all = connection.read_to_end().unwrap();
    let head = all.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let (mut rest, mut parts) = (&all[head..], Vec::new());
    loop {
        let end = rest.windows(2).position(|end| end == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return parts;
        }
        parts.push(rest[end + 2..][..size].to_vec());
        rest = &rest[end + 2 + size + 2..];
    }
}

#[test]
fn the_first_rows_wait_for_no_later_ones() {
    let gateway = large();
    for path in large_paths(&gateway) {
        let plain = get(&gateway, &path, &[]).body;
        let parts = parts(&gateway, &path);
        assert!(parts.len() > 3, "{path}");
        let mut come = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            come.write_all(part).unwrap();
            let readable = inflated(&come);
            // Each part has what the gateway has written until then.
            let least = plain.len().min((at + 1) * 64 * 1024);
            assert!(readable.len() >= least, "{path}: {} of {least} bytes", readable.len());
            assert!(plain.starts_with(&readable), "{path}");
        }
    }
}
