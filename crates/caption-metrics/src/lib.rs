//! Caption metrics without Java, equal to pycocoevalcap.

mod ptb;
mod text;

pub use ptb::PtbTokenizer;
