//! ONNX towers against onnxruntime on tiny random networks, and against the Python originals on
//! real ones (`tools/reference/encoder_golden.py` writes both).

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

use std::fs;
use std::path::{Path, PathBuf};

use decap_encoder::Embeddings;
use decap_encoder::encoder::{
    ImageTower, OnnxImageOptions, OnnxImageTower, OnnxTextOptions, OnnxTextTower, Padding, Pooling,
    Preprocess, Resize, TextTower, TooLong,
};
use decap_encoder::weights::{Bytes, Folder, Tensors};
use decap_media::{Limits, image};

/// Two engines sum in different orders; values are around one.
const TINY_TOLERANCE: f32 = 2e-5;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx")
}

fn expected(folder: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let path = folder.join("expected.safetensors");
    let tensors = Tensors::read(&path, Bytes::from(fs::read(&path).unwrap())).unwrap();
    let shape = tensors.get(name).unwrap().shape.to_vec();
    let values = tensors.f32(name, &shape).unwrap();
    (shape, values)
}

fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= TINY_TOLERANCE, "{what}[{index}]: {a}, {b}");
    }
}

fn image_options(outputs: &[&str], pooling: Pooling) -> OnnxImageOptions {
    let preprocess = Preprocess {
        size: 16,
        resize: Resize::ShortestSide(16),
        ..Preprocess::default()
    };
    let outputs = outputs.iter().map(|name| name.to_string()).collect();
    OnnxImageOptions {
        outputs,
        pooling,
        preprocess,
    }
}

#[test]
fn image_outputs_are_pooled_and_joined() {
    let folder = committed();
    let cases = [
        (vec!["pooled"], Pooling::Mean, vec!["pooled"]),
        (vec!["map"], Pooling::Mean, vec!["map_mean"]),
        (vec![], Pooling::Mean, vec!["map_mean"]),
        (vec!["tokens"], Pooling::Mean, vec!["tokens_mean"]),
        (vec!["tokens"], Pooling::Cls, vec!["tokens_cls"]),
        (
            vec!["pooled", "map"],
            Pooling::Mean,
            vec!["pooled", "map_mean"],
        ),
    ];
    let (shape, pixels) = expected(&folder, "pixels");
    for (outputs, pooling, parts) in cases {
        let options = image_options(&outputs, pooling);
        let tower = OnnxImageTower::open(&Folder::disk(&folder), "image.onnx", options).unwrap();
        let features = tower.forward(&pixels, shape[0]).unwrap();
        let parts: Vec<_> = parts.iter().map(|name| expected(&folder, name)).collect();
        let mut joined = Vec::new();
        for photo in 0..shape[0] {
            for (shape, values) in &parts {
                joined.extend_from_slice(&values[photo * shape[1]..][..shape[1]]);
            }
        }
        assert_eq!(tower.width() * shape[0], joined.len());
        assert_close(&features, &joined, &format!("{outputs:?}"));
    }
}

#[test]
fn towers_may_be_compiled_in() {
    let folder = Folder::Compiled {
        name: "tiny",
        prefix: String::new(),
        files: &[
            ("image.onnx", || include_bytes!("data/onnx/image.onnx")),
            ("text.onnx", || include_bytes!("data/onnx/text.onnx")),
            ("tokenizer.json", || {
                include_bytes!("data/onnx/tokenizer.json")
            }),
        ],
    };
    let options = image_options(&["pooled"], Pooling::Mean);
    assert_eq!(
        OnnxImageTower::open(&folder, "image.onnx", options)
            .unwrap()
            .width(),
        5
    );
    let options = OnnxTextOptions {
        max_tokens: 64,
        ..Default::default()
    };
    let text = OnnxTextTower::open(&folder, "text.onnx", "tokenizer.json", options).unwrap();
    assert_eq!(text.width(), 8);
    let options = image_options(&["pooled"], Pooling::Mean);
    let error = OnnxImageTower::open(&folder, "none.onnx", options).unwrap_err();
    assert_eq!(error.kind(), "not_found");
}

#[test]
fn more_photos_than_a_run_takes() {
    let folder = Folder::disk(committed());
    let options = image_options(&["pooled"], Pooling::Mean);
    let tower = OnnxImageTower::open(&folder, "image.onnx", options).unwrap();
    let (_, pixels) = expected(&committed(), "pixels");
    let many: Vec<f32> = pixels.repeat(13);
    let features = tower.forward(&many, 39).unwrap();
    let (_, once) = expected(&committed(), "pooled");
    assert_close(&features, &once.repeat(13), "39 photos");
    assert!(tower.forward(&many, 38).is_err());
    assert!(tower.forward(&[], 0).unwrap().is_empty());
}

fn sentences(folder: &Path) -> Vec<String> {
    serde_json::from_slice(&fs::read(folder.join("sentences.json")).unwrap()).unwrap()
}

fn text_tower(options: OnnxTextOptions) -> decap_encoder::Result<OnnxTextTower> {
    OnnxTextTower::open(
        &Folder::disk(committed()),
        "text.onnx",
        "tokenizer.json",
        options,
    )
}

#[test]
fn texts_are_pooled_without_their_padding() {
    let cases = [
        (
            "text_mean",
            OnnxTextOptions {
                max_tokens: 64,
                ..Default::default()
            },
        ),
        (
            "text_cls",
            OnnxTextOptions {
                max_tokens: 64,
                pooling: Pooling::Cls,
                ..Default::default()
            },
        ),
        (
            "text_pooled",
            OnnxTextOptions {
                max_tokens: 64,
                output: Some("pooler_output".into()),
                ..Default::default()
            },
        ),
        (
            "text_truncated_mean",
            OnnxTextOptions {
                max_tokens: 8,
                ..Default::default()
            },
        ),
        (
            "text_mean",
            OnnxTextOptions {
                max_tokens: 40,
                padding: Padding::MaxTokens,
                ..Default::default()
            },
        ),
    ];
    let sentences = sentences(&committed());
    let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
    for (name, options) in cases {
        let tower = text_tower(options).unwrap();
        assert_eq!(tower.width(), 8);
        let (_, theirs) = expected(&committed(), name);
        assert_close(&tower.forward(&sentences).unwrap(), &theirs, name);
        assert!(tower.forward(&[]).unwrap().is_empty());
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_where_that_is_asked() {
    let options = OnnxTextOptions {
        max_tokens: 8,
        too_long: TooLong::Refuse,
        ..Default::default()
    };
    let tower = text_tower(options).unwrap();
    assert!(tower.forward(&["a man rides a horse"]).is_ok());
    let error = tower
        .forward(&["a dog", "a man rides a horse on a sofa"])
        .unwrap_err();
    assert_eq!(error.kind(), "usage");
    assert!(
        error.to_string().contains("at most 8 tokens, got 10"),
        "{error}"
    );
}

#[test]
fn what_is_no_tower_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["image.onnx", "text.onnx", "tokenizer.json"] {
        fs::copy(committed().join(name), folder.path().join(name)).unwrap();
    }
    let whole = fs::read(folder.path().join("image.onnx")).unwrap();
    fs::write(folder.path().join("cut.onnx"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.path().join("empty.onnx"), b"").unwrap();
    fs::write(folder.path().join("words.onnx"), b"this is not a network").unwrap();
    let disk = Folder::disk(folder.path());

    let pooled = || image_options(&["pooled"], Pooling::Mean);
    let other_size = OnnxImageOptions {
        preprocess: Preprocess::default(),
        ..pooled()
    };
    let no_size = OnnxImageOptions {
        preprocess: Preprocess {
            size: 0,
            ..Preprocess::default()
        },
        ..pooled()
    };
    let images = [
        ("missing.onnx", pooled(), "not_found", "missing.onnx"),
        ("cut.onnx", pooled(), "model", "cut.onnx"),
        ("empty.onnx", pooled(), "model", "empty.onnx"),
        ("words.onnx", pooled(), "model", "words.onnx"),
        (
            "image.onnx",
            image_options(&["none"], Pooling::Mean),
            "model",
            "map, tokens, pooled",
        ),
        ("image.onnx", other_size, "model", "[any, 3, 224, 224]"),
        ("image.onnx", no_size, "usage", "size"),
        ("text.onnx", pooled(), "model", "one input"),
    ];
    for (file, options, kind, says) in images {
        let error = OnnxImageTower::open(&disk, file, options).unwrap_err();
        assert_eq!(error.kind(), kind, "{file}: {error}");
        assert!(error.to_string().contains(says), "{file}: {error}");
    }
    let texts = [
        ("image.onnx", "tokenizer.json", 64, "model"),
        ("text.onnx", "text.onnx", 64, "model"),
        ("text.onnx", "missing.json", 64, "not_found"),
        ("text.onnx", "tokenizer.json", 0, "usage"),
        ("text.onnx", "tokenizer.json", usize::MAX, "usage"),
    ];
    for (file, tokenizer, max_tokens, kind) in texts {
        let options = OnnxTextOptions {
            max_tokens,
            ..Default::default()
        };
        let error = OnnxTextTower::open(&disk, file, tokenizer, options).unwrap_err();
        assert_eq!(error.kind(), kind, "{file}, {tokenizer}: {error}");
    }
}

/// A thousand damaged copies: any answer but a panic that gets out.
/// A part of a message of protobuf.
fn part(field: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80);
    [&[field << 3 | 2, length], content].concat()
}

/// A network that returns its input, floats (1) or integers (7) of this shape.
fn identity(kind: u8, shape: &[u64]) -> Vec<u8> {
    let dimensions = shape.iter().map(|&extent| {
        let mut value = vec![1 << 3];
        let mut rest = extent;
        while rest >= 0x80 {
            value.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        value.push(rest as u8);
        part(1, &value)
    });
    let shape = part(2, &dimensions.collect::<Vec<_>>().concat());
    let tensor = part(2, &part(1, &[&[1 << 3, kind][..], &shape].concat()));
    let node = [part(1, b"x"), part(2, b"y"), part(4, b"Identity")].concat();
    let graph = [
        part(1, &node),
        part(2, b"g"),
        part(11, &[part(1, b"x"), tensor].concat()),
        part(12, &part(1, b"y")),
    ]
    .concat();
    [vec![1 << 3, 8], part(7, &graph), part(8, &[2 << 3, 17])].concat()
}

#[test]
fn a_network_that_asks_for_a_vast_input_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = committed().join("tokenizer.json");
    fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    let place = Folder::disk(folder.path());
    let image = |shape: &[u64]| {
        fs::write(folder.path().join("image.onnx"), identity(1, shape)).unwrap();
        let options = image_options(&[], Pooling::Mean);
        OnnxImageTower::open(&place, "image.onnx", options).map_err(|error| error.to_string())
    };
    let text = |shape: &[u64]| {
        fs::write(folder.path().join("text.onnx"), identity(7, shape)).unwrap();
        let options = OnnxTextOptions {
            max_tokens: 16,
            ..OnnxTextOptions::default()
        };
        let tower = OnnxTextTower::open(&place, "text.onnx", "tokenizer.json", options);
        tower.map_err(|error| error.to_string())
    };
    let vast = 1 << 40;
    for error in [
        image(&[vast, 3, 16, 16]).unwrap_err(),
        text(&[vast, 16]).unwrap_err(),
        text(&[1, vast]).unwrap_err(),
    ] {
        assert!(error.contains("an input of at most"), "{error}");
    }
    // What is small enough is opened.
    assert_eq!(image(&[2, 3, 16, 16]).unwrap().width(), 3);
    assert_eq!(text(&[2, 16]).unwrap().width(), 16);
}

#[test]
fn flipped_bytes_of_a_network_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(committed().join("image.onnx")).unwrap();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..=random() % 3 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        fs::write(folder.path().join("image.onnx"), &bytes).unwrap();
        let options = image_options(&["pooled"], Pooling::Mean);
        let _ = OnnxImageTower::open(&Folder::disk(folder.path()), "image.onnx", options);
    }
}

#[derive(serde::Deserialize)]
struct Inputs {
    sentences: Vec<String>,
    photos: Vec<PathBuf>,
}

#[track_caller]
fn real() -> Option<(PathBuf, Inputs)> {
    let folder = skipped::golden("towers")?;
    let inputs = serde_json::from_slice(&fs::read(folder.join("inputs.json")).unwrap()).unwrap();
    Some((folder, inputs))
}

fn lowest_cosine(ours: Vec<f32>, theirs: Vec<f32>, width: usize) -> f32 {
    let (ours, theirs) = (
        Embeddings::new(ours, width).unwrap(),
        Embeddings::new(theirs, width).unwrap(),
    );
    assert_eq!(ours.len(), theirs.len());
    let cosine = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    ours.rows()
        .zip(theirs.rows())
        .map(cosine)
        .fold(f32::INFINITY, f32::min)
}

#[test]
fn minilm_is_that_of_sentence_transformers() {
    let Some((folder, inputs)) = real() else {
        return;
    };
    let tower = OnnxTextTower::open(
        &Folder::disk(&folder),
        "minilm.onnx",
        "tokenizer.json",
        OnnxTextOptions::default(),
    )
    .unwrap();
    let sentences: Vec<&str> = inputs.sentences.iter().map(String::as_str).collect();
    let (shape, theirs) = expected(&folder, "sentences");
    assert_eq!(shape, [200, tower.width()]);
    let lowest = lowest_cosine(tower.forward(&sentences).unwrap(), theirs, tower.width());
    println!("lowest cosine of 200 sentences: {lowest}");
    assert!(lowest > 0.9999, "{lowest}");
}

#[test]
fn efficientnet_is_that_of_pytorch() {
    let Some((folder, inputs)) = real() else {
        return;
    };
    let preprocess = Preprocess {
        size: 260,
        resize: Resize::ShortestSide(297),
        divisor: 1.0,
        mean: [127.0; 3],
        std: [128.0; 3],
        ..Preprocess::default()
    };
    let pixels: Vec<f32> = inputs
        .photos
        .iter()
        .flat_map(|path| preprocess.apply(&image::open(path, &Limits::default()).unwrap()))
        .collect();
    for name in ["features", "logits"] {
        let options = OnnxImageOptions {
            outputs: vec![name.into()],
            preprocess: preprocess.clone(),
            ..Default::default()
        };
        let folder = Folder::disk(&folder);
        let tower = OnnxImageTower::open(&folder, "efficientnet_lite2.onnx", options).unwrap();
        let ours = tower.forward(&pixels, inputs.photos.len()).unwrap();
        let (shape, theirs) = expected(&folder.path(""), name);
        assert_eq!(shape, [50, tower.width()]);
        let top = |rows: &[f32]| -> Vec<usize> {
            let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            rows.chunks_exact(tower.width()).filter_map(best).collect()
        };
        assert_eq!(top(&ours), top(&theirs), "{name}: strongest of each photo");
        let lowest = lowest_cosine(ours, theirs, tower.width());
        println!("lowest cosine of 50 photos, {name}: {lowest}");
        assert!(lowest > 0.999, "{name}: {lowest}");
    }
}
