//! What tools/reference/decoder_golden.py wrote, for the tests of the decoder and of training.
//! Each of them uses a part.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Bytes, Decoder, DecoderConfig, DecoderWeights, Tensors, Vocabulary};

/// One golden file.
pub(crate) struct Golden {
    pub tensors: Tensors,
    pub facts: Value,
    pub config: DecoderConfig,
    pub weights: DecoderWeights,
}

impl Golden {
    pub fn tiny() -> Self {
        Self::open(&data_folder().join("decoder_tiny.safetensors"))
    }

    /// The golden file of the reference's size, where DECAP_GOLDEN names its folder.
    #[track_caller]
    pub fn full() -> Option<Self> {
        crate::skipped::golden("decoder_full.safetensors").map(|path| Self::open(&path))
    }

    fn open(path: &Path) -> Self {
        let tensors = Tensors::read(path, Bytes::map(path).unwrap()).unwrap();
        let facts: Value = serde_json::from_str(&tensors.metadata()["golden"]).unwrap();
        let extent = |name: &str| facts["config"][name].as_u64().unwrap() as usize;
        let config = DecoderConfig {
            vocabulary_size: extent("vocabulary_size"),
            prefix_width: extent("prefix_width"),
            width: extent("width"),
            num_layers: extent("num_layers"),
            num_heads: extent("num_heads"),
            num_positions: extent("num_positions"),
            start_token: Some(facts["start"].as_u64().unwrap() as u32),
            end_token: facts["end"].as_u64().unwrap() as u32,
            ..DecoderConfig::default()
        };
        let mut weights = DecoderWeights::zeros(&config);
        for tensor in weights.layout().tensors.clone() {
            let values = tensors
                .f32(&format!("weights.{}", tensor.name), &tensor.shape)
                .unwrap();
            weights.values_mut()[tensor.range].copy_from_slice(&values);
        }
        Self {
            tensors,
            facts,
            config,
            weights,
        }
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.tensors.get(name).unwrap().to_f32().unwrap()
    }

    pub fn i32(&self, name: &str) -> Vec<i32> {
        let bytes = self.tensors.get(name).unwrap().bytes;
        bytes
            .chunks_exact(4)
            .map(|four| i32::from_le_bytes(four.try_into().unwrap()))
            .collect()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.tensors.get(name).unwrap().shape.to_vec()
    }

    pub fn decoder(&self) -> Decoder {
        Decoder::new(
            &self.weights,
            Vocabulary::identity(self.config.vocabulary_size),
        )
        .unwrap()
    }

    /// The prefixes and tokens of the first batch.
    pub fn first_batch(&self) -> (Vec<f32>, Vec<u32>) {
        let shape = self.shape("tokens");
        let prefixes = self.f32("prefixes")[..shape[1] * self.config.prefix_width].to_vec();
        let tokens = self.i32("tokens")[..shape[1] * shape[2]]
            .iter()
            .map(|&id| id as u32)
            .collect();
        (prefixes, tokens)
    }
}

fn data_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap/tests/data")
}
