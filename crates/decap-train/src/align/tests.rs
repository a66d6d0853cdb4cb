use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use image::RgbImage;

use super::contrast::contrast;
use super::features::Features;
use super::head::{Dropout, TrainedHead};
use super::*;
use decap::encoder;
use decap::weights::Folder;

/// Central differences over f32 losses: the step is large, so the second order shows a little.
const GRADIENT_TOLERANCE: f64 = 2e-2;

fn gaussians(count: usize, seed: u64) -> Vec<f32> {
    let random = RandomStream::new(&[seed]);
    (0..count as u64)
        .map(|index| random.gaussian(index) as f32)
        .collect()
}

/// The loss of a batch of five, two of which say the same.
fn loss(image: &TrainedHead, text: &TrainedHead, log_scale: f32) -> (f64, [Vec<Vec<f32>>; 2], f64) {
    let dropout = |seed| Dropout {
        rate: 0.2,
        input: RandomStream::new(&[seed, 1]),
        hidden: RandomStream::new(&[seed, 2]),
    };
    let images = image.forward(gaussians(5 * 6, 1), Some(dropout(1)));
    let texts = text.forward(gaussians(7 * 4, 2), Some(dropout(2)));
    let meanings = [3, 1, 4, 1, 5, 9, 4]; // the last two belong to no image
    let found = contrast(&images.output, &texts.output, &meanings, log_scale);
    let gradients = [
        image.backward(&images, found.images),
        text.backward(&texts, found.texts),
    ];
    (found.loss, gradients, found.log_scale)
}

fn small_heads() -> (TrainedHead, TrainedHead) {
    let head = |width, units, seed| {
        let features = Features {
            values: gaussians(20 * width, seed),
            width,
        };
        let rows: Vec<usize> = (0..20).collect();
        TrainedHead::new(&features, &rows, 3, units, RandomStream::new(&[seed]))
    };
    (head(6, 7, 11), head(4, 0, 12))
}

#[test]
fn gradients_are_those_of_finite_differences() {
    const STEP: f32 = 1e-2;
    let (image, text) = small_heads();
    let (_, gradients, log_scale_gradient) = loss(&image, &text, 1.2);
    let names: [&[&str]; 2] = [
        &[
            "weight",
            "bias",
            "hidden.weight_in",
            "hidden.bias_in",
            "hidden.weight_out",
        ],
        &["weight", "bias"],
    ];
    for (side, names) in names.iter().enumerate() {
        assert_eq!(gradients[side].len(), names.len());
        for (parameter, name) in names.iter().enumerate() {
            for (index, &gradient) in gradients[side][parameter].iter().enumerate() {
                let at = |step: f32| {
                    let (mut image, mut text) = (image.clone(), text.clone());
                    let head = if side == 0 { &mut image } else { &mut text };
                    head.parameters()[parameter].0[index] += step;
                    loss(&image, &text, 1.2).0
                };
                let slope = (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP);
                let difference = (slope - f64::from(gradient)).abs();
                let size = slope.abs().max(0.05);
                assert!(
                    difference < GRADIENT_TOLERANCE * size,
                    "side {side}, {name}[{index}]: {gradient}, expected {slope}"
                );
            }
        }
    }
    let slope = (loss(&image, &text, 1.21).0 - loss(&image, &text, 1.19).0) / 0.02;
    assert!(
        (slope - log_scale_gradient).abs() < 1e-3,
        "{log_scale_gradient}, expected {slope}"
    );
}

/// Symmetric cross-entropy by hand: two pairs, orthogonal, scale 2.
#[test]
fn the_loss_is_that_of_clip() {
    let vectors = [1.0, 0.0, 0.0, 1.0];
    let found = contrast(&vectors, &vectors, &[0, 1], 2.0_f32.ln());
    let expected = (2.0_f64.exp() + 1.0).ln() - 2.0;
    assert!(
        (found.loss - expected).abs() < 1e-6,
        "{} {expected}",
        found.loss
    );
    // Both texts the same: either photo is right for either, so nothing is left to tell apart.
    let same = [1.0, 0.0, 1.0, 0.0];
    let found = contrast(&same, &same, &[7, 7], 2.0_f32.ln());
    assert!((found.loss - 2.0_f64.ln()).abs() < 1e-6, "{}", found.loss);
    assert!(found.images.iter().all(|value| value.abs() < 1e-6));
    // A further text, across both: the images have one more to tell apart, the texts do not.
    let more = [1.0, 0.0, 0.0, 1.0, 0.6, -0.8];
    let found = contrast(&vectors, &more, &[0, 1, 2], 2.0_f32.ln());
    let (first, second) = (1.2_f64.exp(), (-1.6_f64).exp());
    let forward = [first, second].map(|extra| (2.0_f64.exp() + 1.0 + extra).ln() - 2.0);
    let expected = (forward[0] + forward[1] + 2.0 * expected) / 4.0;
    assert!(
        (found.loss - expected).abs() < 1e-6,
        "{} {expected}",
        found.loss
    );
}

/// What was told while aligning.
#[derive(Debug, Default)]
struct Told {
    stages: Vec<(Stage, usize, usize)>,
    failed: Vec<PathBuf>,
    epochs: Vec<EpochReport>,
}

impl AlignProgress for Told {
    fn advanced(&mut self, stage: Stage, done: usize, total: usize) {
        self.stages.push((stage, done, total));
    }
    fn photo_failed(&mut self, photo: &FailedPhoto) {
        self.failed.push(photo.path.clone());
    }
    fn epoch_done(&mut self, epoch: &EpochReport) {
        self.epochs.push(*epoch);
    }
}

const COLOURS: [([u8; 3], &str); 8] = [
    ([230, 20, 20], "a red sofa"),
    ([20, 230, 20], "a man rides a horse"),
    ([20, 20, 230], "two dogs"),
    ([230, 230, 20], "a room with a sofa"),
    ([230, 20, 230], "a dog in a room"),
    ([20, 230, 230], "an horse and a dog"),
    ([240, 240, 240], "a man on a sofa"),
    ([10, 10, 10], "two man with a dog"),
];

/// Photos of one noisy colour each, and a sentence that goes with each colour; towers of random
/// weights. Eight photos a colour are for learning, one for development, one is held out.
fn write_pairs(folder: &Path) -> AlignInputs {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-encoder/tests/data/onnx");
    let mut lines = Vec::new();
    for copy in 0..10 {
        for (colour, (rgb, caption)) in COLOURS.iter().enumerate() {
            let random = RandomStream::new(&[copy, colour as u64]);
            let image = RgbImage::from_fn(20, 18, |x, y| {
                let noise = |channel: u64| random.uniform(u64::from(y * 20 + x) * 3 + channel);
                image::Rgb([0, 1, 2].map(|channel| {
                    rgb[channel].saturating_add((noise(channel as u64) * 60.0) as u8)
                }))
            });
            let name = format!("{copy}_{colour}.png");
            image.save(folder.join(&name)).unwrap();
            let split = match copy {
                0..8 => "train",
                8 => "val",
                _ => "test",
            };
            let line = serde_json::json!({"image": name, "captions": [caption], "split": split});
            lines.push(line.to_string());
        }
    }
    fs::write(folder.join("pairs.jsonl"), lines.join("\n")).unwrap();
    for file in ["image.onnx", "text.onnx", "tokenizer.json"] {
        fs::copy(fixtures.join(file), folder.join(file)).unwrap();
    }
    let preprocess = r#"{"size": 16, "resize": {"shortest_side": 16}}"#;
    let image =
        format!(r#"{{"file": "image.onnx", "outputs": ["map"], "preprocess": {preprocess}}}"#);
    let other =
        format!(r#"{{"file": "image.onnx", "outputs": ["pooled"], "preprocess": {preprocess}}}"#);
    let text = r#"{"file": "text.onnx", "tokenizer": "tokenizer.json", "max_tokens": 64}"#;
    fs::write(folder.join("image.json"), image).unwrap();
    fs::write(folder.join("other.json"), other).unwrap();
    fs::write(folder.join("text.json"), text).unwrap();
    AlignInputs {
        pairs: vec![folder.join("pairs.jsonl")],
        image_towers: vec![folder.join("image.json")],
        text_tower: folder.join("text.json"),
        cache: Some(folder.join("cache")),
    }
}

fn quick() -> AlignOptions {
    AlignOptions {
        width: 16,
        image_hidden: 32,
        batch: 32,
        epochs: 30,
        learning_rate: 1e-2,
        dropout: 0.1,
        ..AlignOptions::default()
    }
}

fn run(inputs: &AlignInputs, options: &AlignOptions, out: &Path) -> Result<(AlignReport, Told)> {
    let mut told = Told::default();
    let report = align(inputs, options, out, &mut told, &AtomicBool::new(false))?;
    Ok((report, told))
}

#[test]
fn colours_are_brought_to_their_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = write_pairs(folder.path());
    let out = folder.path().join("encoder");
    let (report, told) = run(&inputs, &quick(), &out).unwrap();
    assert_eq!(
        (
            report.train_photos,
            report.train_captions,
            report.class_photos
        ),
        (64, 64, 0)
    );
    assert_eq!(told.epochs.len(), 30);
    assert!(
        told.epochs[29].loss < told.epochs[0].loss / 2.0,
        "{:?}",
        told.epochs[29]
    );
    let test = report.test.unwrap();
    assert_eq!((test.photos, test.sentences), (8, 8));
    assert!(
        test.image_to_text[0] >= 0.75 && test.text_to_image[0] >= 0.75,
        "{test:?}"
    );
    assert_eq!(told.stages.last(), Some(&(Stage::Captions, 8, 8)));

    // The folder is an encoder, and sees what was measured.
    let encoder =
        encoder::open_folder(&Folder::disk(&out), &decap::OpenOptions::default()).unwrap();
    assert_eq!(encoder.fingerprint(), report.fingerprint);
    let photos: Vec<_> = (0..8)
        .map(|colour| folder.path().join(format!("9_{colour}.png")))
        .map(|path| decap::media::image::open(path, &Default::default()).unwrap())
        .collect();
    let images = encoder.encode_images(&photos).unwrap();
    let texts = encoder
        .encode_texts(&COLOURS.map(|(_, caption)| caption))
        .unwrap();
    let owners: Vec<usize> = (0..8).collect();
    assert_eq!(Recalls::measure(&images, &texts, &owners), test);
}

#[test]
fn the_same_seed_gives_the_same_encoder_from_the_cache_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = write_pairs(folder.path());
    inputs.image_towers.push(folder.path().join("other.json"));
    let options = AlignOptions {
        epochs: 2,
        views: 4,
        ..quick()
    };
    let (first, _) = run(&inputs, &options, &folder.path().join("1")).unwrap();
    let caches = || fs::read_dir(folder.path().join("cache")).unwrap().count();
    assert_eq!(caches(), 3, "two image towers and a text tower");
    let (second, _) = run(&inputs, &options, &folder.path().join("2")).unwrap();
    assert_eq!(first.fingerprint, second.fingerprint);
    inputs.cache = None;
    let (third, _) = run(&inputs, &options, &folder.path().join("3")).unwrap();
    assert_eq!(first.fingerprint, third.fingerprint);
    let other = AlignOptions { seed: 1, ..options };
    let (fourth, _) = run(&inputs, &other, &folder.path().join("4")).unwrap();
    assert_ne!(first.fingerprint, fourth.fingerprint);
}

#[test]
fn a_bad_photo_does_not_stop_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = write_pairs(folder.path());
    fs::write(folder.path().join("3_1.png"), b"not a photo").unwrap();
    fs::remove_file(folder.path().join("9_2.png")).unwrap();
    let options = AlignOptions {
        epochs: 1,
        ..quick()
    };
    let (report, told) = run(&inputs, &options, &folder.path().join("out")).unwrap();
    let kinds: Vec<_> = report
        .failed
        .iter()
        .map(|photo| photo.error.kind())
        .collect();
    assert_eq!(kinds, ["unsupported", "not_found"]);
    assert_eq!(
        told.failed,
        [folder.path().join("3_1.png"), folder.path().join("9_2.png")]
    );
    assert_eq!(report.train_photos, 63);
    assert_eq!(report.test.unwrap().photos, 7);
}

#[test]
fn class_photos_are_learned_from_and_dev_photos_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = write_pairs(folder.path());
    let path = folder.path().join("pairs.jsonl");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace(r#""val""#, r#""train""#);
    let class = "\n{\"image\": \"0_0.png\", \"label\": \"sofa\", \"split\": \"class\"}";
    fs::write(&path, text + class).unwrap();
    let options = AlignOptions {
        epochs: 1,
        dev_share: 0.2,
        ..quick()
    };
    let (report, _) = run(&inputs, &options, &folder.path().join("out")).unwrap();
    assert_eq!(report.class_photos, 1);
    assert_eq!(report.train_photos - 1 + report.dev.photos, 72);
    assert!(
        (5..25).contains(&report.dev.photos),
        "{}",
        report.dev.photos
    );
    let without = AlignOptions {
        class_repeats: 0,
        ..options
    };
    let (report, _) = run(&inputs, &without, &folder.path().join("out")).unwrap();
    assert_eq!(report.class_photos, 0);
}

#[test]
fn patience_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = write_pairs(folder.path());
    let options = AlignOptions {
        epochs: 500,
        patience: Some(3),
        ..quick()
    };
    let (report, told) = run(&inputs, &options, &folder.path().join("out")).unwrap();
    assert!(report.epochs < 500);
    assert_eq!(report.epochs, report.best_epoch + 3);
    assert_eq!(told.epochs.len(), report.epochs);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = write_pairs(folder.path());
    let out = folder.path().join("out");
    let options = [
        AlignOptions {
            width: 0,
            ..quick()
        },
        AlignOptions {
            batch: 1,
            ..quick()
        },
        AlignOptions {
            dropout: 1.0,
            ..quick()
        },
        AlignOptions {
            learning_rate: f32::NAN,
            ..quick()
        },
        AlignOptions {
            views: 1,
            image_views: encoder::ImageViews::Mirrored,
            ..quick()
        },
    ];
    for options in options {
        assert_eq!(
            run(&inputs, &options, &out).unwrap_err().kind(),
            "usage",
            "{options:?}"
        );
    }
    let no_tower = AlignInputs {
        image_towers: vec![],
        ..inputs.clone()
    };
    assert_eq!(run(&no_tower, &quick(), &out).unwrap_err().kind(), "usage");
    let missing = AlignInputs {
        text_tower: folder.path().join("no.json"),
        ..inputs.clone()
    };
    assert_eq!(
        run(&missing, &quick(), &out).unwrap_err().kind(),
        "not_found"
    );
    let stopped = align(&inputs, &quick(), &out, &mut (), &AtomicBool::new(true));
    assert!(matches!(stopped, Err(Error::Interrupted)));
    fs::write(
        folder.path().join("few.jsonl"),
        r#"{"image": "0_0.png", "captions": ["a"]}"#,
    )
    .unwrap();
    let few = AlignInputs {
        pairs: vec![folder.path().join("few.jsonl")],
        ..inputs
    };
    assert_eq!(run(&few, &quick(), &out).unwrap_err().kind(), "usage");
    assert!(!out.exists());
}
