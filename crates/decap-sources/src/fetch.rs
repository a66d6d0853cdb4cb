//! Photos at addresses of the web, within limits, and from the public internet alone.

use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use decap::{Error, Input, InputFault, Result};
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// Addresses that are fetched at a time. A server that answers slowly holds up no more than its own.
pub(crate) const AT_A_TIME: usize = 8;

/// The largest answer, in bytes, whatever a photo's file may have: eight of them are held at a time.
const LARGEST_ANSWER: u64 = 64 << 20;

/// A photo takes no longer, redirects and all.
const LONGEST: Duration = Duration::from_secs(60);
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

const MOST_REDIRECTS: u32 = 5;

/// Which addresses are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Those of the public internet. A name or a redirect that leads to this machine or its network is refused.
    #[default]
    Public,
    /// All.
    Everywhere,
}

/// Whether `path` is an address of the web.
pub fn is_url(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    [&b"http://"[..], b"https://"].iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

/// Fetches photos.
pub struct Fetcher {
    agent: Agent,
    largest: u64,
}

impl Fetcher {
    /// One that takes answers of at most `file_bytes`.
    pub fn new(reach: Reach, file_bytes: u64) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(LONGEST))
            .timeout_connect(Some(LONGEST_CONNECT))
            .max_redirects(MOST_REDIRECTS)
            .user_agent(concat!("decap/", env!("CARGO_PKG_VERSION")))
            // A proxy would resolve names itself, and reach its own network.
            .proxy(None)
            .build();
        let guarded = Guarded {
            reach,
            resolver: DefaultResolver::default(),
        };
        Self {
            agent: Agent::with_parts(config, DefaultConnector::new(), guarded),
            largest: file_bytes.min(LARGEST_ANSWER),
        }
    }

    /// Each of `addresses`, in order, with its photo's bytes.
    pub(crate) fn fetch_all(&self, addresses: &[String]) -> Vec<Result<Input>> {
        thread::scope(|scope| {
            let mut fetching = Vec::new();
            for address in addresses {
                fetching.push(scope.spawn(move || self.fetch(address)));
            }
            fetching
                .into_iter()
                .zip(addresses)
                .map(|(one, address)| {
                    let died = |_| Err(fault(address, "the download failed"));
                    one.join().unwrap_or_else(died)
                })
                .collect()
        })
    }

    /// The largest answer that is taken, in bytes.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// The bytes of the photo at `address`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be had; [`Error::Input`] where it is too large.
    pub fn fetch(&self, address: &str) -> Result<Input> {
        let failed = |error: ureq::Error| match error {
            ureq::Error::StatusCode(404 | 410) => {
                Error::io(address, io::ErrorKind::NotFound.into())
            }
            ureq::Error::StatusCode(code) => fault(address, &format!("the server answered {code}")),
            ureq::Error::Io(source) => Error::io(address, source),
            error => fault(address, &error.to_string()),
        };
        let mut answer = self.agent.get(address).call().map_err(failed)?;
        let body = answer.body_mut();
        let too_large = || {
            let message = format!(
                "expected at most {} MiB from the web, got more",
                self.largest >> 20
            );
            Error::input(address, InputFault::TooLarge(message))
        };
        if body
            .content_length()
            .is_some_and(|length| length > self.largest)
        {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let read = body
            .as_reader()
            .take(self.largest + 1)
            .read_to_end(&mut bytes);
        read.map_err(|source| Error::io(address, source))?;
        match bytes.len() as u64 > self.largest {
            true => Err(too_large()),
            false => Ok(Input::Bytes {
                name: address.into(),
                bytes,
            }),
        }
    }
}

fn fault(address: &str, message: &str) -> Error {
    Error::io(address, io::Error::other(message.to_owned()))
}

/// Resolves names to addresses within reach. The connection goes to what was looked at, so a name that resolves
/// otherwise a moment later gains nothing; each redirect is resolved in the same way.
struct Guarded {
    reach: Reach,
    resolver: DefaultResolver,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Guarded").field(&self.reach).finish()
    }
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.resolver.resolve(uri, config, timeout)?;
        let is_private = |address: &std::net::SocketAddr| !is_public(address.ip());
        match self.reach == Reach::Public && found.iter().any(is_private) {
            true => Err(ureq::Error::Io(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} is on this machine or its network; --allow-private-urls fetches from there",
                    uri.host().unwrap_or_default()
                ),
            ))),
            false => Ok(found),
        }
    }
}

/// Whether an address belongs to the public internet: not to this machine, its network, or nobody
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, and the same for IPv6).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_protocol = (first, second, third) == (192, 0, 0);
    let is_benchmark = first == 198 && (18..20).contains(&second);
    !(first == 0
        || first >= 240
        || is_shared
        || is_protocol
        || is_benchmark
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // ::ffff:0:0/96 and 64:ff9b::/96 stand for addresses of IPv4, 2002::/16 for networks of them.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        [0x2002, high, low, ..] => embedded(high, low),
        // 2001::/23 is for protocols, 2001:db8::/32 for documents.
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        // All that is given out is in 2000::/3.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Photos that an earlier run has done, which need not be fetched again.
#[derive(Debug, Clone, Default)]
pub struct Done(std::sync::Arc<OnceLock<std::collections::HashSet<String>>>);

impl Done {
    /// Tells which they are. The first time counts.
    pub fn set(&self, names: std::collections::HashSet<String>) {
        let _first = self.0.set(names);
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get().is_some_and(|names| names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// A server that gives `answers` by path and then ends with the test.
    fn serve(answers: &'static [(&'static str, &'static [u8])]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap();
                    let answer = answers.iter().find(|(of, _)| *of == path);
                    let missing = &b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"[..];
                    let answer = answer.map_or(missing, |(_, answer)| *answer);
                    // Whoever asked may have gone.
                    let _told = stream.write_all(answer);
                    if path == "/endless" {
                        while stream.write_all(&[0; 1 << 16]).is_ok() {}
                    }
                });
            }
        });
        format!("http://{address}")
    }

    const ANSWERS: &[(&str, &[u8])] = &[
        ("/a", b"HTTP/1.1 200 Yes\r\ncontent-length: 3\r\n\r\nabc"),
        (
            "/round",
            b"HTTP/1.1 302 There\r\nlocation: /round\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "/there",
            b"HTTP/1.1 302 There\r\nlocation: /a\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "/large",
            b"HTTP/1.1 200 Yes\r\ncontent-length: 99999999\r\n\r\n",
        ),
        ("/endless", b"HTTP/1.1 200 Yes\r\n\r\n"),
        ("/cut", b"HTTP/1.1 200 Yes\r\ncontent-length: 9\r\n\r\nabc"),
        ("/500", b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
    ];

    #[test]
    fn photos_come_in_order_and_faults_in_their_places() {
        let server = serve(ANSWERS);
        let paths = [
            "/a", "/gone", "/there", "/round", "/large", "/endless", "/cut", "/500",
        ];
        let addresses: Vec<String> = paths.iter().map(|path| format!("{server}{path}")).collect();
        let fetcher = Fetcher::new(Reach::Everywhere, 1 << 20);
        let said: Vec<String> = fetcher
            .fetch_all(&addresses)
            .into_iter()
            .map(|one| match one {
                Ok(Input::Bytes { bytes, .. }) => String::from_utf8(bytes).unwrap(),
                Ok(_) => "no bytes".to_owned(),
                Err(error) => format!("{} {error}", error.kind()),
            })
            .collect();
        let expected = [
            "abc",
            "not_found",
            "abc",
            "redirects",
            "too_large",
            "too_large",
            "io",
            "500",
        ];
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{said}, not {expected}");
        }
        // Each names what it is about.
        assert!(said[6].contains("/cut"), "{}", said[6]);
    }

    #[test]
    fn what_is_near_is_refused() {
        let server = serve(ANSWERS);
        let fetcher = Fetcher::new(Reach::Public, 1 << 20);
        let port = server.rsplit_once(':').unwrap().1;
        for host in [
            "127.0.0.1",
            "localhost",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "2130706433",
        ] {
            let error = fetcher
                .fetch(&format!("http://{host}:{port}/a"))
                .unwrap_err();
            let said = error.to_string();
            assert!(said.contains("--allow-private-urls"), "{host}: {said}");
        }
    }

    #[test]
    fn addresses_of_no_public_network_are_known() {
        for near in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001:0:1::1",
            "::7f00:1",
        ] {
            assert!(!is_public(near.parse().unwrap()), "{near}");
        }
        for far in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700::1111",
            "2001:4860::8888",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for (text, is) in [
            ("http://a/b.jpg", true),
            ("HTTPS://a", true),
            ("http:/a", false),
            ("ftp://a/b.jpg", false),
            ("photo.jpg", false),
        ] {
            assert_eq!(is_url(Path::new(text)), is, "{text}");
        }
    }
}
