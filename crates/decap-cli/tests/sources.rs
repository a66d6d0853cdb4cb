//! Archives, tables and shards on the command line.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{decap, decap_well, file, json, photo, stderr, stdout, text};

/// A tar archive with these files, each with a photo's content, and a text that is none.
fn tar_of(folder: &Path, name: &str, members: &[(&str, &str)]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut add = |name: &str, content: &[u8]| {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    };
    for (member, of) in members {
        add(member, &fs::read(photo(of)).unwrap());
    }
    add("notes.txt", b"a dog");
    bytes.resize(bytes.len() + 1024, 0);
    file(folder, name, bytes)
}

/// The path and the caption of each line.
fn captions(lines: &str) -> Vec<(String, String)> {
    let records = lines.lines().map(json);
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    records
        .map(|record| (word(&record["path"]), word(&record["caption"])))
        .collect()
}

#[test]
fn photos_come_from_files_archives_and_tables_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let cat = photo("cat");
    let plain = captions(&decap_well(&["caption", &cat, "--json"]));
    let tar = tar_of(
        folder.path(),
        "s-01.tar",
        &[("1.webp", "cat"), ("2.webp", "cat")],
    );
    tar_of(folder.path(), "s-02.tar", &[("3.webp", "cat")]);
    let table = file(folder.path(), "t.csv", format!("id,file_name\n1,{cat}\n"));
    let pattern = folder.path().join("s-{01..02}.tar");
    let printed = decap_well(&["caption", &cat, text(&pattern), text(&table), "--json"]);
    let found = captions(&printed);
    let inner =
        |shard: &str, member: &str| text(&folder.path().join(shard).join(member)).to_owned();
    let names: Vec<String> = found.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(
        names,
        [
            cat.clone(),
            inner("s-01.tar", "1.webp"),
            inner("s-01.tar", "2.webp"),
            inner("s-02.tar", "3.webp"),
            cat.clone()
        ]
    );
    assert!(
        found.iter().all(|(_, caption)| *caption == plain[0].1),
        "{found:?}"
    );

    // Two processes share the inputs.
    let mut shared = Vec::new();
    for share in ["1/2", "2/2"] {
        let printed = decap_well(&["caption", text(&pattern), "--json", "--shard", share]);
        shared.extend(captions(&printed));
    }
    shared.sort();
    assert_eq!(shared, found[1..4]);

    // An archive is no place for a caption.
    let before = fs::read(&tar).unwrap();
    let output = decap(&["caption", text(&tar), "--write", "xmp"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("unpack it first"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read(&tar).unwrap(), before);

    let vectors = folder.path().join("v.jsonl");
    decap_well(&["embed", text(&pattern), "--output", text(&vectors)]);
    assert_eq!(fs::read_to_string(&vectors).unwrap().lines().count(), 3);
}

#[test]
fn a_shard_appears_whole_once_and_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let tar = tar_of(
        folder.path(),
        "s.tar",
        &[("1.webp", "cat"), ("2.webp", "bear")],
    );
    let out = folder.path().join("s.jsonl");
    decap_well(&["caption-shard", text(&tar), text(&out)]);
    let made = fs::read_to_string(&out).unwrap();
    assert_eq!(captions(&made).len(), 2);
    let again = decap(&["caption-shard", text(&tar), text(&out)]);
    assert!(
        stderr(&again).contains("there already"),
        "{}",
        stderr(&again)
    );
    let other = decap(&["caption-shard", text(&tar), text(&out), "--beam", "2"]);
    assert_eq!(other.status.code(), Some(1), "{}", stderr(&other));
    assert!(stderr(&other).contains("another model or with other options"));
    let foreign = file(folder.path(), "f.jsonl", "{\"note\":1}\n");
    assert_eq!(
        decap(&["caption-shard", text(&tar), text(&foreign)])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(fs::read_to_string(&out).unwrap(), made);

    // One that ends early gives nothing.
    let whole = fs::read(&tar).unwrap();
    let cut = file(folder.path(), "cut.tar", &whole[..whole.len() / 2]);
    let none = folder.path().join("cut.jsonl");
    let output = decap(&["caption-shard", text(&cut), text(&none)]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(!none.exists());

    // A damaged photo in a whole shard is told in its place.
    let table = file(
        folder.path(),
        "t.csv",
        format!("path\n{}\n/gone.jpg\n", photo("cat")),
    );
    let out = folder.path().join("t.jsonl");
    let output = decap(&["caption-shard", text(&table), text(&out)]);
    assert_eq!(output.status.code(), Some(1));
    let lines = fs::read_to_string(&out).unwrap();
    let second = json(lines.lines().nth(1).unwrap());
    assert_eq!(second["error"]["kind"], "not_found");
}

#[test]
fn a_shard_of_samples_gets_captions_beside_its_photos() {
    let folder = tempfile::tempdir().unwrap();
    let tar = tar_of(
        folder.path(),
        "s.tar",
        &[("1.webp", "cat"), ("2.webp", "bear")],
    );
    let out = folder.path().join("out.tar");
    decap_well(&["caption-shard", text(&tar), text(&out)]);
    let (before, after) = (fs::read(&tar).unwrap(), fs::read(&out).unwrap());
    // The end of an archive is two empty blocks.
    let first = 512
        + fs::metadata(photo("cat"))
            .unwrap()
            .len()
            .next_multiple_of(512) as usize;
    assert!(after.starts_with(&before[..first]));
    let again = decap(&["caption-shard", text(&tar), text(&out)]);
    assert!(
        stderr(&again).contains("there already"),
        "{}",
        stderr(&again)
    );
    // What was added is no photo: the same captions come from the archive with captions.
    let plain = captions(&decap_well(&["caption", text(&tar), "--json"]));
    let captioned = captions(&decap_well(&["caption", text(&out), "--json"]));
    let words = |lines: Vec<(String, String)>| -> Vec<String> {
        lines.into_iter().map(|(_, caption)| caption).collect()
    };
    let words = (words(plain), words(captioned));
    assert_eq!(words.0, words.1);
    let content = String::from_utf8_lossy(&after);
    for (member, caption) in [("1.txt", &words.0[0]), ("2.txt", &words.0[1])] {
        assert!(content.contains(member) && content.contains(caption.as_str()));
    }
    // From a table, samples are made.
    let table = file(folder.path(), "t.csv", format!("path\n{}\n", photo("cat")));
    let packed = folder.path().join("packed.tar");
    decap_well(&["caption-shard", text(&table), text(&packed)]);
    let line = captions(&decap_well(&["caption", text(&packed), "--json"]));
    assert!(line[0].0.ends_with("packed.tar/000000000.webp"), "{line:?}");
    assert_eq!(line[0].1, words.0[0]);
}

/// Four processes at a time over many shards, some of them killed, until all shards are done.
#[cfg(unix)]
#[test]
fn killed_processes_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    let mut jobs = Vec::new();
    for shard in 0..8 {
        let members = [("1.webp", "cat"), ("2.webp", "bear")];
        let tar = tar_of(folder.path(), &format!("{shard}.tar"), &members);
        expected.extend(members.map(|(member, _)| text(&tar.join(member)).to_owned()));
        jobs.push((tar, folder.path().join(format!("{shard}.jsonl"))));
    }
    let start = |(input, output): &(PathBuf, PathBuf)| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
        command.arg("caption-shard").args([input, output]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut killed = 0;
    for round in 0..4 {
        for four in jobs.chunks(4) {
            let mut running: Vec<_> = four.iter().map(start).collect();
            for (place, process) in running.iter_mut().enumerate() {
                // In the last round nobody is killed; in the others one process, somewhere in its work.
                if round < 3 && place == round {
                    process.kill().unwrap();
                    killed += 1;
                }
                process.wait().unwrap();
            }
        }
    }
    assert_eq!(killed, 6);
    let mut found: Vec<String> = Vec::new();
    for (_, output) in &jobs {
        let lines = fs::read_to_string(output).unwrap();
        found.extend(captions(&lines).into_iter().map(|(path, _)| path));
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn failures_are_listed_summed_up_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(photo("cat"), path("cat.webp")).unwrap();
    fs::write(path("cut.jpg"), b"\xff\xd8\xff\xe0").unwrap();
    let (out, failed) = (path("c.jsonl"), path("failed.jsonl"));
    let run = [
        "caption",
        text(folder.path()),
        "-o",
        text(&out),
        "--failures",
        text(&failed),
    ];
    let output = decap(&run);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("captioned 1 of 2; 1 failed"), "{said}");
    let lines = fs::read_to_string(&failed).unwrap();
    assert_eq!(lines.lines().count(), 1);
    assert_eq!(json(&lines)["path"], text(&path("cut.jpg")));

    fs::copy(photo("bear"), path("cut.jpg")).unwrap();
    let again = captions(&decap_well(&["caption", text(&failed), "--json"]));
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].0, text(&path("cut.jpg")));
    let asked = captions(&decap_well(&[
        "caption",
        "--retry-failed",
        text(&failed),
        "--json",
    ]));
    assert_eq!(asked[0].0, again[0].0);

    // A file of something else is not written over.
    let notes = file(folder.path(), "notes.jsonl", "{\"note\":1}\n");
    let output = decap(&["caption", &photo("cat"), "--failures", text(&notes)]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_folder_of_oddities_stops_nothing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    let photos: [&[u8]; 3] = [b"-rf.webp", b"two\nlines.webp", b"caf\xe9.webp"];
    for name in photos {
        fs::copy(photo("cat"), path(name)).unwrap();
    }
    fs::create_dir(path(b"deeper")).unwrap();
    std::os::unix::fs::symlink(folder.path(), path(b"deeper/loop")).unwrap();
    std::os::unix::fs::symlink(path(b"gone.webp"), path(b"dangling.webp")).unwrap();
    let pipe = Command::new("mkfifo").arg(path(b"pipe.jpg")).status();
    assert!(pipe.unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", path(b"zero.png")).unwrap();
    let output = decap(&["caption", text(folder.path()), "--recursive", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let lines = stdout(&output);
    let captioned = captions(&lines);
    let captioned = captioned.iter().filter(|(_, caption)| !caption.is_empty());
    assert_eq!(captioned.count(), photos.len(), "{lines}");
    let said = stderr(&output);
    for told in [
        "leads back into a folder above it",
        "dangling.webp: No such file",
        "pipe.jpg: expected a file, got a pipe or a device",
        "zero.png: expected a file, got a pipe or a device",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

/// A server of one photo, and how often it was asked for each path.
fn serve(photo: Vec<u8>) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, paths) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let (status, body): (_, &[u8]) = match path.contains(".webp") {
                true => ("200 Yes", &photo),
                false => ("404 No", b""),
            };
            asked.send(path).unwrap();
            let start = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(start.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    (address, paths)
}

#[test]
fn photos_of_the_web_are_typed_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let cat = photo("cat");
    let (server, asked) = serve(fs::read(&cat).unwrap());
    let plain = captions(&decap_well(&["caption", &cat, "--json"]));
    let url = format!("{server}/a.webp?size=large");
    let table = format!("id,url\n1,{server}/b.webp\n2,{server}/gone.jpg\n3,{cat}\n");
    let table = file(folder.path(), "list.csv", table);
    let out = folder.path().join("c.jsonl");
    let run = [
        "caption",
        &url,
        text(&table),
        "--column",
        "url",
        "-o",
        text(&out),
    ];
    let output = decap(&[&run[..], &["--allow-private-urls"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let lines = fs::read_to_string(&out).unwrap();
    let found = captions(&lines);
    let names: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    let (b, gone) = (format!("{server}/b.webp"), format!("{server}/gone.jpg"));
    assert_eq!(names, [url.as_str(), &b, &gone, &cat]);
    assert!(lines.contains("\"not_found\""), "{lines}");
    for place in [1, 3] {
        assert_eq!(found[place].1, plain[0].1);
    }
    assert_eq!(asked.try_iter().count(), 3);

    // What is there is not fetched again; what failed is tried again.
    let again = decap(&[&run[..], &["--allow-private-urls", "--resume"]].concat());
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    let paths: Vec<String> = asked.try_iter().collect();
    assert!(!paths.contains(&"/b.webp".to_owned()), "{paths:?}");
    assert!(paths.contains(&"/gone.jpg".to_owned()), "{paths:?}");

    let near = decap(&["caption", &b]);
    assert_eq!(near.status.code(), Some(1));
    assert!(
        stderr(&near).contains("--allow-private-urls"),
        "{}",
        stderr(&near)
    );
    assert_eq!(asked.try_iter().count(), 0);
    let inside = decap(&["caption", &b, "--allow-private-urls", "--write", "xmp"]);
    assert!(
        stderr(&inside).contains("download the photo first"),
        "{}",
        stderr(&inside)
    );
}

#[cfg(unix)]
#[test]
fn new_photos_are_captioned_while_watching() {
    use std::io::{BufRead, BufReader};

    let folder = tempfile::tempdir().unwrap();
    let inbox = folder.path().join("inbox");
    fs::create_dir(&inbox).unwrap();
    let cat = fs::read(photo("cat")).unwrap();
    let out = folder.path().join("c.jsonl");
    let mut watching = Command::new(env!("CARGO_BIN_EXE_decap"))
        .args(["caption", text(&inbox), "--watch", "--write", "sidecar"])
        .args(["--output", text(&out)])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(watching.stderr.take().unwrap()).lines();
    // An empty folder is waited for.
    let first = told.next().unwrap().unwrap();
    assert!(first.contains("Ctrl-C ends"), "{first}");
    file(&inbox, "a.webp", &cat);
    let sidecar = inbox.join("a.txt");
    while !sidecar.exists() {
        assert!(watching.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let interrupt = Command::new("kill")
        .args(["-INT", &watching.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    assert!(watching.wait().unwrap().success());
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 1);

    let none = decap(&["caption", &photo("cat"), "--watch"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("a folder or behind a glob"));
}
