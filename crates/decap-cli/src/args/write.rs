//! What is written into photos and beside them, and how it is worded; `write`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use decap::media::{is_named_like_a_photo, is_video};
use decap_sources::sidecar::XmpName;
use decap_sources::{Effect, Existing, Times};

use super::count::{at_least_one, mebibytes};

/// Where a caption is written, and what becomes of one that is there.
#[derive(Debug, Args)]
#[command(next_help_heading = "Writing into photos")]
pub struct PlaceArgs {
    /// Write each caption where programs look for it: xmp (also for iptc and exif), sidecar (a text file
    /// beside the photo). Several with commas between them.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "WHERE",
        group = "change"
    )]
    pub write: Vec<WriteArg>,
    /// Write it as alternative text, too, cut to 125 characters or --max-chars.
    #[arg(long, requires = "write")]
    pub alt_text: bool,
    /// What to do where there is a caption already.
    #[arg(long, value_enum, default_value_t = ExistingArg::Ours, value_name = "HOW", requires = "write")]
    pub existing: ExistingArg,
    /// Ending of the text files of `--write sidecar`.
    #[arg(long, default_value = "txt", value_name = "NAME", value_parser = extension, requires = "write")]
    pub extension: String,
    /// Names of the .xmp files beside photos that have no place for a caption.
    #[arg(long, value_enum, default_value_t = SidecarNameArg::Darktable, value_name = "LIKE", requires = "write")]
    pub sidecar_name: SidecarNameArg,
    /// Leave the time of a photo's last change as it is.
    #[arg(long, requires = "change")]
    pub keep_times: bool,
    /// Print what would be written or taken back, a line a photo, and change nothing.
    #[arg(long, requires = "change")]
    pub dry_run: bool,
    /// Cut captions to this many characters, at a word.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub max_chars: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap caption photos/ --output captions.csv      then edit captions.csv\n  \
    decap write captions.csv --write xmp --dry-run\n  \
    decap write captions.csv --write xmp --alt-text\n  \
    decap caption photos/ --undo                     takes back what was written\n\n\
    Rows that were edited count as a person's words: `decap caption --write` leaves them alone.")]
pub struct WriteTableArgs {
    /// A table of photos and captions: .csv, .tsv or .jsonl, as `caption --output` writes it.
    #[arg(value_name = "TABLE")]
    pub table: PathBuf,
    /// The column that holds the photos' paths (default: `path`, `file_name` or another usual name).
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// The column that holds the captions (default: `caption`, `text` or another usual name).
    #[arg(long, value_name = "NAME")]
    pub caption_column: Option<String>,
    /// Largest photo, in MiB.
    #[arg(long = "max-file-mib", default_value = "512", value_name = "MIB", value_parser = mebibytes)]
    pub max_file_bytes: u64,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// What `caption` writes into photos, and how it words it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Writing into photos")]
pub struct WriteArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Take back what decap wrote into these photos and beside them; what a person has edited since stays.
    #[arg(long, group = "change", conflicts_with_all = ["write", "output", "json", "template", "max_chars"])]
    pub undo: bool,
    /// Word each caption like this, such as '{caption}[, photographed {date}]'. Fields: caption, path,
    /// stem, date, evidence, score, confidence. What stands in brackets is left out where a field in it is empty.
    #[arg(long, value_name = "TEXT")]
    pub template: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WriteArg {
    /// In the photo, as XMP `dc:description`; in an .xmp file beside it where it has no place for that.
    Xmp,
    /// Also as IPTC `Caption-Abstract`, in JPEG and TIFF.
    Iptc,
    /// Also as EXIF `ImageDescription`.
    Exif,
    /// In a text file beside the photo, for trainers of image models.
    Sidecar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExistingArg {
    /// Leave every caption alone.
    Skip,
    /// Replace decap's captions, leave a person's alone.
    Ours,
    /// Put decap's after a person's.
    Append,
    /// Put decap's before a person's.
    Prepend,
    /// Put decap's in place of a person's; `--undo` brings that back.
    Overwrite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SidecarNameArg {
    /// photo.jpg.xmp, as darktable and digiKam do it.
    Darktable,
    /// photo.xmp, as Lightroom does it.
    Lightroom,
}

impl PlaceArgs {
    /// What happens to the time of a photo.
    pub fn times(&self) -> Times {
        match self.keep_times {
            true => Times::Kept,
            false => Times::New,
        }
    }

    /// Whether files are written.
    pub fn effect(&self) -> Effect {
        match self.dry_run {
            true => Effect::Pretend,
            false => Effect::Write,
        }
    }
}

impl ExistingArg {
    /// This choice as the library calls it.
    pub fn existing(self) -> Existing {
        match self {
            Self::Skip => Existing::Skip,
            Self::Ours => Existing::Ours,
            Self::Append => Existing::Append,
            Self::Prepend => Existing::Prepend,
            Self::Overwrite => Existing::Overwrite,
        }
    }
}

impl SidecarNameArg {
    /// This choice as the library calls it.
    pub fn xmp_name(self) -> XmpName {
        match self {
            Self::Darktable => XmpName::Appended,
            Self::Lightroom => XmpName::Replaced,
        }
    }
}

/// An ending that no photo or video has.
fn extension(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('.').unwrap_or(text);
    let is_plain = !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric());
    if !is_plain {
        return Err("expected letters and digits, such as txt".into());
    }
    let name = PathBuf::from(format!("a.{text}"));
    let is_taken =
        text.eq_ignore_ascii_case("xmp") || is_named_like_a_photo(&name) || is_video(&name);
    match is_taken {
        true => Err("expected an ending for text files, such as txt".into()),
        false => Ok(text.to_owned()),
    }
}
