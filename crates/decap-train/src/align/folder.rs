//! The finished encoder as a folder of its own.

use std::fs;
use std::path::Path;

use super::AlignOptions;
use super::features::Described;
use super::fit::Fitted;
use decap::encoder::{
    ENCODER_FILE, EncoderDescription, ImageTowerDescription, TextTowerDescription,
};
use decap::output::{check_folder_is_own, write_atomically, write_folder_atomically};
use decap::weights::Folder;
use decap::weights::{NewTensor, write_safetensors};
use decap::{Error, Result};

const IMAGE_FILE: &str = "image_tower.onnx";
const TEXT_FILE: &str = "text_tower.onnx";
const HEADS_FILE: &str = "heads.safetensors";
const TOKENIZER_FILE: &str = "tokenizer.json";

/// Refuses a folder `out` that holds anything but an encoder of [`write_encoder`].
///
/// # Errors
/// As [`check_folder_is_own`].
pub(super) fn check_out(out: &Path) -> Result<()> {
    let images = image_files(MOST_TOWERS);
    check_folder_is_own(out, &own_files(&images))
}

/// Far more image towers than anybody puts side by side.
const MOST_TOWERS: usize = 64;

fn own_files(images: &[String]) -> Vec<&str> {
    let others = [
        ENCODER_FILE,
        IMAGE_FILE,
        TEXT_FILE,
        TOKENIZER_FILE,
        HEADS_FILE,
    ];
    let images = images.iter().map(String::as_str);
    others.into_iter().chain(images).collect()
}

/// What `count` image towers are called in the folder.
fn image_files(count: usize) -> Vec<String> {
    match count {
        1 => vec![IMAGE_FILE.to_owned()],
        _ => (1..=count)
            .map(|number| format!("image_tower_{number}.onnx"))
            .collect(),
    }
}

/// Copies the towers beside their heads; returns the encoder's fingerprint.
pub(super) fn write_encoder(
    out: &Path,
    image_towers: &[Described<ImageTowerDescription>],
    text_tower: &Described<TextTowerDescription>,
    fitted: &Fitted,
    options: &AlignOptions,
) -> Result<String> {
    let mut fingerprint = String::new();
    let known_files = image_files(MOST_TOWERS);
    write_folder_atomically(out, &own_files(&known_files), |folder| {
        let mut images = Vec::new();
        for (tower, file) in image_towers.iter().zip(image_files(image_towers.len())) {
            copy(&tower.folder, &tower.description.file, &folder.join(&file))?;
            images.push(ImageTowerDescription {
                file,
                ..tower.description.clone()
            });
        }
        let Described {
            folder: text_folder,
            description,
        } = text_tower;
        let text = TextTowerDescription {
            file: TEXT_FILE.into(),
            tokenizer: TOKENIZER_FILE.into(),
            ..description.clone()
        };
        copy(text_folder, &description.file, &folder.join(&text.file))?;
        copy(
            text_folder,
            &description.tokenizer,
            &folder.join(&text.tokenizer),
        )?;
        write_heads(&folder.join(HEADS_FILE), fitted)?;

        let mut encoder = EncoderDescription::new(&options.name, images, text);
        encoder.image_views = options.image_views;
        encoder.tau = options.tau;
        encoder.heads = Some(HEADS_FILE.into());
        encoder.seal(&Folder::disk(folder))?;
        fingerprint.clone_from(&encoder.fingerprint);
        let path = folder.join(ENCODER_FILE);
        let json = serde_json::to_string_pretty(&encoder)
            .map_err(|error| Error::model(&path, format!("cannot be written: {error}")))?;
        write_atomically(&path, |file| writeln!(file, "{json}"))
    })?;
    Ok(fingerprint)
}

fn copy(folder: &Folder, name: &str, to: &Path) -> Result<()> {
    let from = folder.path(name);
    fs::copy(&from, to).map_err(|source| Error::io(&from, source))?;
    Ok(())
}

fn write_heads(path: &Path, fitted: &Fitted) -> Result<()> {
    let tensors: Vec<NewTensor> = [("image", &fitted.image), ("text", &fitted.text)]
        .iter()
        .flat_map(|(name, head)| head.tensors(name))
        .map(|(name, shape, values)| NewTensor::f32(name, &shape, values))
        .collect();
    write_safetensors(path, &tensors, None)
}
