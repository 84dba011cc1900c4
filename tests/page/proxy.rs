//! A reverse proxy before a gateway. It strips a prefix, changes the host name, and can be cut off.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Connection, encode_request};

pub(crate) struct Proxy {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Proxy {
    /// Forwards requests below `prefix` to the gateway at `upstream`. It runs until the test ends.
    pub(crate) fn start(upstream: SocketAddr, prefix: &'static str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = is_cut.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let cut = cut.clone();
                std::thread::spawn(move || {
                    if !cut.load(Ordering::Relaxed) {
                        let _ = forward(client, upstream, prefix);
                    }
                });
            }
        });
        Proxy { address, is_cut }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Closes every new connection without an answer, or answers again.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }
}

/// One request and its answer.
fn forward(mut client: TcpStream, upstream: SocketAddr, prefix: &str) -> std::io::Result<()> {
    let head = read_head(&mut client)?;
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some(below) = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')) else {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    };
    let mut connection = Connection::open(upstream)?;
    // The headers with which browsers say where a request comes from. The host is changed.
    let is_passed_on = |name: &str| {
        let name = name.to_ascii_lowercase();
        matches!(&*name, "origin" | "content-type") || name.starts_with("sec-")
    };
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let length = fields.clone().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0)];
    client.read_exact(&mut body)?;
    let mut headers: Vec<(&str, &str)> = fields.filter(|(name, _)| is_passed_on(name)).collect();
    headers.push(("Connection", "close"));
    connection.send(&encode_request(method, below, &headers, &body))?;
    let answer = connection.read_response(method)?;
    let mut out = format!("HTTP/1.1 {} Proxied\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        let name = name.to_ascii_lowercase();
        if !matches!(&*name, "connection" | "transfer-encoding" | "content-length") {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    out.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
    client.write_all(out.as_bytes())?;
    client.write_all(&answer.body)
}

/// Reads the head of a request.
pub(crate) fn read_head(client: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
