//! `decap serve` as a process: one line with the address, an answer, an end that is asked for.
#![cfg(all(feature = "serve", feature = "bundled", unix))]
#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Service {
    process: Child,
    address: String,
    errors: BufReader<std::process::ChildStderr>,
}

fn start(options: &[&str]) -> Service {
    let mut process = Command::new(env!("CARGO_BIN_EXE_decap"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(options)
        .env("DECAP_API_KEYS", "")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    let address = line
        .trim()
        .strip_prefix("decap serves on http://")
        .unwrap_or_else(|| panic!("{line}"));
    Service {
        address: address.to_owned(),
        process,
        errors,
    }
}

impl Service {
    fn send(&self, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request).unwrap();
        stream
    }

    /// The exit code, and what else was told.
    fn end(mut self) -> (Option<i32>, String) {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let mut told = String::new();
        self.errors.read_to_string(&mut told).unwrap();
        (self.process.wait().unwrap().code(), told)
    }
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn it_answers_and_finishes_what_it_accepted() {
    let service = start(&["--log", "json"]);
    let cat = include_bytes!("../../../examples/photos/cat.webp");
    let head = format!(
        "POST /v1/caption HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/webp\r\naccept: text/plain\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        cat.len()
    );
    let request = [head.as_bytes(), cat].concat();
    let said = answer(service.send(&request));
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(
        said.contains("x-request-id: ") && said.contains("cat"),
        "{said}"
    );
    // Half a photo, and then nothing: the service ends all the same.
    drop(service.send(&request[..request.len() / 2]));
    let (code, told) = service.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("\"path\":\"/v1/caption\",\"request_id\"") || told.contains("\"status\":200"),
        "{told}"
    );
    assert!(told.trim_end().ends_with("stopped"), "{told}");
}

/// A request whose headers the service has read: it asks for the body.
fn accepted(service: &Service, length: usize) -> TcpStream {
    let head = format!(
        "POST /v1/caption HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/webp\r\naccept: text/plain\r\n\
         connection: close\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut stream = service.send(head.as_bytes());
    let mut told = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut told).unwrap();
    assert!(told.starts_with(b"HTTP/1.1 100"), "{told:?}");
    stream
}

#[test]
fn asked_to_stop_it_finishes_what_it_accepted_and_takes_no_more() {
    let service = start(&[]);
    let cat = include_bytes!("../../../examples/photos/cat.webp");
    let mut waiting: Vec<TcpStream> = (0..4).map(|_| accepted(&service, cat.len())).collect();
    let id = service.process.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status();
    assert!(asked.unwrap().success());
    // A connection is taken until the signal has arrived, and then none.
    let until = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(&service.address).is_ok() {
        assert!(Instant::now() < until, "connections are taken all the same");
    }
    for stream in &mut waiting {
        stream.write_all(cat).unwrap();
    }
    for stream in waiting {
        let said = answer(stream);
        assert!(
            said.starts_with("HTTP/1.1 200") && said.contains("cat"),
            "{said}"
        );
    }
    let Service {
        mut process,
        mut errors,
        ..
    } = service;
    let mut told = String::new();
    errors.read_to_string(&mut told).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0), "{told}");
    assert!(told.trim_end().ends_with("stopped"), "{told}");
}

#[test]
fn a_taken_address_is_told_with_a_remedy() {
    let service = start(&[]);
    let second = Command::new(env!("CARGO_BIN_EXE_decap"))
        .args(["serve", "--listen", &service.address])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot listen on") && said.contains("--listen"),
        "{said}"
    );
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn options_that_make_no_sense_are_wrong_usage() {
    for options in [
        &["--fallback-url", "127.0.0.1:11434"][..],
        &["--fallback-url", "ftp://example.org"],
        &["--fallback-model", "llava"],
        &["--min-confidence", "0.5"],
        &["--allow-private-urls"],
        &[
            "--fallback-url",
            "http://127.0.0.1:1",
            "--fallback-seconds",
            "0",
        ],
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_decap"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(options)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{options:?}: {said}");
    }
}

/// A small request, and the body of its answer.
fn ask(service: &Service, method: &str, path: &str, body: &str) -> String {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    answer(service.send(request.as_bytes()))
}

#[test]
fn it_trains_for_this_machine_alone_unless_others_may() {
    let alone = start(&[]);
    assert!(ask(&alone, "GET", "/v1/train", "").contains("\"allowed\":true"));
    assert_eq!(alone.end().0, Some(0));
    let named = start(&["--host-name", "photos.example"]);
    assert!(ask(&named, "GET", "/v1/train", "").contains("\"allowed\":false"));
    assert_eq!(named.end().0, Some(0));
    let allowed = start(&["--host-name", "photos.example", "--allow-training"]);
    // One that runs is stopped by the end of the service.
    let lines: String = (0..40)
        .map(|line| format!("cat {line} on a mat\\n"))
        .collect();
    let lesson = format!("{{\"name\":\"cats\",\"text\":\"{lines}\",\"steps\":5000}}");
    let begun = ask(&allowed, "POST", "/v1/train", &lesson);
    assert!(begun.starts_with("HTTP/1.1 202"), "{begun}");
    let (code, told) = allowed.end();
    assert_eq!(code, Some(0), "{told}");
}
