//! What becomes of a matched text.

use super::rules::Edit;
use std::borrow::Cow;

/// The token of a matched text; `None` where the rule makes none.
pub(crate) fn token(edit: Edit, text: &str) -> Option<Cow<'_, str>> {
    Some(match edit {
        Edit::Skip => return None,
        Edit::Newline => Cow::Borrowed("\n"),
        Edit::Keep | Edit::RepeatLast => Cow::Borrowed(text),
        Edit::Acronym if text.len() == 2 => Cow::Borrowed(&text[..1]),
        Edit::Acronym => Cow::Borrowed(text),
        Edit::DropSoftHyphens => drop_soft_hyphens(text),
        Edit::OpenQuote => quotes(text, "`", "``"),
        Edit::CloseQuote => quotes(text, "'", "''"),
        Edit::Fixed(token) => Cow::Borrowed(token),
        Edit::Hyphens if (3..=4).contains(&text.len()) => Cow::Borrowed("--"),
        Edit::Hyphens => Cow::Borrowed(text),
        Edit::Fraction => fraction(text),
        Edit::Currency => currency(text),
        Edit::Ampersand => ampersand(text),
        Edit::NoBreakSpace => Cow::Owned(text.replace(' ', "\u{a0}")),
        Edit::Parentheses => parentheses(text),
        Edit::Phone => Cow::Owned(parentheses(&text.replace(' ', "\u{a0}")).into_owned()),
    })
}

fn drop_soft_hyphens(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{ad}') {
        return Cow::Borrowed(text);
    }
    let rest = text.replace('\u{ad}', "");
    if rest.is_empty() {
        Cow::Borrowed("-")
    } else {
        Cow::Owned(rest)
    }
}

fn quotes<'a>(text: &'a str, single: &str, double: &str) -> Cow<'a, str> {
    if !text.contains(|c: char| !c.is_ascii_alphanumeric()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.replace("&apos;", "'").replace("&quot;", "\"").chars() {
        match character {
            '\'' => out.push_str(single),
            '"' => out.push_str(double),
            '\u{91}' | '‘' | '‛' | '‹' => out.push('`'),
            '\u{92}' | '’' | '›' => out.push('\''),
            '\u{93}' | '“' | '«' => out.push_str("``"),
            '\u{94}' | '”' | '»' => out.push_str("''"),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

fn fraction(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(match text {
        "¼" => "1/4",
        "½" => "1/2",
        "¾" => "3/4",
        "⅓" => "1/3",
        "⅔" => "2/3",
        other => other,
    })
}

fn currency(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(match text {
        "¢" => "cents",
        "£" => "#",
        "\u{80}" | "¤" | "₠" | "€" => "$",
        other => other,
    })
}

fn ampersand(text: &str) -> Cow<'_, str> {
    const ENTITY: &str = "&amp;";
    let lower = text.to_ascii_lowercase();
    if !lower.contains(ENTITY) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut start = 0;
    for (index, _) in lower.match_indices(ENTITY) {
        out.push_str(&text[start..index]);
        out.push('&');
        start = index + ENTITY.len();
    }
    out.push_str(&text[start..]);
    Cow::Owned(out)
}

fn parentheses(text: &str) -> Cow<'_, str> {
    Cow::Owned(text.replace('(', "-LRB-").replace(')', "-RRB-"))
}
