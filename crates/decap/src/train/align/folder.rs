//! The finished encoder as a folder of its own.

use std::fs;
use std::path::Path;

use super::AlignOptions;
use super::features::Described;
use super::fit::Fitted;
use crate::decoder::{StoredTensor, write_safetensors};
use crate::encoder::{
    ENCODER_FILE, EncoderDescription, ImageTowerDescription, TextTowerDescription,
};
use crate::error::{Error, Result};
use crate::weights::{Folder, write_atomically, write_folder_atomically};

const HEADS_FILE: &str = "heads.safetensors";
const TOKENIZER_FILE: &str = "tokenizer.json";

/// Copies the towers beside their heads; returns the encoder's fingerprint.
pub(super) fn write_encoder(
    out: &Path,
    image_towers: &[Described<ImageTowerDescription>],
    text_tower: &Described<TextTowerDescription>,
    fitted: &Fitted,
    options: &AlignOptions,
) -> Result<String> {
    let mut fingerprint = String::new();
    write_folder_atomically(out, |folder| {
        let mut images = Vec::new();
        for (index, tower) in image_towers.iter().enumerate() {
            let file = match image_towers.len() {
                1 => "image_tower.onnx".to_owned(),
                _ => format!("image_tower_{}.onnx", index + 1),
            };
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
            file: "text_tower.onnx".into(),
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
    let tensors: Vec<StoredTensor> = [("image", &fitted.image), ("text", &fitted.text)]
        .iter()
        .flat_map(|(name, head)| head.tensors(name))
        .map(|(name, shape, values)| StoredTensor::f32(name, &shape, values))
        .collect();
    write_safetensors(path, &tensors, None)
}
