//! What a work is called: `image_tower_b16`, `project_500k_q32`, ...

use std::fmt;
use std::str::FromStr;

use crate::failure::Failure;

/// A piece of work and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkName {
    /// `image_tower_bN`: N photos through the image tower.
    ImageTower { batch: usize },
    /// `text_tower_NxT`: N texts of T tokens through the text tower.
    TextTower { batch: usize, tokens: usize },
    /// `decode_T` or `decode_T_bN`: T tokens, chosen greedily, for each of N embeddings.
    Decode { tokens: usize, batch: usize },
    /// `train_step_NxT`: forward, backward and update for N captions of T tokens.
    TrainStep { batch: usize, tokens: usize },
    /// `project_R_qN`: N embeddings onto a memory of R sentences.
    Project { rows: usize, queries: usize },
    /// `photo_to_caption`: a file to at most 20 tokens, over a memory of 500,000 sentences.
    PhotoToCaption,
    /// `photos_to_captions_N`: N files, decoded, encoded and captioned 16 at a time.
    PhotosToCaptions { photos: usize },
}

impl WorkName {
    /// What is timed where no name is typed.
    pub const STANDARD: [Self; 9] = [
        Self::ImageTower { batch: 1 },
        Self::ImageTower { batch: 16 },
        Self::TextTower {
            batch: 64,
            tokens: 77,
        },
        Self::TextTower {
            batch: 64,
            tokens: 16,
        },
        Self::Decode {
            tokens: 15,
            batch: 1,
        },
        Self::TrainStep {
            batch: 64,
            tokens: 20,
        },
        Self::Project {
            rows: 500_000,
            queries: 1,
        },
        Self::Project {
            rows: 500_000,
            queries: 32,
        },
        Self::PhotoToCaption,
    ];
}

/// The standard names, one a line, and the patterns of the others.
pub fn list() -> String {
    let mut text = String::new();
    for name in WorkName::STANDARD {
        text += &format!("{name}\n");
    }
    text + "\nother sizes:\n  image_tower_bN  text_tower_NxT  decode_T[_bN]  train_step_NxT  \
        project_ROWS_qN (ROWS as 10k, 500k, 5m)  photos_to_captions_N\n"
}

impl fmt::Display for WorkName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ImageTower { batch } => write!(formatter, "image_tower_b{batch}"),
            Self::TextTower { batch, tokens } => write!(formatter, "text_tower_{batch}x{tokens}"),
            Self::Decode { tokens, batch: 1 } => write!(formatter, "decode_{tokens}"),
            Self::Decode { tokens, batch } => write!(formatter, "decode_{tokens}_b{batch}"),
            Self::TrainStep { batch, tokens } => write!(formatter, "train_step_{batch}x{tokens}"),
            Self::Project { rows, queries } => {
                write!(formatter, "project_{}_q{queries}", abbreviated(rows))
            }
            Self::PhotoToCaption => formatter.write_str("photo_to_caption"),
            Self::PhotosToCaptions { photos } => write!(formatter, "photos_to_captions_{photos}"),
        }
    }
}

fn abbreviated(count: usize) -> String {
    match count {
        _ if count.is_multiple_of(1_000_000) => format!("{}m", count / 1_000_000),
        _ if count.is_multiple_of(1000) => format!("{}k", count / 1000),
        _ => count.to_string(),
    }
}

impl FromStr for WorkName {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        parse(name).ok_or_else(|| {
            let message =
                format!("--work: expected a name as `decap bench --list` has them, got `{name}`");
            Failure::Usage(message)
        })
    }
}

fn parse(name: &str) -> Option<WorkName> {
    if name == "photo_to_caption" {
        return Some(WorkName::PhotoToCaption);
    }
    let pair = |text: &str, separator| {
        let (first, second) = text.split_once(separator)?;
        Some((count(first)?, count(second)?))
    };
    if let Some(batch) = name.strip_prefix("image_tower_b") {
        let batch = count(batch)?;
        return Some(WorkName::ImageTower { batch });
    }
    if let Some(size) = name.strip_prefix("text_tower_") {
        let (batch, tokens) = pair(size, "x")?;
        return (tokens <= 77).then_some(WorkName::TextTower { batch, tokens });
    }
    if let Some(size) = name.strip_prefix("decode_") {
        let (tokens, batch) = match size.contains("_b") {
            true => pair(size, "_b")?,
            false => (count(size)?, 1),
        };
        return (tokens <= 1024).then_some(WorkName::Decode { tokens, batch });
    }
    if let Some(size) = name.strip_prefix("train_step_") {
        let (batch, tokens) = pair(size, "x")?;
        return (tokens <= 1024).then_some(WorkName::TrainStep { batch, tokens });
    }
    if let Some(size) = name.strip_prefix("project_") {
        let (rows, queries) = pair(size, "_q")?;
        return Some(WorkName::Project { rows, queries });
    }
    let photos = count(name.strip_prefix("photos_to_captions_")?)?;
    Some(WorkName::PhotosToCaptions { photos })
}

/// A number above 0 and below a hundred million, perhaps in thousands (`k`) or millions (`m`).
fn count(text: &str) -> Option<usize> {
    const MOST: usize = 100_000_000;
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1000),
        b'm' => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let count = digits.parse::<usize>().ok()?.checked_mul(unit)?;
    (1..MOST).contains(&count).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let names = [
            "image_tower_b1",
            "image_tower_b16",
            "text_tower_64x77",
            "text_tower_64x16",
            "decode_15",
            "train_step_64x20",
            "project_500k_q1",
            "project_500k_q32",
            "photo_to_caption",
        ];
        assert_eq!(WorkName::STANDARD.map(|name| name.to_string()), names);
        for name in [
            "decode_15_b64",
            "project_5m_q32",
            "project_123_q1",
            "photos_to_captions_256",
        ] {
            assert_eq!(parse(name).unwrap().to_string(), name);
        }
        for name in names {
            assert_eq!(parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "image_tower_b0",
            "image_tower_bx",
            "text_tower_1x78",
            "decode_9999",
            "project_500k",
            "project_k_q1",
            "photos_to_captions_99999999999999999999",
        ] {
            assert!(parse(name).is_none(), "{name}");
        }
    }
}
