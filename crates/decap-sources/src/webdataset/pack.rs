//! Photos and their captions, packed.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use decap::media::image::read_within;
use decap::media::{HEAD_BYTES, kind_of_head};
use decap::{Error, Input, InputFault, Result};
use serde_json::Value;

/// Members of a tar archive begin at multiples of this.
pub(super) const BLOCK: u64 = 512;

/// A tar archive that grows by samples of three files: `000000042.jpg`, `000000042.txt` with the caption and
/// `000000042.json` with all that is known of it, the photo's old name among it.
pub struct Pack<W: Write> {
    tar: tar::Builder<W>,
    samples: u64,
}

/// What is whole of an archive that was begun.
#[derive(Debug, Default)]
pub struct Packed {
    /// The old name of each photo, as it is printed.
    pub names: Vec<String>,
    /// The key of the run that made the first sample.
    pub run: Option<String>,
    /// Whether nothing is packed, nor anything else there.
    pub is_empty: bool,
    end: u64,
}

impl Packed {
    /// Looks through an archive of [`Pack`], up to where it was cut short.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(file: &mut File) -> io::Result<Self> {
        /// A caption with all its evidence.
        const LONGEST_RECORD: u64 = 16 << 20;
        let mut packed = Self::default();
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        // An archive without members is two blocks of zeros.
        let mut start = Vec::new();
        Read::by_ref(file)
            .take(2 * BLOCK + 1)
            .read_to_end(&mut start)?;
        packed.is_empty = start.len() as u64 <= 2 * BLOCK && start.iter().all(|&byte| byte == 0);
        file.seek(SeekFrom::Start(0))?;
        let mut archive = tar::Archive::new(file);
        for entry in archive.entries_with_seek()? {
            let Ok(mut entry) = entry else { break };
            let end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
            if end > length {
                break;
            }
            if !entry.path_bytes().ends_with(b".json") {
                continue;
            }
            let mut record = Vec::new();
            entry
                .by_ref()
                .take(LONGEST_RECORD)
                .read_to_end(&mut record)?;
            let record: Value = serde_json::from_slice(&record).unwrap_or_default();
            let text = |key| Some(record.get(key)?.as_str()?.to_owned());
            let Some(name) = text("path") else { break };
            packed.run = packed.run.take().or_else(|| text("run"));
            packed.names.push(name);
            packed.end = end;
        }
        Ok(packed)
    }
}

impl<W: Write> Pack<W> {
    /// An empty archive.
    pub fn new(file: W) -> Self {
        Self {
            tar: tar::Builder::new(file),
            samples: 0,
        }
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn add(
        &mut self,
        name: &Path,
        photo: &[u8],
        caption: &str,
        record: &str,
    ) -> io::Result<()> {
        let ending = ending(name, photo);
        self.member(&ending, photo.len() as u64, photo)?;
        self.text("txt", caption)?;
        // Last: with it the sample is whole.
        self.note(record)
    }

    /// Adds a record alone, such as why there is no caption.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn note(&mut self, record: &str) -> io::Result<()> {
        self.text("json", record)?;
        self.samples += 1;
        Ok(())
    }

    fn text(&mut self, ending: &str, text: &str) -> io::Result<()> {
        self.member(ending, text.len() as u64, text.as_bytes())
    }

    fn member(&mut self, ending: &str, length: u64, content: impl Read) -> io::Result<()> {
        let name = format!("{:09}.{ending}", self.samples);
        append(&mut self.tar, &name, length, content)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }
}

impl Pack<File> {
    /// Goes on behind what is whole.
    ///
    /// # Errors
    /// Where `file` cannot be written.
    pub fn resume(mut file: File, packed: &Packed) -> io::Result<Self> {
        file.set_len(packed.end)?;
        file.seek(SeekFrom::End(0))?;
        let mut pack = Self::new(file);
        pack.samples = packed.names.len() as u64;
        Ok(pack)
    }

    /// Adds a sample; one that is left without a caption has no `.txt`. Where that fails the archive is as it was.
    ///
    /// # Errors
    /// Where `content` cannot be read, which it then [tells](Content::take_fault), or the archive cannot be written.
    pub fn add_whole(
        &mut self,
        content: &mut Content<'_>,
        caption: Option<&str>,
        record: &str,
    ) -> io::Result<()> {
        let start = self.tar.get_mut().stream_position()?;
        let ending = ending(content.name, &content.head);
        let added = self
            .member(&ending, content.length, &mut *content)
            .and_then(|()| caption.map_or(Ok(()), |caption| self.text("txt", caption)))
            .and_then(|()| self.note(record));
        if added.is_err() {
            let file = self.tar.get_mut();
            file.set_len(start)?;
            file.seek(SeekFrom::Start(start))?;
        }
        added
    }
}

/// The bytes of a photo or video as it came, read as they are packed.
pub struct Content<'i> {
    name: &'i Path,
    head: Vec<u8>,
    length: u64,
    left: u64,
    reader: Box<dyn Read + 'i>,
    fault: Option<io::Error>,
}

impl<'i> Content<'i> {
    /// The content of `input`.
    ///
    /// # Errors
    /// Where its file cannot be read; pixels alone have no file.
    pub fn open(input: &'i Input) -> Result<Self> {
        let name = input.name();
        let (mut reader, length): (Box<dyn Read + 'i>, u64) = match input {
            Input::Path(path) => {
                let failed = |source| Error::io(path, source);
                let file = File::open(path).map_err(failed)?;
                let length = file.metadata().map_err(failed)?.len();
                (Box::new(file), length)
            }
            Input::Bytes { bytes, .. } => (Box::new(bytes.as_slice()), bytes.len() as u64),
            _ => return Err(no_file(input)),
        };
        let mut head = Vec::new();
        let read = reader.by_ref().take(HEAD_BYTES as u64);
        read.take(length)
            .read_to_end(&mut head)
            .map_err(|source| Error::io(name, source))?;
        Ok(Self {
            name,
            length,
            left: length,
            reader: Box::new(io::Cursor::new(head.clone()).chain(reader)),
            head,
            fault: None,
        })
    }

    /// Why it could not be read to its end.
    pub fn take_fault(&mut self) -> Option<Error> {
        let fault = self.fault.take()?;
        Some(Error::io(self.name, fault))
    }

    fn failed(&mut self, error: io::Error) -> io::Error {
        let told = io::Error::new(error.kind(), error.to_string());
        self.fault = Some(error);
        told
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let wanted = wanted.min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self.reader.read(&mut buffer[..wanted]) {
            Ok(0) => {
                let message = "it became shorter while it was read";
                Err(self.failed(io::Error::new(io::ErrorKind::UnexpectedEof, message)))
            }
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.failed(error)),
        }
    }
}

fn no_file(input: &Input) -> Error {
    let message = "expected a file, got pixels alone".to_owned();
    Error::input(input.name(), InputFault::Unsupported(message))
}

/// The content of a photo or video as it came, at most `most` bytes.
///
/// # Errors
/// Where its file cannot be read, or is larger; pixels alone have no file.
pub fn bytes_of(input: &Input, most: u64) -> Result<Cow<'_, [u8]>> {
    match input {
        Input::Path(path) => Ok(read_within(path, most)?.into()),
        Input::Bytes { bytes, .. } => Ok(bytes.into()),
        other => Err(no_file(other)),
    }
}

/// Appends a file. Its time is always the same, so that archives of equal content are equal.
pub(super) fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    length: u64,
    content: impl Read,
) -> io::Result<()> {
    const READABLE: u32 = 0o644;
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(READABLE);
    tar.append_data(&mut header, name, content)
}

/// The ending that a photo or video keeps; without one, what its content is called.
fn ending(name: &Path, content: &[u8]) -> String {
    const LONGEST: usize = 5;
    let ending = name.extension().and_then(|ending| ending.to_str());
    let ending = ending.filter(|ending| {
        let is_plain = ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_plain && ending.len() <= LONGEST
    });
    let kind = || kind_of_head(content).map_or("bin", |kind| kind.name());
    ending.unwrap_or_else(kind).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> String {
        format!(r#"{{"path":"{name}","caption":"a dog","run":"r"}}"#)
    }

    fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        let members = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (name, content)
        });
        members.collect()
    }

    #[test]
    fn a_sample_has_three_files() {
        let mut pack = Pack::new(Vec::new());
        let add = |pack: &mut Pack<_>, name: &str| {
            pack.add(Path::new(name), b"\xff\xd8\xff", "a dog", &record(name))
                .unwrap();
        };
        add(&mut pack, "b/Beach.JPG");
        add(&mut pack, "https://host/photo");
        let members = members(&pack.finish().unwrap());
        let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "000000000.jpg",
                "000000000.txt",
                "000000000.json",
                "000000001.jpeg",
                "000000001.txt",
                "000000001.json"
            ]
        );
        assert_eq!(members[0].1, b"\xff\xd8\xff");
        assert_eq!(members[1].1, b"a dog");
    }

    #[test]
    fn a_photo_that_shrinks_leaves_the_archive_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("a");
        std::fs::write(&photo, vec![7; 3 * HEAD_BYTES]).unwrap();
        let input = Input::Path(photo.clone());
        let mut options = File::options();
        options.read(true).write(true).create(true);
        let file = options.open(folder.path().join("p.tar")).unwrap();
        let mut pack = Pack::resume(file, &Packed::default()).unwrap();
        let mut add = |shrink: bool| {
            let mut content = Content::open(&input).unwrap();
            if shrink {
                std::fs::write(&photo, b"7").unwrap();
            }
            let added = pack.add_whole(&mut content, Some("a dog"), &record("a"));
            (added.is_ok(), content.take_fault())
        };
        assert!(matches!(add(false), (true, None)));
        let (added, fault) = add(true);
        assert!(!added && fault.unwrap().to_string().contains("shorter"));
        assert!(matches!(add(false), (true, None)));
        pack.finish().unwrap();
        let members = members(&std::fs::read(folder.path().join("p.tar")).unwrap());
        let sizes: Vec<_> = members
            .iter()
            .map(|(name, content)| (name.as_str(), content.len()))
            .filter(|(name, _)| name.ends_with(".bin"))
            .collect();
        assert_eq!(
            sizes,
            [("000000000.bin", 3 * HEAD_BYTES), ("000000001.bin", 1)]
        );
        assert_eq!(members.len(), 6);
    }

    #[test]
    fn cut_at_any_byte_it_goes_on_to_the_same_archive() {
        let names = ["a.jpg", "b.png", "c.webp"];
        let add = |pack: &mut Pack<File>, name: &str| {
            pack.add(Path::new(name), name.as_bytes(), "a dog", &record(name))
                .unwrap();
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.tar");
        let open = || {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(&path).unwrap()
        };
        let mut pack = Pack::new(open());
        names.iter().for_each(|name| add(&mut pack, name));
        pack.finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in (0..=whole.len()).step_by(37) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut file = open();
            let packed = Packed::read(&mut file).unwrap();
            assert_eq!(packed.names, names[..packed.names.len()], "cut at {cut}");
            let mut pack = Pack::resume(file, &packed).unwrap();
            for name in &names[packed.names.len()..] {
                add(&mut pack, name);
            }
            pack.finish().unwrap();
            assert!(std::fs::read(&path).unwrap() == whole, "cut at {cut}");
        }
    }
}
