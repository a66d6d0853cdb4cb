//! Photos of Parquet files: in a column of bytes, as Hugging Face data sets have them, or in one of paths.

use std::path::Path;

use decap::Result;

use super::{Ended, Give, SourceOptions};

/// Columns of photos, the likeliest first; behind them those that tables have.
#[cfg(feature = "parquet")]
const PHOTO_COLUMNS: &[&str] = &[
    "image.bytes",
    "img.bytes",
    "photo.bytes",
    "picture.bytes",
    "jpg.bytes",
    "image_bytes",
    "bytes",
    "jpg",
    "jpeg",
    "png",
    "webp",
];

/// Gives the photo of each row of the Parquet file at `path`. A photo without a path is called `FILE/ROW`; rows
/// count from 0, as data sets do.
///
/// # Errors
/// Where it cannot be read to its end, or has no column of photos.
#[cfg(feature = "parquet")]
pub(super) fn read(path: &Path, options: &SourceOptions, give: &mut Give<'_>) -> Result<(), Ended> {
    use std::ops::ControlFlow;

    use super::fetched::Fetched;
    use super::table::PATH_COLUMNS;

    let typed = options.column.as_deref();
    let in_struct = typed.map(|column| format!("{column}.bytes"));
    let columns: Vec<&str> = match &typed {
        Some(column) => in_struct.as_deref().into_iter().chain([*column]).collect(),
        None => [PHOTO_COLUMNS, PATH_COLUMNS].concat(),
    };
    let mut rows = Fetched::new(options, give);
    let mut ended = Ok(());
    let mut row = 0;
    let read = caption_data::for_each_value(path, &columns, &mut |value| {
        let given = rows.push(photo_of_value(path, row, value, options));
        row += 1;
        match given {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => {
                ended = Err(why);
                ControlFlow::Break(())
            }
        }
    });
    ended?;
    // What was whole comes first.
    rows.finish()?;
    read.map_err(|error| fault_of(error).into())
}

#[cfg(not(feature = "parquet"))]
pub(super) fn read(
    path: &Path,
    _options: &SourceOptions,
    _give: &mut Give<'_>,
) -> Result<(), Ended> {
    let message = "this build of decap reads no Parquet: build it with the feature `parquet`";
    let fault = decap::InputFault::Unsupported(message.to_owned());
    Err(decap::Error::input(path, fault).into())
}

#[cfg(feature = "parquet")]
fn photo_of_value(
    path: &Path,
    row: u64,
    value: Option<&[u8]>,
    options: &SourceOptions,
) -> Result<decap::Input> {
    use decap::media::{HEAD_BYTES, kind_of_head};
    use decap::{Error, Input, InputFault};

    use super::archive::over_limit;
    use super::table::photo_of_cell;

    /// No path is longer.
    const LONGEST_PATH: usize = 1 << 16;
    let label = path.join(row.to_string());
    let value = value.unwrap_or_default();
    if value.is_empty() {
        let message = "expected a photo in this row, got none".to_owned();
        return Err(Error::input(label, InputFault::Empty(message)));
    }
    let is_photo = kind_of_head(&value[..value.len().min(HEAD_BYTES)]).is_some();
    let is_text = || str::from_utf8(value).is_ok_and(|text| !text.contains(char::is_control));
    if !is_photo && value.len() <= LONGEST_PATH && is_text() {
        return photo_of_cell(path, row, value);
    }
    if value.len() as u64 > options.file_bytes {
        return Err(over_limit(&label, options.file_bytes, value.len() as u64));
    }
    Ok(Input::from(value.to_vec()).named(label))
}

#[cfg(feature = "parquet")]
fn fault_of(error: caption_data::Error) -> decap::Error {
    use caption_data::Error as Told;
    use decap::{Error, InputFault};

    let path = error.path().to_path_buf();
    let fault = match error {
        Told::Io { source, .. } => return Error::io(path, source),
        Told::Unsupported { message, .. } => InputFault::Unsupported(message),
        Told::Damaged { message, .. } => InputFault::Damaged(message),
        Told::TooLarge { message, .. } => InputFault::TooLarge(message),
        Told::Text { message, .. } => InputFault::Text(format!("{message}: name it with --column")),
        other => InputFault::Damaged(other.to_string()),
    };
    Error::input(path, fault)
}
