//! DeCap checkpoints of the reference implementation: read, and written back.
//!
//! dhg-wei/DeCap saves `model.state_dict()` with `torch.save`; forks (Patch-ioner among them) keep the
//! decoder and put a prefix before its names, or other models beside it.

use std::path::Path;

use super::layout::ParameterLayout;
use super::{DecoderConfig, DecoderWeights};
use decap_encoder::output::write_atomically;
use decap_encoder::weights::Checkpoint;
use decap_encoder::{Error, Result};
use torch_state_dict::NewTensor;

/// The tensor by which a DeCap checkpoint, and what stands before its names, is known.
const PREFIX_WEIGHT: &str = "clip_project.model.0.weight";

const TOKEN_EMBEDDING: &str = "decoder.transformer.wte.weight";
const POSITION_EMBEDDING: &str = "decoder.transformer.wpe.weight";
const TIED_OUTPUT: &str = "decoder.lm_head.weight";

/// What a checkpoint does not say about itself; the defaults are the reference's.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Attention heads: `n_head` of the reference's `decoder_config.pkl`.
    pub num_heads: usize,
    /// The id that the prefix predicts first: CLIP's start-of-text.
    pub start_token: Option<u32>,
    /// The id that ends a caption: CLIP's end-of-text.
    pub end_token: u32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        let DecoderConfig {
            num_heads,
            start_token,
            end_token,
            ..
        } = DecoderConfig::default();
        Self {
            num_heads,
            start_token,
            end_token,
        }
    }
}

impl DecoderWeights {
    /// Reads a DeCap checkpoint: `torch.save` of a state dict, or safetensors under its names.
    ///
    /// The shape follows from the tensors. Pickles are parsed, never executed. The masks that old
    /// versions of transformers kept as buffers are left out, and so are the tensors of other
    /// models in the same file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] where it is no such checkpoint, a tensor is missing or of
    /// another shape, or the output layer is not tied to the token embedding.
    pub fn import(path: &Path, options: &ImportOptions) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let prefix = checkpoint
            .names()
            .find_map(|name| name.strip_suffix(PREFIX_WEIGHT))
            .map(str::to_owned)
            .ok_or_else(|| {
                let message =
                    format!("expected a DeCap checkpoint, but `{PREFIX_WEIGHT}` is missing");
                Error::model(path, message)
            })?;
        let checkpoint = checkpoint.renamed(|name| name.strip_prefix(&prefix).map(str::to_owned));
        let config = shape_of(&checkpoint, options)?;
        config.validate(path)?;
        let layout = ParameterLayout::new(&config);
        // Every shape is checked before the buffer is made: a file cannot ask for more than it holds.
        for tensor in &layout.tensors {
            match checkpoint.shape(&tensor.name) {
                Some(shape) if shape == tensor.shape => {}
                Some(shape) => {
                    let message = format!(
                        "tensor `{}`: expected shape {:?}, got {shape:?}",
                        tensor.name, tensor.shape
                    );
                    return Err(Error::model(path, message));
                }
                None => {
                    return Err(Error::model(
                        path,
                        format!("tensor `{}` is missing", tensor.name),
                    ));
                }
            }
        }
        if checkpoint.contains("clip_project.model.2.weight") {
            let message = "expected one linear layer before the decoder, got several";
            return Err(Error::model(path, message));
        }
        let mut weights = Self::zeros(&config);
        for tensor in &layout.tensors {
            let values = checkpoint.f32(&tensor.name, &tensor.shape)?;
            weights.values[tensor.range.clone()].copy_from_slice(&values);
            checkpoint.release(&tensor.name);
        }
        if checkpoint.contains(TIED_OUTPUT) {
            let output = checkpoint.f32(TIED_OUTPUT, &[config.vocabulary_size, config.width])?;
            if *output != weights.values[layout.token_embedding.clone()] {
                let message = format!(
                    "tensor `{TIED_OUTPUT}`: expected a copy of the token embedding, got other values"
                );
                return Err(Error::model(path, message));
            }
        }
        Ok(weights)
    }

    /// Writes a checkpoint that the reference loads: `torch.save` of its state dict, f32, the
    /// output layer sharing the token embedding's storage. It appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Usage`] where the weights exceed 4 GiB.
    pub fn export_torch(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<NewTensor<'_>> = self
            .tensors()
            .map(|(name, shape, values)| NewTensor {
                name,
                shape,
                values,
            })
            .collect();
        if let Some(embedding) = tensors.iter().find(|tensor| tensor.name == TOKEN_EMBEDDING) {
            let tied = NewTensor {
                name: TIED_OUTPUT,
                ..*embedding
            };
            tensors.push(tied);
        }
        write_atomically(path, |file| torch_state_dict::write(file, &tensors))
    }
}

fn shape_of(checkpoint: &Checkpoint, options: &ImportOptions) -> Result<DecoderConfig> {
    let matrix = |name: &str| match checkpoint.shape(name) {
        Some(&[rows, columns]) => Ok((rows, columns)),
        Some(shape) => Err(Error::model(
            checkpoint.path(),
            format!("tensor `{name}`: expected 2 axes, got shape {shape:?}"),
        )),
        None => Err(Error::model(
            checkpoint.path(),
            format!("tensor `{name}` is missing"),
        )),
    };
    let (width, prefix_width) = matrix(PREFIX_WEIGHT)?;
    let (vocabulary_size, _) = matrix(TOKEN_EMBEDDING)?;
    let (num_positions, _) = matrix(POSITION_EMBEDDING)?;
    let num_layers = (0..)
        .take_while(|layer| {
            checkpoint.contains(&format!("decoder.transformer.h.{layer}.ln_1.weight"))
        })
        .count();
    Ok(DecoderConfig {
        vocabulary_size,
        prefix_width,
        width,
        num_layers,
        num_heads: options.num_heads,
        num_positions,
        start_token: options.start_token,
        end_token: options.end_token,
        ..DecoderConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::decoder::{Decoder, GenerateOptions, Vocabulary};
    use decap_encoder::weights::{Bytes, Tensors};

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data/torch")
            .join(name)
    }

    /// The tiny decoder's, which has 61 tokens.
    fn options() -> ImportOptions {
        ImportOptions {
            num_heads: 4,
            start_token: Some(59),
            end_token: 60,
        }
    }

    #[test]
    fn a_reference_checkpoint_is_read() {
        let weights = DecoderWeights::import(&data("decap.pt"), &options()).unwrap();
        let config = weights.config();
        assert_eq!(
            (config.vocabulary_size, config.width, config.num_layers),
            (61, 24, 2)
        );
        assert_eq!((config.prefix_width, config.num_positions), (16, 12));
        let checkpoint = Checkpoint::open(&data("decap.pt")).unwrap();
        assert!(checkpoint.contains("decoder.transformer.h.0.attn.masked_bias"));
        for (name, shape, values) in weights.tensors() {
            assert_eq!(
                checkpoint.f32(name, shape).unwrap().as_ref(),
                values,
                "{name}"
            );
        }
        let decoder = Decoder::new(&weights, Vocabulary::identity(61)).unwrap();
        let options = GenerateOptions {
            max_tokens: 11,
            ..GenerateOptions::default()
        };
        assert_eq!(decoder.generate(&[0.25; 16], &options).unwrap().len(), 1);
    }

    #[test]
    fn a_fork_with_other_models_beside_is_read() {
        let fork = DecoderWeights::import(&data("decap_fork.pt"), &options()).unwrap();
        let original = DecoderWeights::import(&data("decap.pt"), &options()).unwrap();
        assert_eq!(fork.config(), original.config());
        for (a, b) in fork.tensors().zip(original.tensors()) {
            assert_eq!(a.0, b.0);
            // The fork was saved in half precision.
            let close =
                a.2.iter()
                    .zip(b.2)
                    .all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(1.0));
            assert!(close, "{}", a.0);
        }
    }

    #[test]
    fn what_is_exported_is_imported_again() {
        let folder = tempfile::tempdir().unwrap();
        let weights = DecoderWeights::import(&data("decap.pt"), &options()).unwrap();
        let (pickled, safe) = (
            folder.path().join("a.pt"),
            folder.path().join("a.safetensors"),
        );
        weights.export_torch(&pickled).unwrap();
        weights
            .save(&safe, crate::decoder::WeightsDtype::F32)
            .unwrap();
        for path in [pickled, safe] {
            let again = DecoderWeights::import(&path, &options()).unwrap();
            assert_eq!(again.config(), weights.config());
            assert!(again.tensors().eq(weights.tensors()));
        }
    }

    #[test]
    fn other_checkpoints_are_refused() {
        let broken = |path: &Path, options: &ImportOptions| {
            DecoderWeights::import(path, options)
                .unwrap_err()
                .to_string()
        };
        let error = broken(
            &data("../../../../torch-state-dict/tests/data/zip.pt"),
            &options(),
        );
        assert!(
            error.contains("`clip_project.model.0.weight` is missing"),
            "{error}"
        );
        let error = broken(&data("decap.pt"), &ImportOptions::default());
        assert!(
            error.contains("expected an id below 61, got 49406"),
            "{error}"
        );
        let error = broken(
            &data("decap.pt"),
            &ImportOptions {
                num_heads: 5,
                ..options()
            },
        );
        assert!(error.contains("expected a divisor of width 24"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.pt");
        let weights = DecoderWeights::import(&data("decap.pt"), &options()).unwrap();
        let tensors = || {
            weights.tensors().map(|(name, shape, values)| NewTensor {
                name,
                shape,
                values,
            })
        };
        let missing: Vec<_> = tensors()
            .filter(|t| t.name != "decoder.transformer.ln_f.bias")
            .collect();
        write_atomically(&path, |file| torch_state_dict::write(file, &missing)).unwrap();
        assert!(broken(&path, &options()).contains("`decoder.transformer.ln_f.bias` is missing"));
        let other = vec![0.5; 61 * 24];
        let mut untied: Vec<_> = tensors().collect();
        untied.push(NewTensor {
            name: TIED_OUTPUT,
            shape: &[61, 24],
            values: &other,
        });
        write_atomically(&path, |file| torch_state_dict::write(file, &untied)).unwrap();
        assert!(broken(&path, &options()).contains("expected a copy of the token embedding"));
        let mut deep: Vec<_> = tensors().collect();
        deep.push(NewTensor {
            name: "clip_project.model.2.weight",
            shape: &[24],
            values: &other[..24],
        });
        write_atomically(&path, |file| torch_state_dict::write(file, &deep)).unwrap();
        assert!(broken(&path, &options()).contains("expected one linear layer"));
    }

    /// `tools/reference/torch_golden.py --decap $DECAP_GOLDEN SHARED_DATA`
    #[test]
    fn five_hundred_captions_equal_the_reference_token_for_token() {
        let Some(path) = crate::skipped::golden("decap_full.safetensors") else {
            return;
        };
        let golden = Tensors::read(&path, Bytes::map(&path).unwrap()).unwrap();
        let prefixes = golden.f32("prefixes", &[500, 512]).unwrap();
        let (tokens, _) = golden.get("tokens").unwrap().bytes.as_chunks::<8>();
        let tokens: Vec<i64> = tokens
            .iter()
            .map(|&token| i64::from_le_bytes(token))
            .collect();
        let weights =
            DecoderWeights::import(&path.with_extension("pt"), &ImportOptions::default()).unwrap();
        let vocabulary = Vocabulary::identity(weights.config().vocabulary_size);
        let decoder = Decoder::new(&weights, vocabulary).unwrap();
        let captions = decoder
            .generate(&prefixes, &GenerateOptions::default())
            .unwrap();
        let equal = captions
            .iter()
            .zip(tokens.chunks_exact(30))
            .filter(|(caption, row)| {
                let row: Vec<u32> = row
                    .iter()
                    .filter(|&&token| token >= 0)
                    .map(|&token| token as u32)
                    .collect();
                caption.token_ids == row
            });
        let equal = equal.count();
        println!("{equal} of {} captions are equal", captions.len());
        assert_eq!(equal, 500);
    }
}
