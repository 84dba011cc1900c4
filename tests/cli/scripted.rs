//! A server that treats each connection as a script says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Connection, Gateway};

/// The treatment of one request.
pub(crate) enum Turn {
    /// Answers with this status line without version, perhaps with headers, and this body.
    Answer(&'static str, &'static str),
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Silence,
    /// Closes the connection within the answer.
    Half,
    /// Passes the request to the gateway and drops its answer.
    LoseAnswer,
    /// Passes the request to the gateway and answers with this instead.
    ReplaceAnswer(&'static str),
}

/// The server. Its thread ends with the process.
pub(crate) struct Scripted {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// A server without a gateway behind it. Requests after the last turn are not answered.
    pub(crate) fn new(turns: impl IntoIterator<Item = Turn>) -> Scripted {
        Scripted::start(None, turns)
    }

    /// A server that passes requests after the last turn to the gateway.
    pub(crate) fn before(gateway: &Gateway, turns: impl IntoIterator<Item = Turn>) -> Scripted {
        Scripted::start(Some(gateway.addresses()[0]), turns)
    }

    fn start(behind: Option<SocketAddr>, turns: impl IntoIterator<Item = Turn>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut turns: Vec<Turn> = turns.into_iter().collect();
        turns.reverse();
        let seen = requests.clone();
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
                seen.lock().unwrap().push(line.trim_end_matches(" HTTP/1.1").to_owned());
                let ask = || answer_of(behind.expect("a gateway behind"), &request);
                let answer = match turns.pop() {
                    Some(Turn::Answer(head, body)) => encode(head, body.as_bytes()),
                    Some(Turn::Half) => b"HTTP/1.1 20".to_vec(),
                    Some(Turn::Close) => Vec::new(),
                    Some(Turn::LoseAnswer) => {
                        ask();
                        Vec::new()
                    }
                    Some(Turn::ReplaceAnswer(head)) => {
                        ask();
                        encode(head, b"")
                    }
                    Some(Turn::Silence) => {
                        silent.push(stream);
                        continue;
                    }
                    None if behind.is_none() => Vec::new(),
                    None => ask(),
                };
                // The client may have gone.
                let _ = stream.write_all(&answer);
            }
        });
        Scripted { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Method and path of all requests until now.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn encode(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The bytes of one request, with its body.
fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let head_end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(end) = head_end {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if request.len() >= end + 4 + length {
                return request;
            }
        }
        match stream.read(&mut chunk).unwrap() {
            0 => return request,
            count => request.extend_from_slice(&chunk[..count]),
        }
    }
}

/// What a gateway answers.
fn answer_of(gateway: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut connection = Connection::open(gateway).unwrap();
    connection.send(request).unwrap();
    let answer = connection.read_response("").unwrap();
    let kept = |name: &str| !["content-length", "transfer-encoding", "connection"].contains(&name);
    let mut head = format!("{} Answer", answer.status);
    for (name, value) in answer.headers.iter().filter(|(name, _)| kept(&name.to_ascii_lowercase())) {
        head += &format!("\r\n{name}: {value}");
    }
    encode(&head, &answer.body)
}
