//! One ONNX network: loading it, naming its inputs and outputs, running it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use parser_guard::guarded;

use rten::{Dimension, Model, NodeId, Value, ValueOrView};
use serde::{Deserialize, Serialize};

use super::wire;
use crate::error::{Error, Result};
use crate::weights::Folder;

/// How the vectors of many tokens or patches become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean, padding left out.
    #[default]
    Mean,
    /// The first one: the class token of BERT and ViT.
    Cls,
}

/// Most values of an input: it is made before the network sees it, in the size that the file asks for.
const MOST_INPUT_VALUES: usize = 1 << 26;

/// A loaded network and the file that it came from.
#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    model: Model,
}

/// A float tensor that a network returned, of two to four axes.
pub(super) struct Output {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Session {
    /// Loads the ONNX file `name` of `folder`, with the external data beside it where it has some.
    pub(super) fn open(folder: &Folder, name: &str) -> Result<Self> {
        let path = folder.path(name);
        let load = || -> Result<_> {
            match folder {
                Folder::Disk(_) => {
                    // Told apart here, because the engine knows only that it could not load.
                    let bytes = folder.bytes(name)?;
                    wire::check(&bytes).map_err(|message| Error::model(&path, message))?;
                    Ok(Model::load_file(&path))
                }
                Folder::Compiled { .. } => {
                    let bytes = folder.bytes(name)?;
                    Ok(match bytes.as_static() {
                        Some(bytes) => Model::load_static_slice(bytes),
                        None => Model::load(bytes.to_vec()),
                    })
                }
            }
        };
        // The engine's own checks are many, and yet it was not written for hostile files.
        let loaded = guarded("ONNX", load, |message| Error::model(&path, message))?;
        let model = loaded.map_err(|error| {
            Error::model(&path, format!("not a network that can be loaded: {error}"))
        })?;
        Ok(Self { path, model })
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::model(&self.path, message)
    }

    /// How many weights the network has.
    pub(super) fn parameters(&self) -> usize {
        self.model.total_params()
    }

    /// The declared inputs: node and name.
    pub(super) fn inputs(&self) -> Vec<(NodeId, String)> {
        self.named(self.model.input_ids())
    }

    fn named(&self, ids: &[NodeId]) -> Vec<(NodeId, String)> {
        let name = |id: NodeId| self.model.node_info(id).and_then(|node| node.name());
        ids.iter()
            .map(|&id| (id, name(id).unwrap_or_default().to_owned()))
            .collect()
    }

    /// The output called `name`, or the first of `usual` that there is, or the first output.
    pub(super) fn output(&self, name: Option<&str>, usual: &[&str]) -> Result<NodeId> {
        let outputs = self.named(self.model.output_ids());
        let find = |name: &str| outputs.iter().find(|(_, output)| output == name);
        let chosen = match name {
            Some(name) => find(name).ok_or_else(|| {
                let names: Vec<_> = outputs.iter().map(|(_, name)| name.as_str()).collect();
                self.error(format!(
                    "expected an output `{name}`, got {}",
                    names.join(", ")
                ))
            })?,
            None => usual
                .iter()
                .find_map(|name| find(name))
                .or(outputs.first())
                .ok_or_else(|| self.error("expected an output, got none"))?,
        };
        Ok(chosen.0)
    }

    /// The extent of each axis of `node` where it is fixed; `None` where the file does not say.
    pub(super) fn shape(&self, node: NodeId) -> Option<Vec<Option<usize>>> {
        let fixed = |dimension| match dimension {
            Dimension::Fixed(extent) => Some(extent),
            Dimension::Symbolic(_) => None,
        };
        let shape = self.model.node_info(node)?.shape()?;
        Some(shape.into_iter().map(fixed).collect())
    }

    /// Refuses a network whose run would take `batch` times `values` values, where these are too many.
    pub(super) fn check_input_size(&self, batch: usize, values: usize) -> Result<()> {
        match batch.checked_mul(values) {
            Some(whole) if whole <= MOST_INPUT_VALUES => Ok(()),
            _ => Err(self.error(format!(
                "expected an input of at most {MOST_INPUT_VALUES} values, got {batch} x {values}"
            ))),
        }
    }

    /// Runs the network.
    pub(super) fn run(
        &self,
        inputs: Vec<(NodeId, ValueOrView<'_>)>,
        outputs: &[NodeId],
    ) -> Result<Vec<Output>> {
        let run = || self.model.run(inputs, outputs, None);
        let values = catch_unwind(AssertUnwindSafe(run))
            .map_err(|_| self.error("the network cannot be run"))?
            .map_err(|error| self.error(format!("the network cannot be run: {error}")))?;
        values
            .into_iter()
            .map(|value| self.float_output(value))
            .collect()
    }

    fn float_output(&self, value: Value) -> Result<Output> {
        let Value::FloatTensor(tensor) = value else {
            return Err(self.error("expected an output of floats"));
        };
        let shape = rten_tensor::Layout::shape(&tensor).to_vec();
        if !(2..=4).contains(&shape.len()) || shape.contains(&0) {
            return Err(self.error(format!(
                "expected an output [batch, width], [batch, tokens, width] or \
                 [batch, channels, height, width], got {shape:?}"
            )));
        }
        Ok(Output {
            shape,
            values: tensor.into_data(),
        })
    }
}
