//! `decap write`: the captions of a table go into its photos.

use decap::{Error, InputFault};
use decap_sources::FileStamp;
use decap_sources::source::{CaptionedRow, SourceKind, SourceOptions, for_each_caption};
use decap_sources::wording::cut_at_word;

use crate::args::WriteTableArgs;
use crate::failure::{Failure, Outcome, complaint};
use crate::name;
use crate::print;
use crate::writer::{Words, Writer};

/// What stands in photos in place of a model and a run.
const WORDS: Words<'_> = Words {
    model: "a table",
    run: "by hand",
    by_hand: true,
};

/// Runs the command.
pub fn run(args: &WriteTableArgs) -> Result<Outcome, Failure> {
    let Some(mut writer) = Writer::of(&args.place, args.max_file_bytes, WORDS) else {
        let message = "expected --write xmp, sidecar or another place for the captions, got none";
        return Err(Failure::Usage(message.to_owned()));
    };
    let table = &args.table;
    let kind = SourceKind::of(table).filter(|kind| kind.is_table());
    let kind = kind.ok_or_else(|| {
        let message = "expected a table named .csv, .tsv or .jsonl".to_owned();
        Error::input(table, InputFault::Text(message))
    })?;
    let mut options = SourceOptions::default();
    options.column = args.column.clone();
    options.caption_column = args.caption_column.clone();
    let mut outcome = Outcome::AllWell;
    let mut without = 0usize;
    for_each_caption(table, kind, &options, |row| -> Result<(), Failure> {
        let written = row.and_then(|row| match row.caption.trim() {
            "" => {
                without += 1;
                Ok(None)
            }
            _ => write_row(&mut writer, args, row).map(Some),
        });
        match written {
            Ok(Some(line)) if writer.pretends() => print::line(line)?,
            Ok(_) => {}
            Err(error) => {
                outcome = Outcome::SomeFailed;
                print::warn(complaint(&error));
            }
        }
        Ok(())
    })?;
    writer.tell();
    if without > 0 {
        print::tell(format!("rows without a caption: {without}"));
    }
    Ok(outcome)
}

/// Writes one caption; returns what a person is told of it before it is done.
fn write_row(
    writer: &mut Writer,
    args: &WriteTableArgs,
    row: CaptionedRow,
) -> Result<String, Error> {
    let CaptionedRow { photo, caption } = row;
    let stamp = FileStamp::of(&photo)?;
    let caption = caption.split_whitespace().collect::<Vec<_>>().join(" ");
    let caption = match args.place.max_chars {
        Some(chars) => cut_at_word(&caption, chars),
        None => &caption,
    };
    let written = writer.write(&photo, Some(stamp), caption)?;
    Ok(format!(
        "{}\t{}\t{}",
        name::of(&photo),
        written.plan(),
        name::tame(caption)
    ))
}
