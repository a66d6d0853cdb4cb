//! Archives and tables, sound and hostile.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 the rest of a photo";

/// The names of the inputs, and the kinds and messages of the errors.
fn read(path: &Path, options: SourceOptions) -> Vec<String> {
    let kind = SourceKind::of(path).unwrap();
    let folder = path.parent().unwrap().to_path_buf();
    let source = Source::open(path.to_path_buf(), kind, options);
    let end = source.end();
    let mut found: Vec<String> = source
        .map(|photo| match photo {
            Ok(photo) => {
                let name = photo.name();
                let name = name.strip_prefix(&folder).unwrap_or(name);
                name.to_str().unwrap().to_owned()
            }
            Err(error) => format!("{}: {error}", error.kind()),
        })
        .collect();
    found.extend(
        end.error()
            .map(|error| format!("{}: {error}", error.kind())),
    );
    found
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        // As they come: the builder would refuse `..` and absolute names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_tar_gives_its_photos_alone_and_names_that_lead_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let tar = tar_of(&[
        ("1.jpg", JPEG),
        ("1.json", b"{}"),
        ("2.txt", b"a dog"),
        ("/etc/3.jpg", JPEG),
        ("../../4.jpg", JPEG),
        ("no-ending", JPEG),
        ("._1.jpg", JPEG),
        ("clip.mp4", b"a video"),
    ]);
    for (name, bytes) in [
        ("s.tar", tar.clone()),
        ("s.tar.gz", gzip(&tar)),
        ("s.tgz", gzip(&tar)),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let found = read(&path, SourceOptions::default());
        let names = ["1.jpg", "etc/3.jpg", "4.jpg", "no-ending"];
        assert_eq!(found[..4], names.map(|inner| format!("{name}/{inner}")));
        assert!(found[4].starts_with("unsupported:"), "{found:?}");
        assert_eq!(found.len(), 5);
    }
}

#[test]
fn tars_that_lie_or_end_early_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.tar");
    let whole = tar_of(&[("1.jpg", JPEG), ("2.jpg", &[JPEG, &[0; 4000]].concat())]);
    fs::write(&path, &whole[..2000]).unwrap();
    let found = read(&path, SourceOptions::default());
    assert_eq!(found[0], "s.tar/1.jpg");
    assert!(found[1].starts_with("damaged:"), "{found:?}");

    // A member that claims more than there is: no memory is taken for the claim.
    let mut header = tar::Header::new_gnu();
    header.set_path("1.jpg").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    fs::write(&path, [&header.as_bytes()[..], JPEG].concat()).unwrap();
    let found = read(&path, SourceOptions::default());
    assert!(found[0].contains("at most 536870912 bytes"), "{found:?}");

    let options = SourceOptions {
        file_bytes: 10,
        ..SourceOptions::default()
    };
    fs::write(&path, &whole).unwrap();
    assert!(read(&path, options)[0].starts_with("too_large:"));

    fs::write(
        &path,
        b"no tar at all, but long enough to have a header of 512 bytes".repeat(20),
    )
    .unwrap();
    assert!(read(&path, SourceOptions::default())[0].starts_with("damaged:"));
    let gone = folder.path().join("gone.tar");
    assert!(read(&gone, SourceOptions::default())[0].starts_with("not_found:"));
}

#[test]
fn sparse_members_are_told_and_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.tar");
    let mut header = tar::Header::new_gnu();
    header.set_path("1.jpg").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(0);
    header.as_gnu_mut().unwrap().realsize = *b"77777777777\0";
    header.set_cksum();
    fs::write(&path, [&header.as_bytes()[..], &[0; 1024]].concat()).unwrap();
    let found = read(&path, SourceOptions::default());
    assert!(
        found[0].contains("sparse") || found[0].starts_with("damaged:"),
        "{found:?}"
    );
}

#[test]
fn bombs_stop_at_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = vec![0; 80 << 20];
    let path = folder.path().join("s.tar.gz");
    fs::write(&path, gzip(&tar_of(&[("1.jpg", &zeros), ("2.jpg", JPEG)]))).unwrap();
    let found = read(&path, SourceOptions::default());
    assert!(
        found.iter().any(|it| it.contains("100 times its size")),
        "{found:?}"
    );
    assert!(!found.iter().any(|it| it.ends_with("2.jpg")), "{found:?}");

    let path = folder.path().join("s.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("1.jpg", options).unwrap();
    zip.write_all(&zeros).unwrap();
    zip.finish().unwrap();
    let found = read(&path, SourceOptions::default());
    assert!(found[0].contains("100 times its size"), "{found:?}");
}

#[test]
fn a_zip_gives_its_photos_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    for (name, content) in [
        ("a/1.jpg", JPEG),
        ("../2.jpg", JPEG),
        ("notes.txt", b"a dog"),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    let found = read(&path, SourceOptions::default());
    assert_eq!(found, ["s.zip/a/1.jpg", "s.zip/2.jpg"]);
    fs::write(&path, b"PK\x03\x04 cut").unwrap();
    assert!(read(&path, SourceOptions::default())[0].starts_with("damaged:"));
}

#[test]
fn tables_of_every_make_are_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.jpg"), JPEG).unwrap();
    let cases: [(&str, &[u8]); 5] = [
        (
            "t.csv",
            b"path,note\na.jpg,x\n\"/b,c.jpg\",\"two\nlines\"\n",
        ),
        (
            "t.csv",
            b"\xef\xbb\xbfpath,note\r\na.jpg,x\r\n\"/b,c.jpg\",y\r\n",
        ),
        // Windows-1252 in another column is no matter.
        ("t.csv", b"note,path\ncaf\xe9,a.jpg\nx,\"/b,c.jpg\"\n"),
        ("t.tsv", b"id\tfile_name\n1\ta.jpg\n2\t/b,c.jpg\n"),
        (
            "t.jsonl",
            b"{\"file_name\":\"a.jpg\"}\n\n{\"file_name\":\"/b,c.jpg\"}",
        ),
    ];
    for (name, content) in cases {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        assert_eq!(read(&path, SourceOptions::default()), ["a.jpg", "/b,c.jpg"]);
    }
}

#[test]
fn what_is_wrong_with_a_table_is_told_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    fs::write(
        &path,
        b"who,where\nAda,/a.jpg\n,\ncaf\xe9,caf\xe9.jpg\nBob,http://127.0.0.1:9/a.jpg\n",
    )
    .unwrap();
    let found = read(&path, SourceOptions::default());
    assert!(found[0].contains("got `who`, `where`"), "{found:?}");
    let options = SourceOptions {
        column: Some("Where".to_owned()),
        ..SourceOptions::default()
    };
    let found = read(&path, options);
    assert_eq!(found[0], "/a.jpg");
    assert!(
        found[1].contains("line 3: expected a path, got an empty cell"),
        "{found:?}"
    );
    assert!(
        found[2].contains("line 4: expected a path in UTF-8"),
        "{found:?}"
    );
    assert!(
        found[3].contains("this machine"),
        "an address is fetched: {found:?}"
    );
    let path = folder.path().join("t.jsonl");
    fs::write(&path, b"{\"path\":\"/a.jpg\"}\n[1]\n{\"path\":3}\n").unwrap();
    let found = read(&path, SourceOptions::default());
    assert_eq!(found[0], "/a.jpg");
    assert!(
        found[1].contains("line 2") && found[2].contains("line 3"),
        "{found:?}"
    );
}

/// A data set of the Hub: see `tools/reference/dataset_golden.py`.
#[cfg(feature = "parquet")]
fn hub() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../caption-data/tests/data/hub.parquet")
}

#[cfg(feature = "parquet")]
#[test]
fn photos_of_parquet_are_bytes_or_paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    fs::copy(hub(), &path).unwrap();
    let rows = |options| Source::open(path.clone(), SourceKind::Parquet, options);
    let photos: Vec<_> = rows(SourceOptions::default()).map(Result::unwrap).collect();
    assert_eq!(photos.len(), 6);
    for (row, photo) in photos.iter().enumerate() {
        assert_eq!(photo.name(), path.join(row.to_string()));
        assert!(matches!(photo, Input::Bytes { bytes, .. } if bytes[..] == *b"\xff\xd8\xff"));
    }

    let with_column = |column: &str| SourceOptions {
        column: Some(column.to_owned()),
        ..SourceOptions::default()
    };
    let names = read(&path, with_column("image.path"));
    assert_eq!(
        names,
        ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    );
    assert_eq!(
        read(&path, with_column("IMAGE")),
        read(&path, SourceOptions::default())
    );
    let found = read(&path, with_column("caption"));
    assert!(
        found[0].contains("got image.bytes, image.path, filename, caption.list"),
        "{found:?}"
    );
    let few = SourceOptions {
        file_bytes: 2,
        ..SourceOptions::default()
    };
    assert!(read(&path, few)[5].starts_with("too_large:"));

    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert!(read(&path, SourceOptions::default())[0].starts_with("damaged:"));
    fs::write(&path, "no Parquet at all").unwrap();
    assert!(read(&path, SourceOptions::default())[0].starts_with("damaged:"));
}

#[cfg(feature = "parquet")]
#[test]
fn rows_of_parquet_without_a_photo_keep_their_place() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "gzip_v1_plain",
        "gzip_v2_delta_length",
        "snappy_v2_delta",
        "zstd_v1_dictionary",
    ] {
        let path = folder.path().join("p.parquet");
        fs::copy(hub().with_file_name(format!("{name}.parquet")), &path).unwrap();
        let options = SourceOptions {
            column: Some("caption".to_owned()),
            ..SourceOptions::default()
        };
        let found = read(&path, options);
        assert_eq!(found.len(), 20, "{name}: {found:?}");
        for (row, found) in found.iter().enumerate() {
            match row % 5 {
                4 => assert!(found.starts_with("empty:"), "{name}: {found}"),
                _ => assert_eq!(*found, format!("a dog runs over lawn {}", row / 2)),
            }
        }
    }
}
