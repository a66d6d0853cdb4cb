//! A small server of the test's own, on a port that the system chooses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A request that arrived: its head, in small letters, and its body.
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

/// Answers each request by `answer`, which writes the whole answer. Gives its address and what it saw.
pub fn serve(
    answer: impl Fn(&Seen, &mut TcpStream) + Send + Sync + 'static,
) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(seen) = read(&mut stream) else {
                continue;
            };
            answer(&seen, &mut stream);
            // The test may have seen enough.
            let _over = sender.send(seen);
        }
    });
    (address, receiver)
}

fn read(stream: &mut TcpStream) -> Option<Seen> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|it| it.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Seen { head, body })
}

/// An answer of this status line, kind and content.
pub fn whole(status: &str, kind: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), content].concat()
}

/// A server that gives every request this answer.
pub fn always(answer: Vec<u8>) -> (String, Receiver<Seen>) {
    serve(move |_, stream| {
        // Whoever asked may have gone.
        let _told = stream.write_all(&answer);
    })
}
