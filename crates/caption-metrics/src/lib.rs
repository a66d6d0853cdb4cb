//! Caption metrics without Java, equal to pycocoevalcap.
