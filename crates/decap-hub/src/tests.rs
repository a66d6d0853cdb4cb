//! The client against a server on this machine that cuts connections and lies about lengths.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::*;
use decap::hexadecimal;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const REPOSITORY: &str = "openai/tiny-clip";

/// What goes wrong while a file is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing.
    None,
    /// The connection is cut after so many bytes of each answer.
    CutAfter(usize),
    /// As before, and requests for a part are answered with the whole.
    CutAfterWithoutResume(usize),
    /// Parts begin elsewhere than they were asked for.
    OtherPart,
    /// One byte is wrong.
    WrongByte,
    /// The announcement says so many bytes more.
    AnnouncesMore(usize),
    /// The announcement says so many bytes fewer.
    AnnouncesFewer(usize),
    /// Every answer is this status.
    Status(u16),
    /// A byte at a time, with a pause after each that no timeout of a read is as long as.
    OneByteAtATime,
}

struct State {
    files: HashMap<&'static str, Vec<u8>>,
    weights_fault: Mutex<Fault>,
    listing_status: Mutex<u16>,
    downloads: AtomicUsize,
    authorised: AtomicUsize,
    stopping: AtomicBool,
}

/// A small repository behind the Hub's interface, on a port that the system picks.
struct Server {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let weights: Vec<u8> = (0..300_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        Self::with(HashMap::from([
            ("config.json", b"{\"model_type\": \"clip\"}".to_vec()),
            ("model.safetensors", weights),
            ("pytorch_model.bin", b"not wanted".to_vec()),
            ("README.md", b"not wanted".to_vec()),
        ]))
    }

    fn with(files: HashMap<&'static str, Vec<u8>>) -> Self {
        let state = Arc::new(State {
            files,
            weights_fault: Mutex::new(Fault::None),
            listing_status: Mutex::new(200),
            downloads: AtomicUsize::new(0),
            authorised: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopping.load(Ordering::SeqCst) {
                    return;
                }
                // A client that went away is the client's business.
                drop(stream.and_then(|stream| shared.answer(stream)));
            }
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    fn set(&self, fault: Fault) {
        *self.state.weights_fault.lock().unwrap() = fault;
    }

    fn downloads(&self) -> usize {
        self.state.downloads.load(Ordering::SeqCst)
    }

    fn weights(&self) -> &[u8] {
        &self.state.files["model.safetensors"]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut from = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.strip_prefix("range: bytes=") {
                from = range.trim_end_matches('-').parse::<usize>().ok();
            }
            if line == "authorization: bearer secret" {
                self.authorised.fetch_add(1, Ordering::SeqCst);
            }
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if path == format!("/api/models/{REPOSITORY}/revision/main") {
            return self.send_listing(&mut stream);
        }
        let file = path
            .strip_prefix(&format!("/{REPOSITORY}/resolve/{COMMIT}/"))
            .or(path.strip_prefix("/releases/"));
        match file.and_then(|file| self.files.get_key_value(file)) {
            Some((&name, content)) if method == "HEAD" => self.announce(&mut stream, name, content),
            Some((&name, content)) => self.send(&mut stream, name, content, from),
            None => send_status(&mut stream, 404),
        }
    }

    fn send_listing(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let status = *self.listing_status.lock().unwrap();
        if status != 200 {
            return send_status(stream, status);
        }
        let names = self.files.keys().chain(&["../../evil"]);
        let siblings: Vec<_> = names
            .map(|name| serde_json::json!({"rfilename": name}))
            .collect();
        let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn fault_of(&self, name: &str) -> Fault {
        if matches!(name, "model.safetensors" | "small.tar") {
            *self.weights_fault.lock().unwrap()
        } else {
            Fault::None
        }
    }

    fn announce(&self, stream: &mut TcpStream, name: &str, content: &[u8]) -> std::io::Result<()> {
        let size = match self.fault_of(name) {
            Fault::AnnouncesMore(more) => content.len() + more,
            Fault::AnnouncesFewer(fewer) => content.len() - fewer,
            Fault::Status(status) => return send_status(stream, status),
            _ => content.len(),
        };
        let etag = hexadecimal(&Sha256::digest(content));
        // As the Hub does for large files: a redirection that names hash and length.
        write!(
            stream,
            "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: /elsewhere\r\ncontent-length: 9\r\n\
             x-linked-etag: \"{etag}\"\r\nx-linked-size: {size}\r\n\r\n"
        )
    }

    fn send(
        &self,
        stream: &mut TcpStream,
        name: &str,
        content: &[u8],
        from: Option<usize>,
    ) -> std::io::Result<()> {
        self.downloads.fetch_add(1, Ordering::SeqCst);
        let fault = self.fault_of(name);
        let mut content = content.to_vec();
        let mut from = from.filter(|_| !matches!(fault, Fault::CutAfterWithoutResume(_)));
        let mut sent = usize::MAX;
        match fault {
            Fault::CutAfter(count) | Fault::CutAfterWithoutResume(count) => sent = count,
            Fault::WrongByte => content[1000] ^= 1,
            Fault::OtherPart => from = from.map(|from| from / 2),
            Fault::Status(status) => return send_status(stream, status),
            _ => {}
        }
        let start = from.unwrap_or(0);
        let body = &content[start.min(content.len())..];
        match from {
            Some(start) => write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {start}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            )?,
            None => write!(stream, "HTTP/1.1 200 OK\r\n")?,
        }
        write!(
            stream,
            "connection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        if fault == Fault::OneByteAtATime {
            return trickle(stream, body);
        }
        stream.write_all(&body[..sent.min(body.len())])
    }
}

/// Sends a byte every few milliseconds until the client hangs up.
fn trickle(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(5);
    for byte in body {
        stream.write_all(std::slice::from_ref(byte))?;
        let sent = Instant::now();
        while sent.elapsed() < PAUSE {
            std::thread::yield_now();
        }
    }
    Ok(())
}

fn send_status(stream: &mut TcpStream, status: u16) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
}

fn options(server: &Server, cache: &Path) -> HubOptions {
    HubOptions {
        cache: cache.to_owned(),
        endpoint: format!("http://{}", server.address),
        token: None,
        network: Network::Online,
        proxy: ProxyChoice::None,
        retries: 4,
        retry_wait: Duration::ZERO,
        timeout: Duration::from_secs(10),
    }
}

fn reference() -> HubReference {
    HubReference::parse(REPOSITORY).unwrap()
}

fn fetch(options: &HubOptions) -> Result<PathBuf> {
    Hub::new(options.clone()).pull(&reference(), &mut |_| {})
}

/// No file below the cache may look whole and not be.
fn assert_no_weights(cache: &Path) {
    let repository = cache.join(reference().folder());
    assert!(
        !repository
            .join("snapshots")
            .join(COMMIT)
            .join("model.safetensors")
            .exists()
    );
    if let Ok(blobs) = fs::read_dir(repository.join("blobs")) {
        for blob in blobs {
            let blob = blob.unwrap();
            let name = blob.file_name().to_string_lossy().into_owned();
            assert!(
                name.ends_with(".incomplete") || blob.metadata().unwrap().len() < 100,
                "{name}"
            );
        }
    }
}

#[test]
fn a_repository_comes_once_into_the_usual_layout() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    let mut last = None;
    let mut see = |progress: &Progress| {
        if progress.file == "model.safetensors" {
            last = Some(progress.clone());
        }
    };
    let folder = Hub::new(options.clone())
        .pull(&reference(), &mut see)
        .unwrap();
    let size = server.weights().len() as u64;
    assert_eq!(
        last.map(|progress| (progress.bytes, progress.total)),
        Some((size, Some(size)))
    );
    let repository = cache.path().join("models--openai--tiny-clip");
    assert_eq!(folder, repository.join("snapshots").join(COMMIT));
    assert_eq!(
        fs::read_to_string(repository.join("refs/main")).unwrap(),
        COMMIT
    );
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
    let blob = repository
        .join("blobs")
        .join(hexadecimal(&Sha256::digest(server.weights())));
    assert_eq!(
        fs::canonicalize(folder.join("model.safetensors")).unwrap(),
        fs::canonicalize(blob).unwrap()
    );
    assert!(!folder.join("pytorch_model.bin").exists() && !folder.join("README.md").exists());
    assert!(!cache.path().join("evil").exists());
    let downloads = server.downloads();
    assert_eq!(downloads, 2);
    assert_eq!(fetch(&options).unwrap(), folder);
    assert_eq!(server.downloads(), downloads, "nothing is fetched twice");
    let offline = HubOptions {
        network: Network::Offline,
        ..options
    };
    drop(server);
    assert_eq!(fetch(&offline).unwrap(), folder);
    let unreachable = HubOptions {
        network: Network::Online,
        ..offline
    };
    assert_eq!(
        fetch(&unreachable).unwrap(),
        folder,
        "the cache does without the network"
    );
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    server.set(Fault::CutAfter(100_000));
    let folder = fetch(&options).unwrap();
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
    // 100,000 bytes each time: three for the weights, one for the configuration.
    assert!(
        (4..=5).contains(&server.downloads()),
        "{} downloads",
        server.downloads()
    );
}

#[test]
fn a_half_download_never_counts_as_whole() {
    let cases = [
        (Fault::CutAfter(1000), "unavailable", "broke off 5 times"),
        (
            Fault::CutAfterWithoutResume(200_000),
            "unavailable",
            "broke off 5 times",
        ),
        (Fault::WrongByte, "model", "expected SHA-256"),
        (
            Fault::AnnouncesMore(10),
            "unavailable",
            "300000 of 300010 bytes arrived",
        ),
        (
            Fault::AnnouncesFewer(10),
            "model",
            "expected 299990 bytes, got more",
        ),
        (Fault::Status(500), "unavailable", "the server answered 500"),
        (Fault::Status(403), "unavailable", "access refused"),
    ];
    for (fault, kind, message) in cases {
        let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
        let options = options(&server, cache.path());
        server.set(fault);
        let error = fetch(&options).unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        assert!(error.to_string().contains(message), "{fault:?}: {error}");
        assert_no_weights(cache.path());
        let offline = HubOptions {
            network: Network::Offline,
            ..options.clone()
        };
        assert_eq!(
            fetch(&offline).unwrap_err().kind(),
            "unavailable",
            "{fault:?}"
        );
        // The next run, with a sound server, makes it whole.
        server.set(Fault::None);
        let folder = fetch(&options).unwrap();
        assert_eq!(
            fs::read(folder.join("model.safetensors")).unwrap(),
            server.weights(),
            "{fault:?}"
        );
    }
}

#[test]
fn another_part_than_was_asked_for_is_not_taken() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    server.set(Fault::CutAfter(1000));
    fetch(&options).unwrap_err();
    server.set(Fault::OtherPart);
    let folder = fetch(&options).unwrap();
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
}

#[test]
fn refusals_say_what_to_do() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    for (status, message) in [
        (401, "HF_TOKEN is not set"),
        (404, "(revision main) does not exist"),
    ] {
        *server.state.listing_status.lock().unwrap() = status;
        let error = fetch(&options).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    *server.state.listing_status.lock().unwrap() = 200;
    let with_token = HubOptions {
        token: Some("secret".to_owned()),
        ..options.clone()
    };
    fetch(&with_token).unwrap();
    assert!(server.state.authorised.load(Ordering::SeqCst) > 0);
    let other = HubReference::parse("openai/no-such").unwrap();
    let error = Hub::new(options.clone())
        .pull(&other, &mut |_| {})
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`openai/no-such` (revision main) does not exist"),
        "{error}"
    );
    let offline = HubOptions {
        network: Network::Offline,
        ..options
    };
    let error = Hub::new(offline).pull(&other, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_loop_of_links_in_the_cache_is_replaced() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    let snapshot = cache
        .path()
        .join(reference().folder())
        .join("snapshots")
        .join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink("model.safetensors", snapshot.join("model.safetensors")).unwrap();
    let error = decap::weights::Checkpoint::open(&snapshot.join("model.safetensors")).unwrap_err();
    assert_eq!(error.kind(), "io", "{error}");
    let folder = fetch(&options).unwrap();
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
}

#[cfg(unix)]
#[test]
fn a_snapshot_that_links_to_itself_is_named() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    let snapshots = cache.path().join(reference().folder()).join("snapshots");
    fs::create_dir_all(&snapshots).unwrap();
    std::os::unix::fs::symlink(COMMIT, snapshots.join(COMMIT)).unwrap();
    let error = fetch(&options).unwrap_err();
    assert_eq!(error.kind(), "io", "{error}");
    assert!(error.to_string().contains(COMMIT), "{error}");
    // Without a network it is no snapshot at all; and a folder within itself is walked to an end.
    fs::remove_file(snapshots.join(COMMIT)).unwrap();
    fs::create_dir(snapshots.join(COMMIT)).unwrap();
    std::os::unix::fs::symlink("..", snapshots.join(COMMIT).join("up")).unwrap();
    fs::create_dir_all(snapshots.with_file_name("refs")).unwrap();
    fs::write(snapshots.with_file_name("refs").join("main"), COMMIT).unwrap();
    let offline = HubOptions {
        network: Network::Offline,
        ..options
    };
    assert_eq!(fetch(&offline).unwrap_err().kind(), "unavailable");
}

#[test]
fn names_that_leave_the_folder_are_not_plain() {
    for name in ["", "/etc/passwd", "../x", "a/../../b", "a\\b", "a\0b"] {
        assert!(!files::is_plain_path(name), "{name:?}");
    }
    assert!(files::is_plain_path("onnx/model.onnx"));
    for text in [
        "a/b/c", "/a/b", "a", "a/", "../b", "a/b@", "a b/c", "C:/x/y", "a/b@../c",
    ] {
        assert!(HubReference::parse(text).is_none(), "{text}");
    }
}

/// The files that were fetched into the only snapshot below `cache`.
fn fetched(cache: &Path) -> Vec<String> {
    let repository = cache.join(reference().folder());
    files::files_below(&repository.join("snapshots").join(COMMIT))
}

#[test]
fn what_cannot_be_read_is_refused_before_its_weights_come() {
    let siglip = b"{\"model_type\": \"siglip\"}".to_vec();
    let server = Server::with(HashMap::from([
        ("config.json", siglip),
        ("model.safetensors", vec![0; 1000]),
    ]));
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&options(&server, cache.path())).unwrap_err();
    let message = error.to_string();
    assert_eq!(error.kind(), "unsupported", "{message}");
    assert!(
        message.contains("openai/tiny-clip/config.json") && message.contains("use an ONNX export"),
        "{message}"
    );
    assert_eq!(fetched(cache.path()), ["config.json"]);
    let server = Server::with(HashMap::from([("weights.bin", vec![0; 1000])]));
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&options(&server, cache.path())).unwrap_err();
    assert!(
        error.to_string().contains("expected weights of a CLIP"),
        "{error}"
    );
}

#[test]
fn exports_come_with_both_towers_and_what_lies_beside_them() {
    let siglip = b"{\"model_type\": \"siglip\"}".to_vec();
    let server = Server::with(HashMap::from([
        ("config.json", siglip),
        ("preprocessor_config.json", b"{}".to_vec()),
        ("tokenizer_config.json", b"{}".to_vec()),
        ("model.safetensors", b"not wanted".to_vec()),
        ("onnx/vision_model.onnx", b"vision".to_vec()),
        ("onnx/vision_model.onnx_data", b"weights".to_vec()),
        ("onnx/text_model.onnx", b"text".to_vec()),
        ("onnx/text_model_fp16.onnx", b"not wanted".to_vec()),
    ]));
    let cache = tempfile::tempdir().unwrap();
    let options = options(&server, cache.path());
    let folder = fetch(&options).unwrap();
    let wanted = [
        "config.json",
        "onnx/text_model.onnx",
        "onnx/vision_model.onnx",
        "onnx/vision_model.onnx_data",
        "preprocessor_config.json",
        "tokenizer_config.json",
    ];
    assert_eq!(fetched(cache.path()), wanted);
    let offline = HubOptions {
        network: Network::Offline,
        ..options
    };
    assert_eq!(fetch(&offline).unwrap(), folder);
    fs::remove_file(folder.join("onnx/text_model.onnx")).unwrap();
    assert_eq!(fetch(&offline).unwrap_err().kind(), "unavailable");
}

#[test]
fn a_model_comes_with_its_memory_and_its_encoder() {
    let server = Server::with(HashMap::from([
        ("model.json", b"{}".to_vec()),
        ("decoder.json", b"{}".to_vec()),
        ("decoder.safetensors", b"decoder".to_vec()),
        ("memory.safetensors", b"memory".to_vec()),
        ("captions.txt", b"a dog\n".to_vec()),
        ("tokenizer.json", b"{}".to_vec()),
        ("encoder/encoder.json", b"{}".to_vec()),
        ("encoder/image.onnx", b"image".to_vec()),
        ("training.log", b"not wanted".to_vec()),
    ]));
    let cache = tempfile::tempdir().unwrap();
    fetch(&options(&server, cache.path())).unwrap();
    let files = fetched(cache.path());
    assert_eq!(files.len(), 8, "{files:?}");
    assert!(!files.contains(&"training.log".to_owned()));
}

/// A tar of these files, as `tools/pack-model.sh` makes it.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Set by hand: the library itself refuses names that leave the folder.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A server of `content` as `small.tar`, and what it is said to be.
fn archive_of(content: Vec<u8>) -> (Server, ModelArchive) {
    let (sha256, bytes) = (hexadecimal(&Sha256::digest(&content)), content.len() as u64);
    let server = Server::with(HashMap::from([("small.tar", content)]));
    let archive = ModelArchive {
        name: "small".to_owned(),
        url: format!("http://{}/releases/small.tar", server.address),
        sha256,
        bytes,
    };
    (server, archive)
}

#[test]
fn an_archive_comes_once_and_without_the_token() {
    let (server, archive) = archive_of(tar_of(&[
        ("small/model.json", b"{}"),
        ("small/encoder/encoder.json", &[7; 5000]),
    ]));
    let cache = tempfile::tempdir().unwrap();
    let with_token = HubOptions {
        token: Some("secret".to_owned()),
        ..options(&server, cache.path())
    };
    // Cut twice, and taken up.
    server.set(Fault::CutAfter(3000));
    let pull = |options: &HubOptions| archive.pull(cache.path(), options.clone(), &mut |_| {});
    let folder = pull(&with_token).unwrap();
    assert_eq!(fs::read(folder.join("model.json")).unwrap(), b"{}");
    assert_eq!(
        fs::read(folder.join("encoder/encoder.json")).unwrap(),
        [7; 5000]
    );
    assert_eq!(server.state.authorised.load(Ordering::SeqCst), 0);
    let downloads = server.downloads();
    assert!(downloads > 1, "it was cut");
    let offline = HubOptions {
        network: Network::Offline,
        ..with_token
    };
    assert_eq!(pull(&offline).unwrap(), folder);
    assert_eq!(server.downloads(), downloads);
    let left: Vec<_> = fs::read_dir(cache.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "the archive itself is not kept: {left:?}");
}

#[test]
fn two_who_want_an_archive_at_once_get_one() {
    let (server, archive) = archive_of(tar_of(&[("small/model.json", &[1; 200_000])]));
    let cache = tempfile::tempdir().unwrap();
    let pull = || archive.pull(cache.path(), options(&server, cache.path()), &mut |_| {});
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..4).map(|_| scope.spawn(pull)).collect();
        for pull in pulls {
            assert_eq!(pull.join().unwrap().unwrap(), archive.folder(cache.path()));
        }
    });
    if cfg!(unix) {
        assert_eq!(server.downloads(), 1);
    }
}

#[test]
fn another_archive_is_refused_and_nothing_is_kept_of_it() {
    let (server, archive) = archive_of(tar_of(&[("small/model.json", &[1; 2000])]));
    server.set(Fault::WrongByte);
    let cache = tempfile::tempdir().unwrap();
    let options = options(&server, cache.path());
    let error = archive.pull(cache.path(), options.clone(), &mut |_| {});
    let message = error.unwrap_err().to_string();
    assert!(message.contains("expected SHA-256"), "{message}");
    assert!(!archive.folder(cache.path()).exists());
    let offline = HubOptions {
        network: Network::Offline,
        ..options.clone()
    };
    let message = archive
        .pull(cache.path(), offline, &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(message.contains("HF_HUB_OFFLINE"), "{message}");
    server.set(Fault::None);
    assert!(archive.pull(cache.path(), options, &mut |_| {}).is_ok());
}

#[test]
fn an_archive_never_writes_elsewhere() {
    for name in ["small/../../evil", "/tmp/evil", "evil", "small/a/../../b"] {
        let (server, archive) = archive_of(tar_of(&[(name, b"evil")]));
        let cache = tempfile::tempdir().unwrap();
        let below = cache.path().join("below");
        let error = archive.pull(&below, options(&server, &below), &mut |_| {});
        let message = error.unwrap_err().to_string();
        assert!(message.contains("expected files below small/"), "{message}");
        let left: Vec<_> = fs::read_dir(cache.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(!archive.folder(&below).exists());
    }
}

#[test]
fn a_download_that_would_not_end_is_given_up() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    server.set(Fault::OneByteAtATime);
    let mut options = options(&server, cache.path());
    options.timeout = Duration::from_millis(200);
    options.retries = 1;
    let error = fetch(&options).unwrap_err();
    assert_eq!(error.kind(), "unavailable");
    assert!(error.to_string().contains("are too few"), "{error}");
    // What has arrived is the beginning of what comes next time.
    server.set(Fault::None);
    let folder = fetch(&options).unwrap();
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
}

#[test]
fn a_repository_of_a_hundred_thousand_files_is_refused() {
    let (folder, mut asked) = (tempfile::tempdir().unwrap(), 0);
    let mut names: Vec<String> = (0..100_000).map(|part| format!("encoder/{part}")).collect();
    names.push("model.json".to_owned());
    let wanted = files::for_each_wanted(&names, folder.path(), |_| {
        asked += 1;
        Ok(())
    });
    assert!(
        wanted
            .unwrap_err()
            .to_string()
            .contains("at most 1000 files")
    );
    assert_eq!(asked, 1000);
}
