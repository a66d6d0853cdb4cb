//! Line files: plain text, Flickr `.token` files, Conceptual Captions' TSV, and lines that begin
//! with an identifier.

use crate::captions::{CaptionedImage, Captions};
use crate::collector::Collector;
use crate::error::Fault;
use crate::format::CaptionFormat;
use crate::source::Budget;
use crate::{MAX_CAPTION_BYTES, Purpose};

/// What each line of a file consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineForm {
    /// A caption; for references, several with tabs between.
    Plain,
    /// The image's id, a tab and a caption.
    Id,
    /// Flickr's form: the id, `#`, the caption's number, a tab and a caption.
    NumberedId,
    /// Conceptual Captions': a caption, a tab and a URL.
    CaptionUrl,
}

/// The form of the lines of `text`. Of those that name images, all lines must have it, but for
/// training the first line decides for the two forms that nothing else looks like.
pub(crate) fn form_of(text: &str, purpose: Purpose) -> LineForm {
    if purpose == Purpose::Sentences {
        let first = text.lines().find(|line| !line.trim().is_empty());
        match first.and_then(|line| line.split_once('\t')) {
            Some((key, _)) if flickr_image(key).is_some() => return LineForm::NumberedId,
            Some((_, url)) if is_url(url) => return LineForm::CaptionUrl,
            _ => (),
        }
    }
    let mut lines = text.lines().filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_none() {
        return LineForm::Plain;
    }
    let mut form = LineForm::NumberedId;
    for line in lines {
        let Some((id, caption)) = line.split_once('\t') else {
            return LineForm::Plain;
        };
        // Captions of one word rarely have a digit each.
        let is_id = !id.contains(char::is_whitespace) && id.contains(|c: char| c.is_ascii_digit());
        if !is_id || caption.contains('\t') {
            return LineForm::Plain;
        }
        if flickr_image(id).is_none() {
            form = LineForm::Id;
        }
    }
    form
}

/// Reads lines of this form.
pub(crate) fn read(
    text: &str,
    form: LineForm,
    purpose: Purpose,
    budget: &Budget,
) -> Result<Captions, Fault> {
    let format = match form {
        LineForm::Plain => CaptionFormat::PlainText,
        LineForm::Id => CaptionFormat::Table,
        LineForm::NumberedId => CaptionFormat::FlickrToken,
        LineForm::CaptionUrl => CaptionFormat::ConceptualCaptions,
    };
    let mut collector = Collector::new(format, purpose, budget);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let added = match (form, purpose) {
            // Line n is of image n, with captions or without.
            (LineForm::Plain, Purpose::References | Purpose::Predictions) => {
                add_numbered(&mut collector, number, line, purpose)
            }
            _ if line.trim().is_empty() => Ok(()),
            _ => check_length(line).and_then(|()| add_line(&mut collector, form, line)),
        };
        added.map_err(|fault| fault.at(format!("line {number}")))?;
    }
    let mut captions = collector.captions;
    if form == LineForm::Id && purpose == Purpose::Sentences {
        captions.set_note(format!(
            "each line was read as an identifier, a tab and a caption; the first caption is {:?}",
            captions.texts().first().map_or("", String::as_str)
        ));
    }
    Ok(captions)
}

fn check_length(line: &str) -> Result<(), Fault> {
    match line.len() > MAX_CAPTION_BYTES {
        false => Ok(()),
        true => Err(Fault::TooLarge(format!(
            "expected at most {MAX_CAPTION_BYTES} bytes, got a longer line"
        ))),
    }
}

fn add_numbered(
    collector: &mut Collector<'_>,
    number: usize,
    line: &str,
    purpose: Purpose,
) -> Result<(), Fault> {
    let image = collector.image_id(&number.to_string())?;
    if purpose == Purpose::Predictions {
        return collector.text(Some(image), line);
    }
    for caption in line
        .split('\t')
        .filter(|caption| !caption.trim().is_empty())
    {
        collector.text(Some(image), caption)?;
    }
    Ok(())
}

fn add_line(collector: &mut Collector<'_>, form: LineForm, line: &str) -> Result<(), Fault> {
    let (id, path, text) = match form {
        LineForm::Plain => return collector.text(None, line),
        LineForm::Id => {
            let (id, text) = split(line, "identifier<TAB>caption")?;
            (id, None, text)
        }
        LineForm::NumberedId => {
            let (key, text) = split(line, "image#number<TAB>caption")?;
            let id = flickr_image(key)
                .ok_or_else(|| format!("expected `image#number` before the tab, got {key:?}"))?;
            (id, Some(id), text)
        }
        LineForm::CaptionUrl => {
            let (text, url) = split(line, "caption<TAB>url")?;
            if !is_url(url) {
                let fault =
                    format!("expected a URL behind the tab, as in the first line, got {url:?}");
                return Err(fault.into());
            }
            (url.trim(), Some(url.trim()), text)
        }
    };
    let image = collector.image(CaptionedImage {
        id: id.to_owned(),
        path: path.map(str::to_owned),
        ..Default::default()
    })?;
    collector.text(Some(image), text)
}

fn split<'a>(line: &'a str, form: &str) -> Result<(&'a str, &'a str), Fault> {
    let parts = line.split_once('\t');
    parts.ok_or_else(|| Fault::Text(format!("expected `{form}`, got no tab")))
}

/// `1000092795.jpg#0` -> `1000092795.jpg`.
fn flickr_image(key: &str) -> Option<&str> {
    let (image, number) = key.trim().rsplit_once('#')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !image.is_empty() && !image.contains(' ')).then_some(image)
}

/// Whether `text` is one URL.
pub(crate) fn is_url(text: &str) -> bool {
    let text = text.trim();
    (text.starts_with("http://") || text.starts_with("https://")) && !text.contains(' ')
}
