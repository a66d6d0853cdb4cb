//! One file from the Hub into the cache: resumed, checked, and only then given its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use sha2::{Digest, Sha256};
use ureq::http::HeaderMap;

use super::{Hub, HubReference, Progress};
use decap::hexadecimal;
use decap::{Error, Result};

/// Largest file that is downloaded.
const MAX_FILE_BYTES: u64 = 64 << 30;

/// Largest file whose size the server does not say: descriptions, which are kilobytes.
const MAX_UNANNOUNCED_BYTES: u64 = 64 << 20;

/// Fewest bytes a second, over each [`HubOptions::timeout`](super::HubOptions::timeout): with fewer, a
/// download would not end.
const LEAST_BYTES_PER_SECOND: f64 = 512.0;

/// What the server says of a file before it sends it.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) url: String,
    /// Names the file; where it is a SHA-256, the file is compared with it.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

impl Announcement {
    /// What the `headers` of the answer for `url` say of the file; `is_file` where the answer is the
    /// file itself and no redirection.
    pub(super) fn read(url: String, headers: &HeaderMap, is_file: bool) -> Result<Self> {
        let etag = header(headers, "x-linked-etag").or(header(headers, "etag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        let is_name = |etag: &String| {
            (8..=128).contains(&etag.len())
                && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let etag = etag.filter(is_name).ok_or_else(|| {
            Error::Unavailable(format!(
                "{url}: expected an etag that names the file, got none"
            ))
        })?;
        // The length of a redirection is that of its own body.
        let own = header(headers, "content-length").filter(|_| is_file);
        let size = header(headers, "x-linked-size")
            .or(own)
            .and_then(|size| size.parse().ok());
        if size.is_some_and(|size: u64| size > MAX_FILE_BYTES) {
            return Err(Error::model(
                url,
                format!("expected at most {MAX_FILE_BYTES} bytes, got {size:?}"),
            ));
        }
        Ok(Announcement { url, etag, size })
    }
}

/// How an attempt at the rest of a file ended.
enum Attempt {
    Whole,
    /// The connection broke, or the server asked to come back; why.
    BrokeOff(String),
}

impl Hub {
    /// Downloads `file` of `commit` into its blob and links its snapshot to it.
    pub(super) fn download(
        &self,
        reference: &HubReference,
        commit: &str,
        file: &str,
        repository: &Path,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<()> {
        let announced = self.announcement(reference, commit, file)?;
        let blob = repository.join("blobs").join(&announced.etag);
        if !blob.is_file() {
            self.fill_blob(&announced, &blob, file, progress)?;
        }
        link(
            &blob,
            &repository.join("snapshots").join(commit).join(file),
            &announced.etag,
            file,
        )
    }

    /// Asks for the file without following redirections: the Hub itself knows its hash, the store
    /// behind it does not.
    fn announcement(
        &self,
        reference: &HubReference,
        commit: &str,
        file: &str,
    ) -> Result<Announcement> {
        let endpoint = &self.options.endpoint;
        let url = format!(
            "{endpoint}/{}/resolve/{commit}/{}",
            reference.repository,
            escape(file)
        );
        let mut request = self
            .agent
            .head(&url)
            .config()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .header("accept-encoding", "identity");
        if let Some(token) = &self.options.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.call().map_err(|error| {
            Error::Unavailable(format!("{endpoint} cannot be reached: {error}"))
        })?;
        let status = response.status();
        if !status.is_success() && !status.is_redirection() {
            return Err(self.refused(reference, status.as_u16()));
        }
        Announcement::read(url, response.headers(), status.is_success())
    }

    /// Fills the file `blob`, which another process may be filling too.
    pub(super) fn fill_blob(
        &self,
        announced: &Announcement,
        blob: &Path,
        file: &str,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<()> {
        let partial = blob.with_file_name(format!("{}.incomplete", announced.etag));
        let failed = |source| Error::io(&partial, source);
        if let Some(folder) = blob.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .clone();
        let mut output = options.open(&partial).map_err(failed)?;
        // One process at a time writes a blob; the next one finds it whole.
        output.lock().map_err(failed)?;
        if blob.is_file() {
            return Ok(());
        }
        let mut wait = self.options.retry_wait;
        let mut reason = String::new();
        for attempt in 0..=self.options.retries {
            if attempt > 0 {
                thread::sleep(wait);
                wait *= 2;
            }
            match self.attempt(announced, &mut output, &partial, file, progress)? {
                Attempt::Whole => {
                    check(announced, &mut output, &partial)?;
                    output.sync_all().map_err(failed)?;
                    return fs::rename(&partial, blob).map_err(failed);
                }
                Attempt::BrokeOff(why) => reason = why,
            }
        }
        Err(Error::Unavailable(format!(
            "{}: broke off {} times ({reason}); what has arrived is kept and taken up next time",
            announced.url,
            self.options.retries + 1
        )))
    }

    /// Appends what is missing of the file.
    fn attempt(
        &self,
        announced: &Announcement,
        output: &mut File,
        partial: &Path,
        file: &str,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Attempt> {
        let failed = |source| Error::io(partial, source);
        let mut have = output.seek(SeekFrom::End(0)).map_err(failed)?;
        if announced.size.is_some_and(|size| have > size) {
            restart(output).map_err(failed)?;
            have = 0;
        }
        if announced.size == Some(have) && have > 0 {
            return Ok(Attempt::Whole);
        }
        let response = match self.get(&announced.url, (have > 0).then_some(have)) {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::BrokeOff(error.to_string())),
        };
        match response.status().as_u16() {
            206 if have > 0 && starts_at(response.headers(), have) => {}
            // The server does not resume: it sends all of it.
            200 => {
                restart(output).map_err(failed)?;
                have = 0;
            }
            206 => {
                restart(output).map_err(failed)?;
                return Ok(Attempt::BrokeOff(
                    "another part than was asked for".to_owned(),
                ));
            }
            416 => {
                restart(output).map_err(failed)?;
                return Ok(Attempt::BrokeOff(
                    "the server has fewer bytes than arrived".to_owned(),
                ));
            }
            status => return Ok(Attempt::BrokeOff(format!("the server answered {status}"))),
        }
        let limit = announced.size.unwrap_or(MAX_UNANNOUNCED_BYTES);
        let (mut since, mut arrived) = (Instant::now(), 0);
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Ok(Attempt::BrokeOff(error.to_string())),
            };
            have += count as u64;
            arrived += count as u64;
            let elapsed = since.elapsed();
            if elapsed >= self.options.timeout {
                let least = LEAST_BYTES_PER_SECOND * elapsed.as_secs_f64();
                if (arrived as f64) < least {
                    let seconds = elapsed.as_secs_f64();
                    let why = format!("{arrived} bytes in {seconds:.0} s are too few");
                    return Ok(Attempt::BrokeOff(why));
                }
                (since, arrived) = (Instant::now(), 0);
            }
            if have > limit {
                restart(output).map_err(failed)?;
                return Err(Error::model(
                    &announced.url,
                    match announced.size {
                        Some(size) => format!("expected {size} bytes, got more"),
                        None => format!("expected at most {limit} bytes, got more"),
                    },
                ));
            }
            output.write_all(&buffer[..count]).map_err(failed)?;
            progress(&Progress {
                file: file.to_owned(),
                bytes: have,
                total: announced.size,
            });
        }
        Ok(match announced.size {
            Some(size) if have < size => {
                Attempt::BrokeOff(format!("{have} of {size} bytes arrived"))
            }
            _ => Attempt::Whole,
        })
    }
}

/// Compares length and, where the etag is one, SHA-256; a wrong file is thrown away.
fn check(announced: &Announcement, output: &mut File, partial: &Path) -> Result<()> {
    let failed = |source| Error::io(partial, source);
    let is_sha256 =
        announced.etag.len() == 64 && announced.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_sha256 {
        return Ok(());
    }
    output.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = output.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    let found = hexadecimal(&hasher.finalize());
    if found != announced.etag.to_ascii_lowercase() {
        restart(output).map_err(failed)?;
        return Err(Error::model(
            &announced.url,
            format!(
                "expected SHA-256 {}, got {found}: it arrived damaged",
                announced.etag
            ),
        ));
    }
    Ok(())
}

fn restart(output: &mut File) -> io::Result<()> {
    output.set_len(0)?;
    output.seek(SeekFrom::Start(0)).map(drop)
}

/// Whether `content-range: bytes 100-199/200` begins at `start`.
pub(super) fn starts_at(headers: &HeaderMap, start: u64) -> bool {
    header(headers, "content-range")
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split_once('-'))
        .is_some_and(|(from, _)| from.trim().parse() == Ok(start))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Makes the snapshot's file a link to the blob, or a copy where there are no links.
fn link(blob: &Path, path: &Path, etag: &str, file: &str) -> Result<()> {
    let failed = |source| Error::io(path, source);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // A link to nowhere, or to itself, is in the way.
    if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path).map_err(failed)?;
    }
    let mut target = PathBuf::new();
    // From `snapshots/COMMIT/a/b` up to the repository.
    for _ in 0..Path::new(file).components().count() + 1 {
        target.push("..");
    }
    target.push("blobs");
    target.push(etag);
    make_link(&target, blob, path).map_err(failed)
}

#[cfg(unix)]
fn make_link(target: &Path, _blob: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn make_link(_target: &Path, blob: &Path, path: &Path) -> io::Result<()> {
    fs::copy(blob, path).map(drop)
}

/// A path for a URL: what is not plain is written as `%XX`.
fn escape(file: &str) -> String {
    let mut escaped = String::with_capacity(file.len());
    for byte in file.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
