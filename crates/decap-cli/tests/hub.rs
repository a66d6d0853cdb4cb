//! Encoders by their Hub id: the variables of the environment, a proxy, and what is said when it fails.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const REPOSITORY: &str = "openai/tiny-clip";

/// A repository behind the Hub's interface; it notes the first line and the token of each request.
/// It answers requests to a proxy (`GET http://host/path`) just the same.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves the files of `folder` until the test ends.
    fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, noted) = (folder.clone(), Arc::clone(&noted));
                // A client that went away is the client's business.
                std::thread::spawn(move || drop(answer(stream, &folder, &noted)));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

/// Answers the requests of one connection; a `CONNECT` leads to this server itself.
fn answer(mut stream: TcpStream, folder: &Path, noted: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut token = String::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if line.to_ascii_lowercase().starts_with("authorization:") {
                token = line.to_owned();
            }
        }
        noted
            .lock()
            .unwrap()
            .push(format!("{} {token}", request.trim()));
        let mut words = request.split_whitespace();
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if method == "CONNECT" {
            write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
            continue;
        }
        let path = target
            .strip_prefix("http://")
            .and_then(|rest| rest.find('/').map(|start| &rest[start..]))
            .unwrap_or(target);
        let mut body = Vec::new();
        let mut status = "200 OK";
        if path == format!("/api/models/{REPOSITORY}/revision/main") {
            let names = fs::read_dir(folder)?.flatten().map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                format!("{{\"rfilename\": \"{name}\"}}")
            });
            let names: Vec<String> = names.collect();
            body = format!(
                "{{\"sha\": \"{COMMIT}\", \"siblings\": [{}]}}",
                names.join(", ")
            )
            .into_bytes();
        } else if let Some(name) = path.strip_prefix(&format!("/{REPOSITORY}/resolve/{COMMIT}/")) {
            fs::File::open(folder.join(name))?.read_to_end(&mut body)?;
        } else if path.contains("private") {
            status = "401 Unauthorized";
        } else {
            status = "404 Not Found";
        }
        let etag = format!("{:040x}", path.len() * 7919 + body.len());
        write!(
            stream,
            "HTTP/1.1 {status}\r\netag: \"{etag}\"\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        if method != "HEAD" {
            stream.write_all(&body)?;
        }
    }
}

fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-encoder/tests/data/clip/hugging_face")
}

/// The program without any variable of this machine that the Hub's client looks at.
fn decap(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
    command.args(args).stdin(Stdio::null()).env("HF_HOME", home);
    for name in [
        "HF_HUB_CACHE",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HUB_OFFLINE",
        "ALL_PROXY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "all_proxy",
        "https_proxy",
        "http_proxy",
        "no_proxy",
    ] {
        command.env_remove(name);
    }
    command
}

fn run(command: &mut Command) -> (Output, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn an_encoder_is_pulled_once_and_used_offline() {
    let server = Server::start(clip());
    let endpoint = format!("http://{}/", server.address);
    let home = tempfile::tempdir().unwrap();
    let (output, stdout, stderr) = run(decap(home.path(), &["model", "pull", REPOSITORY])
        .env("HF_ENDPOINT", &endpoint)
        .env("HF_TOKEN", "hf_secret"));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let snapshot = home
        .path()
        .join("hub/models--openai--tiny-clip/snapshots")
        .join(COMMIT);
    assert_eq!(stdout.trim(), snapshot.to_str().unwrap());
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|line| line.contains("Bearer hf_secret")),
        "{requests:?}"
    );
    assert!(snapshot.join("model.safetensors").is_file());
    assert!(!snapshot.join("expected.safetensors").exists());

    let texts = home.path().join("texts.txt");
    fs::write(&texts, "ab\ncd\n").unwrap();
    let embeddings = home.path().join("texts.npy");
    let embed = [
        "embed",
        "--text",
        texts.to_str().unwrap(),
        "--encoder",
        REPOSITORY,
        "--output",
        embeddings.to_str().unwrap(),
    ];
    let (output, _, stderr) = run(decap(home.path(), &embed)
        .env("HF_ENDPOINT", &endpoint)
        .env("HF_HUB_OFFLINE", "1"));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(server.requests().is_empty(), "offline is offline");
    assert!(fs::metadata(&embeddings).unwrap().len() > 2 * 24 * 4);

    // A person sees the repository's name, not the commit's.
    let info = ["model", "info", REPOSITORY];
    let (_, stdout, stderr) = run(decap(home.path(), &info).env("HF_HUB_OFFLINE", "1"));
    assert!(stdout.contains(REPOSITORY), "{stdout}{stderr}");
}

#[test]
fn the_token_may_lie_where_other_clients_keep_it() {
    let server = Server::start(clip());
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("token"), "hf_from_file\n").unwrap();
    let (output, _, stderr) = run(decap(home.path(), &["model", "pull", REPOSITORY])
        .env("HF_ENDPOINT", format!("http://{}", server.address)));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|line| line.contains("Bearer hf_from_file")),
        "{requests:?}"
    );
}

#[test]
fn a_proxy_is_followed() {
    let proxy = Server::start(clip());
    let home = tempfile::tempdir().unwrap();
    // No such host: only the proxy can answer.
    let (output, _, stderr) = run(decap(home.path(), &["model", "pull", REPOSITORY])
        .env("HF_ENDPOINT", "http://hub.invalid")
        .env("HTTP_PROXY", format!("http://{}", proxy.address))
        .env("ALL_PROXY", format!("http://{}", proxy.address)));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let requests = proxy.requests();
    assert!(
        requests.iter().any(|line| line.contains("hub.invalid")),
        "{requests:?}"
    );
}

#[test]
fn wrong_ids_and_no_network_are_said_clearly() {
    let server = Server::start(clip());
    let endpoint = format!("http://{}", server.address);
    let nobody = "http://127.0.0.1:9".to_owned();
    let cases = [
        (
            vec!["model", "pull", "openai/no-such"],
            &endpoint,
            1,
            "`openai/no-such` (revision main) does not exist",
        ),
        (
            vec!["model", "pull", "openai/private"],
            &endpoint,
            1,
            "it is private, gated or does not exist, and HF_TOKEN is not set",
        ),
        (
            vec!["model", "pull", "clip-vit-base-patch32"],
            &endpoint,
            2,
            "expected an id of the Hugging Face Hub: OWNER/NAME",
        ),
        (
            vec!["model", "info", "models/typo"],
            &endpoint,
            1,
            "there is no folder or file `models/typo`",
        ),
        (
            vec!["model", "info", "typo"],
            &endpoint,
            2,
            "typo: expected a folder, a file, `tiny`, or an id of the Hugging Face Hub",
        ),
        (
            vec!["model", "pull", REPOSITORY],
            &nobody,
            1,
            "http://127.0.0.1:9 cannot be reached",
        ),
    ];
    for (args, endpoint, code, message) in cases {
        let home = tempfile::tempdir().unwrap();
        let (output, stdout, stderr) = run(decap(home.path(), &args).env("HF_ENDPOINT", endpoint));
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stdout.is_empty(), "{args:?}: {stdout}");
    }
    let home = tempfile::tempdir().unwrap();
    let pull = ["model", "pull", REPOSITORY];
    let (output, _, stderr) = run(decap(home.path(), &pull).env("HF_HUB_OFFLINE", "1"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("is not in the cache") && stderr.contains("HF_HUB_OFFLINE forbids"),
        "{stderr}"
    );
}
