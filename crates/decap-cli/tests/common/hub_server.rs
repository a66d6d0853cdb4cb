//! One repository behind the Hub's interface, on a free port of this machine.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The commit that the repository's `main` is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Notes the first line and the token of each request. It answers requests to a proxy
/// (`GET http://host/path`) just the same.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

struct Repository {
    id: String,
    folder: PathBuf,
}

impl Server {
    /// Serves the files of `folder` as the repository `id` until the test ends.
    pub fn start(id: &str, folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        let repository = Arc::new(Repository {
            id: id.to_owned(),
            folder,
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (repository, noted) = (Arc::clone(&repository), Arc::clone(&noted));
                // A client that went away is the client's business.
                std::thread::spawn(move || drop(repository.answer(stream, &noted)));
            }
        });
        Self { address, requests }
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

impl Repository {
    /// Answers the requests of one connection; a `CONNECT` leads to this server itself.
    fn answer(&self, mut stream: TcpStream, noted: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let mut request = String::new();
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
            let token = read_token(&mut reader)?;
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
            let (status, body) = self.find(path)?;
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

    /// Status and body of the answer for `path`.
    fn find(&self, path: &str) -> std::io::Result<(&'static str, Vec<u8>)> {
        let id = &self.id;
        if path == format!("/api/models/{id}/revision/main") {
            let files = fs::read_dir(&self.folder)?.flatten();
            let names = files.map(|file| {
                let name = file.file_name().to_string_lossy().into_owned();
                format!("{{\"rfilename\": \"{name}\"}}")
            });
            let names: Vec<String> = names.collect();
            let names = names.join(", ");
            let body = format!("{{\"sha\": \"{COMMIT}\", \"siblings\": [{names}]}}");
            return Ok(("200 OK", body.into_bytes()));
        }
        if let Some(name) = path.strip_prefix(&format!("/{id}/resolve/{COMMIT}/")) {
            let mut body = Vec::new();
            fs::File::open(self.folder.join(name))?.read_to_end(&mut body)?;
            return Ok(("200 OK", body));
        }
        let status = match path.contains("private") {
            true => "401 Unauthorized",
            false => "404 Not Found",
        };
        Ok((status, Vec::new()))
    }
}

/// Reads the headers; the one that carries a token.
fn read_token(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut token = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim();
        if line.is_empty() {
            return Ok(token);
        }
        if line.to_ascii_lowercase().starts_with("authorization:") {
            token = line.to_owned();
        }
    }
}

/// The tiny CLIP of the library's tests, in the layout of Hugging Face.
pub fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-encoder/tests/data/clip/hugging_face")
}

/// The variables of this machine that the Hub's client looks at.
pub const VARIABLES: [&str; 14] = [
    "HF_HOME",
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
];
