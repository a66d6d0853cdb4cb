//! SPICE (Anderson et al. 2016) by its own Java program, where it is installed.
//!
//! SPICE parses captions with CoreNLP 3.6.0, whose models pycocoevalcap fetches when it is first
//! used. Nothing of it is rebuilt here: without Java or one of the jars there is no SPICE score.

use crate::error::Error;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const JAR: &str = "spice-1.0.jar";
/// The jars that pycocoevalcap fetches.
const PARSER_JARS: [&str; 2] = [
    "stanford-corenlp-3.6.0.jar",
    "stanford-corenlp-3.6.0-models.jar",
];
/// Java's heap, as pycocoevalcap gives it.
const HEAP: &str = "-Xmx8G";

/// An installed SPICE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spice {
    folder: PathBuf,
}

impl Spice {
    /// Looks for SPICE in the installed `pycocoevalcap` folder, or in its `spice` folder.
    ///
    /// `None` where a jar is missing or there is no Java.
    #[must_use]
    pub fn find(package: impl AsRef<Path>) -> Option<Self> {
        let package = package.as_ref();
        let has_jars = |folder: &PathBuf| {
            let in_lib = PARSER_JARS
                .iter()
                .all(|jar| folder.join("lib").join(jar).is_file());
            folder.join(JAR).is_file() && in_lib
        };
        let folder = [package.to_owned(), package.join("spice")]
            .into_iter()
            .find(has_jars)?;
        let has_java = Command::new("java")
            .arg("-version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        has_java.then_some(Self { folder })
    }

    /// The F-score of each image, `[images]`; captions are tokenized, `references` is
    /// `[images][references]`.
    pub(crate) fn scores(
        &self,
        predictions: &[String],
        references: &[Vec<String>],
    ) -> Result<Vec<f64>, Error> {
        let folder = std::env::temp_dir().join(format!("spice-{}", std::process::id()));
        let io = |source| Error::Io {
            path: folder.clone(),
            source,
        };
        std::fs::create_dir_all(folder.join("cache")).map_err(io)?;
        let (input, output) = (folder.join("input.json"), folder.join("output.json"));
        std::fs::write(&input, request(predictions, references)).map_err(io)?;
        let result = Command::new("java")
            .args([HEAP, "-jar", JAR])
            .arg(&input)
            .arg("-cache")
            .arg(folder.join("cache"))
            .arg("-out")
            .arg(&output)
            .args(["-subset", "-silent"])
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .output();
        let answer = result
            .map_err(|error| Error::Spice(format!("expected to run java, got {error}")))
            .and_then(|result| match result.status.success() {
                true => std::fs::read_to_string(&output).map_err(io),
                false => {
                    let message = String::from_utf8_lossy(&result.stderr).trim().to_owned();
                    Err(Error::Spice(format!(
                        "expected java to succeed, got {message}"
                    )))
                }
            });
        // The folder is of no use any more; a rest of it does no harm.
        let _left_over = std::fs::remove_dir_all(&folder);
        f_scores(&answer?, predictions.len())
    }
}

fn request(predictions: &[String], references: &[Vec<String>]) -> String {
    let images = predictions.iter().zip(references).enumerate().map(
        |(index, (test, refs))| serde_json::json!({"image_id": index, "test": test, "refs": refs}),
    );
    Value::Array(images.collect()).to_string()
}

/// The F-scores in the program's answer, by image.
fn f_scores(answer: &str, num_images: usize) -> Result<Vec<f64>, Error> {
    let answer: Vec<Value> = serde_json::from_str(answer)
        .map_err(|error| Error::Spice(format!("expected a list of scores, got {error}")))?;
    let by_image: HashMap<u64, &Value> = answer
        .iter()
        .filter_map(|one| Some((one["image_id"].as_u64()?, one)))
        .collect();
    (0..num_images as u64)
        .map(|image| {
            let scores = by_image.get(&image).ok_or_else(|| {
                Error::Spice(format!("expected a score of image {image}, got none"))
            })?;
            // A caption without any proposition has no precision: the score is not a number.
            Ok(scores["scores"]["All"]["f"].as_f64().unwrap_or(f64::NAN))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_its_jars_there_is_no_spice() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Spice::find(folder.path()), None);
        std::fs::write(folder.path().join(JAR), "").unwrap();
        assert_eq!(Spice::find(folder.path()), None);
    }

    #[test]
    fn answers_are_read_by_image() {
        let answer = r#"[{"image_id": 1, "scores": {"All": {"f": 0.5}}},
                         {"image_id": 0, "scores": {"All": {"f": 0.25}}}]"#;
        assert_eq!(f_scores(answer, 2).unwrap(), [0.25, 0.5]);
        assert!(f_scores(answer, 3).is_err());
        assert!(f_scores("{}", 1).is_err());
    }

    #[test]
    fn requests_are_what_the_program_reads() {
        let request = request(&["a dog".to_owned()], &[vec!["the dog".to_owned()]]);
        let request: Value = serde_json::from_str(&request).unwrap();
        assert_eq!(request[0]["test"], "a dog");
        assert_eq!(request[0]["refs"][0], "the dog");
    }
}
