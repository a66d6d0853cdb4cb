//! CLIP against the libraries that define its forms, stage by stage, and against hostile files.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::transformer::Stage;
use super::*;
use crate::places::OpenOptions;

fn exact() -> OpenOptions {
    OpenOptions::default().precision(Precision::F32)
}

use crate::weights::{Bytes, Tensors};

/// Sums of up to a few thousand f32 products in another order; activations are near one.
const TOLERANCE: f32 = 1e-4;

/// What rounding may leave of the cosine between two equal vectors.
const LEAST_COSINE: f64 = 0.9999;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/clip")
        .join(name)
}

/// The checkpoint of a golden folder: a file for OpenAI's, else the folder.
fn open(folder: &Path) -> Result<Clip> {
    let file = folder.join("model.pt");
    Clip::open(if file.exists() { &file } else { folder })
}

/// What the form's own library computed, by stage.
struct Expected {
    tensors: Tensors,
}

impl Expected {
    fn read(folder: &Path) -> Self {
        let path = folder.join("expected.safetensors");
        let bytes = Bytes::map(&path).unwrap();
        Self {
            tensors: Tensors::read(&path, bytes).unwrap(),
        }
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.tensors.get(name).unwrap().to_f32().unwrap()
    }

    fn pixels(&self) -> (Vec<f32>, usize) {
        (
            self.values("pixels"),
            self.tensors.get("pixels").unwrap().shape[0],
        )
    }

    /// The ids of each text, without padding.
    fn ids(&self) -> Vec<Vec<u32>> {
        let integers = |name: &str| -> Vec<i64> {
            let (values, _) = self.tensors.get(name).unwrap().bytes.as_chunks::<8>();
            values
                .iter()
                .map(|&value| i64::from_le_bytes(value))
                .collect()
        };
        let lengths = integers("lengths");
        let ids = integers("ids");
        ids.chunks_exact(ids.len() / lengths.len())
            .zip(lengths)
            .map(|(row, length)| row[..length as usize].iter().map(|&id| id as u32).collect())
            .collect()
    }
}

fn stage_name(tower: &str, stage: Stage) -> String {
    match stage {
        Stage::Embedded => format!("{tower}.embedded"),
        Stage::Block(index) => format!("{tower}.block.{index}"),
        Stage::Pooled => format!("{tower}.pooled"),
    }
}

/// Largest difference and least cosine of the embedded, block, pooled and projected stages of a tower.
#[derive(Debug, Clone, Copy)]
struct Parity {
    difference: [f32; 4],
    cosine: f64,
}

impl std::fmt::Display for Parity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [embedded, blocks, pooled, projected] = self.difference;
        write!(
            f,
            "{embedded:.1e} | {blocks:.1e} | {pooled:.1e} | {projected:.1e} | {:.8}",
            self.cosine
        )
    }
}

/// Runs both towers; returns the parity of the image tower and of the text tower.
fn compare(folder: &Path) -> [Parity; 2] {
    let expected = Expected::read(folder);
    let clip = open(folder).unwrap();
    let mut stages = HashMap::new();
    let (pixels, batch) = expected.pixels();
    let features =
        clip.image_tower()
            .unwrap()
            .forward_observed(&pixels, batch, &mut |stage, values| {
                stages.insert(stage_name("image", stage), values.to_vec());
            });
    stages.insert("image.features".to_owned(), features);
    let tokenizer = ClipTokenizer::bundled().unwrap();
    let text = ClipTextTower::read(&clip.reader(), &clip.config, tokenizer).unwrap();
    let features = text.forward_observed(&expected.ids(), &mut |stage, values| {
        stages.insert(stage_name("text", stage), values.to_vec());
    });
    stages.insert("text.features".to_owned(), features);
    let blocks = clip.config.image.transformer.layers + clip.config.text.transformer.layers;
    assert_eq!(stages.len(), 6 + blocks, "stages of {}", folder.display());
    let mut parity = [Parity {
        difference: [0.0; 4],
        cosine: 1.0,
    }; 2];
    for (name, values) in stages {
        let reference = expected.values(&name);
        assert_eq!(values.len(), reference.len(), "{name}");
        let difference = values.iter().zip(&reference).map(|(a, b)| (a - b).abs());
        let difference = difference.fold(0.0, f32::max);
        let cosine = cosine(&values, &reference);
        assert!(
            difference <= TOLERANCE && cosine > LEAST_COSINE,
            "{} {name}: differs by {difference}, cosine {cosine}",
            folder.display()
        );
        let tower = &mut parity[usize::from(name.starts_with("text."))];
        let stage = match name.split('.').nth(1) {
            Some("embedded") => 0,
            Some("block") => 1,
            Some("pooled") => 2,
            _ => 3,
        };
        tower.difference[stage] = tower.difference[stage].max(difference);
        tower.cosine = tower.cosine.min(cosine);
    }
    parity
}

/// A line of the parity table a tower: form, then what [`Parity`] shows.
fn print_parity(folder: &Path, parity: [Parity; 2]) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    println!("| {name} image | {} |", parity[0]);
    println!("| {name} text | {} |", parity[1]);
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn every_stage_of_every_form_equals_its_library() {
    let cases = [
        (
            "hugging_face",
            ClipForm::HuggingFace,
            CheckpointForm::Safetensors,
        ),
        (
            "hugging_face_shards",
            ClipForm::HuggingFace,
            CheckpointForm::Safetensors,
        ),
        (
            "hugging_face_bin",
            ClipForm::HuggingFace,
            CheckpointForm::Torch,
        ),
        ("open_clip", ClipForm::OpenClip, CheckpointForm::Torch),
        (
            "open_clip_safetensors",
            ClipForm::OpenClip,
            CheckpointForm::Safetensors,
        ),
        ("openai", ClipForm::OpenAi, CheckpointForm::TorchScript),
        ("openai_state", ClipForm::OpenAi, CheckpointForm::Torch),
    ];
    for (name, form, weights_form) in cases {
        let clip = open(&data(name)).unwrap();
        assert_eq!(
            (clip.form(), clip.weights_form()),
            (form, weights_form),
            "{name}"
        );
        print_parity(&data(name), compare(&data(name)));
        // ln 100 in bfloat16 has three digits.
        assert!((clip.logit_scale().unwrap() - 100.0).abs() < 3.0);
    }
}

/// `tools/reference/clip_golden.py --real $DECAP_GOLDEN/clip`
#[test]
fn every_stage_of_real_shapes_equals_its_library() {
    let Some(folder) = crate::skipped::golden("clip") else {
        return;
    };
    for entry in fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        print_parity(&folder, compare(&folder));
    }
}

#[test]
fn what_follows_the_end_of_a_text_changes_nothing() {
    let expected = Expected::read(&data("hugging_face"));
    let clip = open(&data("hugging_face")).unwrap();
    let tower = clip.text_tower().unwrap();
    let trimmed = expected.ids();
    let context = clip.config().text.context_length;
    let padded: Vec<Vec<u32>> = trimmed
        .iter()
        .map(|ids| {
            let mut ids = ids.clone();
            ids.resize(context, 0);
            ids
        })
        .collect();
    assert!(trimmed.iter().any(|ids| ids.len() < context));
    let (trimmed, padded) = (
        tower.forward_ids(&trimmed).unwrap(),
        tower.forward_ids(&padded).unwrap(),
    );
    for (a, b) in trimmed.iter().zip(&padded) {
        assert!((a - b).abs() <= 1e-6, "{a} and {b}");
    }
}

#[test]
fn a_batch_is_the_sum_of_its_parts() {
    let expected = Expected::read(&data("hugging_face"));
    let tower = open(&data("hugging_face")).unwrap().image_tower().unwrap();
    let (pixels, batch) = expected.pixels();
    let together = tower.forward(&pixels, batch).unwrap();
    let mut apart = Vec::new();
    for photo in pixels.chunks_exact(pixels.len() / batch) {
        apart.extend(tower.forward(photo, 1).unwrap());
    }
    for (a, b) in together.iter().zip(&apart) {
        assert!((a - b).abs() <= 1e-6, "{a} and {b}");
    }
    assert!(tower.forward(&pixels, batch + 1).is_err());
}

#[test]
fn a_folder_opens_as_an_encoder() {
    let encoder = crate::encoder::open(&data("hugging_face").to_string_lossy(), &exact()).unwrap();
    assert_eq!((encoder.name(), encoder.width()), ("hugging_face", 24));
    let embeddings = encoder.encode_texts(&["ab", "a b", "ab"]).unwrap();
    assert_eq!(embeddings.get(0), embeddings.get(2));
    assert!(
        embeddings
            .get(0)
            .unwrap()
            .cosine(&embeddings.get(1).unwrap())
            < 0.9999
    );
    let again = crate::encoder::open(&data("hugging_face").to_string_lossy(), &exact()).unwrap();
    assert_eq!(encoder.fingerprint(), again.fingerprint());
    let other = Clip::open(&data("open_clip")).unwrap();
    assert_ne!(encoder.fingerprint(), other.fingerprint().unwrap().as_str());
    assert_eq!(encoder.tokenizer().unwrap().vocabulary_size(), 514);
}

/// Models name their encoder by its fingerprint: the names that the first format gave, and those of today,
/// stay known. The first were written down from the program that made them.
#[test]
fn fingerprints_of_models_that_exist_stay_known() {
    let cases = [
        (
            "hugging_face",
            "4fbe7b6aae9542a7af75f2fbbdb3901c9e20418ef6f74419bc6a5691336c7573",
            "e28156efd972a77fc4ec7c2c18f77059af4b63578eb0b49a8ccabc012640716c",
        ),
        (
            "hugging_face_bin",
            "6634384b22f551af9517eabd28e412a90b9b77213dc0a571a00e228ac4638c1b",
            "3190f957d1c470abea89954af3d603358a8749697e84deb9fc929de5b9a717bc",
        ),
        (
            "open_clip",
            "18248312ec5e64a481b34ca78b416120c86731df7a534125afa31971725a27de",
            "ffadbceb39e8f0354ecc007cf28385e043896de12c5e095226a7a9a21a8ff216",
        ),
    ];
    for (folder, former, current) in cases {
        let fingerprint = Clip::open(&data(folder)).unwrap().fingerprint().unwrap();
        assert_eq!(fingerprint.as_str(), current, "{folder}");
        assert!(fingerprint.is(former), "{folder}");
    }
}

#[test]
fn too_long_texts_are_cut_or_refused() {
    use crate::encoder::TooLong;
    let clip = open(&data("hugging_face")).unwrap();
    let tower = clip.text_tower().unwrap();
    let long = "a ".repeat(20);
    assert!(tower.forward(&[&long]).is_ok());
    let error = tower
        .with_too_long(TooLong::Refuse)
        .forward(&[&long])
        .unwrap_err();
    assert!(
        error.to_string().contains("at most 12 tokens, got 22"),
        "{error}"
    );
    let tower = clip.text_tower().unwrap();
    for ids in [vec![], vec![600], vec![1; 13]] {
        assert!(tower.forward_ids(&[ids]).is_err());
    }
}

#[test]
fn descriptions_tell_the_facts() {
    let description = open(&data("hugging_face")).unwrap().description().unwrap();
    let checkpoint = Checkpoint::open(&data("hugging_face").join("model.safetensors")).unwrap();
    let sizes = checkpoint
        .names()
        .map(|name| checkpoint.shape(name).unwrap().iter().product::<usize>());
    assert_eq!(description.parameters, sizes.sum::<usize>());
    assert_eq!((description.width, description.image_tower.heads), (24, 2));
    let shown = description.to_string();
    assert!(
        shown.contains("2 layers of 32 (2 heads, hidden 64, quick_gelu)")
            && shown.contains(&description.fingerprint),
        "{shown}"
    );
    let openai = open(&data("openai")).unwrap().description().unwrap();
    assert_eq!(
        (openai.form.as_str(), openai.weights_form.as_str()),
        ("OpenAI", "TorchScript")
    );
}

#[test]
fn preprocessing_follows_each_form() {
    let hugging_face = open(&data("hugging_face")).unwrap();
    assert_eq!(hugging_face.preprocess().size, 18);
    assert_eq!(
        hugging_face.preprocess().crop_rounding,
        crate::encoder::CropRounding::Down
    );
    let open_clip = open(&data("open_clip")).unwrap();
    assert_eq!(open_clip.preprocess().std, [0.25, 0.5, 0.5]);
    let openai = open(&data("openai")).unwrap();
    assert_eq!(
        openai.preprocess().crop_rounding,
        crate::encoder::CropRounding::HalfToEven
    );
}

/// A copy of a golden folder to be broken.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

#[test]
fn configurations_that_lie_are_refused() {
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "hugging_face",
            "\"model_type\": \"clip\"",
            "\"model_type\": \"siglip\"",
            "use an ONNX export",
        ),
        (
            "hugging_face",
            "\"hidden_size\": 32",
            "\"hidden_size\": 64",
            "expected shape",
        ),
        (
            "hugging_face",
            "\"hidden_size\": 32",
            "\"hidden_size\": -1",
            "expected a whole number",
        ),
        (
            "hugging_face",
            "\"hidden_size\": 32",
            "\"hidden_size\": 4000000000",
            "expected a width",
        ),
        (
            "hugging_face",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 1",
            "`text_model.encoder.layers.1.",
        ),
        (
            "hugging_face",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 3",
            "layers.2.layer_norm1.weight` is missing",
        ),
        (
            "hugging_face",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 9999999",
            "1 to 256 layers",
        ),
        (
            "hugging_face",
            "\"num_attention_heads\": 2",
            "\"num_attention_heads\": 3",
            "a width that 3 heads share",
        ),
        (
            "hugging_face",
            "\"num_attention_heads\": 2",
            "\"num_attention_heads\": 0",
            "a width that 0 heads share",
        ),
        (
            "hugging_face",
            "\"projection_dim\": 24",
            "\"projection_dim\": 25",
            "expected shape [25, 32], got [24, 32]",
        ),
        (
            "hugging_face",
            "\"patch_size\": 8",
            "\"patch_size\": 0",
            "patch size of 1",
        ),
        (
            "hugging_face",
            "\"image_size\": 18",
            "\"image_size\": 40",
            "expected shape [26, 32], got [5, 32]",
        ),
        (
            "hugging_face",
            "\"hidden_act\": \"quick_gelu\"",
            "\"hidden_act\": \"silu\"",
            "got \"silu\"",
        ),
        ("hugging_face", "{", "[", "not valid"),
        (
            "open_clip",
            "\"vision_cfg\": {",
            "\"vision_cfg\": {\"timm_model_name\": \"vit\",",
            "use an ONNX export",
        ),
        (
            "open_clip",
            "\"vision_cfg\": {",
            "\"vision_cfg\": {\"ls_init_value\": 0.1,",
            "`ls_init_value`",
        ),
        (
            "open_clip",
            "\"text_cfg\": {",
            "\"text_cfg\": {\"hf_model_name\": \"roberta\",",
            "`hf_model_name`",
        ),
        (
            "open_clip",
            "\"layers\": 1,\n   \"width\": 32,\n   \"head",
            "\"layers\": [3, 4, 6, 3],\n   \"width\": 32,\n   \"head",
            "got a ResNet; use an ONNX export",
        ),
        (
            "open_clip",
            "\"resize_mode\": \"shortest\"",
            "\"resize_mode\": \"spiral\"",
            "`resize_mode`",
        ),
        ("open_clip", "0.25", "0.0", "std"),
    ];
    for (name, from, to, message) in cases {
        let folder = copy(name);
        let is_open_clip = *name == "open_clip";
        let file = if is_open_clip {
            "open_clip_config.json"
        } else {
            "config.json"
        };
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} lacks {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let opened = Clip::open(folder.path());
        let error = opened
            .and_then(|clip| Ok((clip.image_tower()?, clip.text_tower()?)))
            .expect_err(to);
        // What ONNX is the way for is no broken file.
        let names_onnx = error.to_string().contains("use an ONNX export");
        assert_eq!(error.kind() == "unsupported", names_onnx, "{to}: {error}");
        assert!(error.to_string().contains(message), "{to}: {error}");
    }
}

/// Writes tensors as a safetensors file.
fn write_tensors(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (
            name.clone(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

#[test]
fn wrong_tensors_are_named() {
    type Tensor = (String, Vec<usize>, Vec<f32>);
    let checkpoint = Checkpoint::open(&data("hugging_face").join("model.safetensors")).unwrap();
    let tensors: Vec<Tensor> = checkpoint
        .names()
        .map(|name| {
            let shape = checkpoint.shape(name).unwrap();
            (
                name.to_owned(),
                shape.to_vec(),
                checkpoint.f32(name, shape).unwrap().into_owned(),
            )
        })
        .collect();
    let find = |tensors: &mut Vec<Tensor>, name: &str| {
        tensors.iter().position(|tensor| tensor.0 == name).unwrap()
    };
    type Break<'a> = Box<dyn Fn(&mut Vec<Tensor>) + 'a>;
    let cases: Vec<(Break<'_>, &str)> = vec![
        (
            Box::new(|tensors| {
                let index = find(tensors, "text_model.final_layer_norm.bias");
                tensors.remove(index);
            }),
            "tensor `text_model.final_layer_norm.bias` is missing",
        ),
        (
            Box::new(|tensors| tensors.push(("lora.up".to_owned(), vec![1], vec![0.0]))),
            "got `lora.up` too",
        ),
        (
            Box::new(|tensors| {
                let index = find(tensors, "visual_projection.weight");
                tensors[index].1.reverse();
            }),
            "tensor `visual_projection.weight`: expected shape [24, 32], got [32, 24]",
        ),
        (
            Box::new(|tensors| {
                let index = find(tensors, "text_projection.weight");
                tensors[index].2[7] = f32::NAN;
            }),
            "tensor `text_projection.weight`: value 7 is NaN",
        ),
    ];
    for (damage, message) in cases {
        let folder = copy("hugging_face");
        let mut broken = tensors.clone();
        damage(&mut broken);
        write_tensors(&folder.path().join("model.safetensors"), &broken);
        let opened = Clip::open(folder.path());
        let error = opened
            .and_then(|clip| Ok((clip.image_tower()?, clip.text_tower()?)))
            .expect_err(message)
            .to_string();
        assert!(
            error.contains(message) && error.contains("model.safetensors"),
            "{error}"
        );
    }
}

#[test]
fn other_checkpoints_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let one = |name: &str, shape: &[usize]| {
        let values = vec![0.0; shape.iter().product()];
        vec![(name.to_owned(), shape.to_vec(), values)]
    };
    let cases = [
        (
            one("bert.embeddings.weight", &[2, 2]),
            "unsupported",
            "expected the tensors of a CLIP",
        ),
        (
            one("module.clip_project.model.0.weight", &[2, 2]),
            "unsupported",
            "got a DeCap decoder",
        ),
        (
            [
                one("visual.conv1.weight", &[4, 3, 3, 3]),
                one("visual.layer1.0.conv1.weight", &[1]),
            ]
            .concat(),
            "unsupported",
            "got a ResNet; use an ONNX export",
        ),
        (
            one("visual.conv1.weight", &[1280, 3, 1, 1]),
            "unsupported",
            "need their open_clip_config.json",
        ),
        (
            one("visual.conv1.weight", &[64, 3, 8, 8]),
            "model",
            "`visual.positional_embedding` is missing",
        ),
        (
            one("visual.conv1.weight", &[64]),
            "model",
            "expected 4 axes",
        ),
    ];
    for (tensors, kind, message) in cases {
        write_tensors(&path, &tensors);
        let error = Clip::open(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(message),
            "{error} lacks {message:?}"
        );
    }
    assert_eq!(
        Clip::open(&folder.path().join("none")).unwrap_err().kind(),
        "not_found"
    );
    assert!(
        Clip::open(folder.path())
            .unwrap_err()
            .to_string()
            .contains("model.safetensors")
    );
}
