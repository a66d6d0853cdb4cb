//! A page of captions that needs no server: photos, captions, their evidence; captions are edited in place.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use decap::media::RgbImage;
use decap::output::{write_atomically, write_one_of_many};
use decap::{Error, InputFault, Result, hexadecimal};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::html::{CSS as PAGE_CSS, Originals, escaped, for_script};
use crate::thumbnail::thumbnail_jpeg;

const CSS: &str = include_str!("gallery.css");
const SCRIPT: &str = include_str!("gallery.js");
const BODY: &str = include_str!("gallery.html");

/// The folder of small photos.
const THUMBNAILS: &str = "thumbnails";

/// Longer edge of a small photo, in pixels, and its quality as a JPEG: sharp at 200 on a fine screen.
const EDGE: u32 = 384;
const QUALITY: u8 = 75;

/// The page's own pictures and nothing else is fetched, whatever a caption says.
const POLICY: &str = "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A gallery that is being made in a folder: `captions.jsonl`, `thumbnails/` and `index.html`.
#[derive(Debug, Clone)]
pub struct Gallery {
    folder: PathBuf,
}

impl Gallery {
    /// The file of captions in a gallery's folder, which the caller writes.
    pub const CAPTIONS: &str = "captions.jsonl";

    /// Begins a gallery in `folder`, which is made where it is not there.
    ///
    /// # Errors
    /// [`Error::Usage`] where files of something else are in it, [`Error::Io`] where it cannot be made.
    pub fn begin(folder: &Path) -> Result<Self> {
        let own = [
            Self::CAPTIONS,
            "captions.jsonl.partial",
            "captions.jsonl.partial.run",
            "index.html",
            THUMBNAILS,
        ];
        let failed = |source| Error::io(folder, source);
        if folder.exists() {
            for entry in fs::read_dir(folder).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                if !own.iter().any(|own| name == *own) {
                    return Err(Error::Usage(format!(
                        "{}: expected a new folder or a gallery, got one with `{}` in it; choose another",
                        folder.display(),
                        name.display()
                    )));
                }
            }
        }
        fs::create_dir_all(folder.join(THUMBNAILS)).map_err(failed)?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// A small photo of `frames`: of a video the one in its middle.
    ///
    /// # Errors
    /// As the encoder of JPEG.
    pub fn small(frames: &[RgbImage]) -> Result<Vec<u8>> {
        match frames.get(frames.len() / 2) {
            Some(frame) => thumbnail_jpeg(frame, EDGE, QUALITY),
            None => Ok(Vec::new()),
        }
    }

    /// Keeps the small photo of the input called `name`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn keep(&self, name: &str, small: &[u8]) -> Result<()> {
        let path = self.folder.join(THUMBNAILS).join(file_of(name));
        write_one_of_many(&path, |file| file.write_all(small))
    }

    /// Writes the page of all captions in the gallery's [`Gallery::CAPTIONS`]. Captions below `least` are shown as
    /// unsure.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be read or written; [`Error::Input`] for captions in another form.
    pub fn finish(&self, title: &str, least: Option<f32>) -> Result<PathBuf> {
        let photos = self.photos()?;
        let data = json!({ "title": title, "least": least, "photos": photos }).to_string();
        let path = self.folder.join("index.html");
        write_atomically(&path, |file| {
            write!(
                file,
                "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
                 <meta name=\"color-scheme\" content=\"light dark\">\n\
                 <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
                 <title>{}</title>\n<style>\n{}{CSS}</style>\n</head>\n<body>\n{BODY}\
                 <script type=\"application/json\" id=\"data\">{}</script>\n\
                 <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
                escaped(title),
                PAGE_CSS,
                for_script(&data)
            )
        })?;
        Ok(path)
    }

    /// What the script shows of each line.
    fn photos(&self) -> Result<Vec<Value>> {
        let path = self.folder.join(Self::CAPTIONS);
        let failed = |source| Error::io(&path, source);
        let originals = Originals::new(&self.folder);
        let mut photos = Vec::new();
        for line in BufReader::new(File::open(&path).map_err(failed)?).lines() {
            let line: Value = serde_json::from_str(&line.map_err(failed)?).map_err(|error| {
                Error::input(
                    &path,
                    InputFault::Text(format!("expected JSON lines: {error}")),
                )
            })?;
            let name = line["path"].as_str().unwrap_or_default();
            let small = format!("{THUMBNAILS}/{}", file_of(name));
            let original = originals.as_ref();
            photos.push(json!({
                "path": name,
                "caption": line["caption"],
                "confidence": line["confidence"],
                "evidence": line["evidence"],
                "error": line["error"]["message"],
                "small": self.folder.join(&small).is_file().then_some(small),
                "original": original.and_then(|all| all.link(Path::new(name))),
            }));
        }
        Ok(photos)
    }
}

/// The name of a small photo: the same for the same input, so that a run that goes on finds it.
fn file_of(name: &str) -> String {
    format!("{}.jpg", &hexadecimal(&Sha256::digest(name))[..20])
}
