//! Times candle on the works of `decap bench`: one JSON object on standard output.
//!
//! usage: candle-peer --work NAME [--seconds S]
//!
//! f32 on the CPU, two threads (`RAYON_NUM_THREADS`). The towers are candle-transformers' CLIP; the decoder is the
//! reference's shape, written with candle-nn and a cache of keys and values.

use std::error::Error;
use std::time::Instant;

use candle_core::{D, DType, Device, IndexOp, Module, Result, Tensor};
use candle_nn::{
    AdamW, Embedding, LayerNorm, Linear, Optimizer, ParamsAdamW, VarBuilder, VarMap, ops,
};
use candle_transformers::models::clip::text_model::{ClipTextConfig, ClipTextTransformer};
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};

const VOCABULARY: usize = 50_257;
const EMBEDDING: usize = 512;
const WIDTH: usize = 768;
const HEADS: usize = 4;
const CPU: Device = Device::Cpu;

type Cache = Option<(Tensor, Tensor)>;

struct Block {
    norms: [LayerNorm; 2],
    query_key_value: Linear,
    out: Linear,
    hidden: Linear,
    hidden_out: Linear,
}

impl Block {
    fn new(vs: VarBuilder<'_>) -> Result<Self> {
        let linear = |inputs, outputs, name| candle_nn::linear(inputs, outputs, vs.pp(name));
        Ok(Self {
            norms: [
                candle_nn::layer_norm(WIDTH, 1e-5, vs.pp("norm_1"))?,
                candle_nn::layer_norm(WIDTH, 1e-5, vs.pp("norm_2"))?,
            ],
            query_key_value: linear(WIDTH, 3 * WIDTH, "qkv")?,
            out: linear(WIDTH, WIDTH, "out")?,
            hidden: linear(WIDTH, 4 * WIDTH, "hidden")?,
            hidden_out: linear(4 * WIDTH, WIDTH, "hidden_out")?,
        })
    }

    fn forward(&self, x: &Tensor, cache: Option<&mut Cache>) -> Result<Tensor> {
        let (batch, tokens, _) = x.dims3()?;
        let all = self.query_key_value.forward(&self.norms[0].forward(x)?)?;
        let part = |index: usize| -> Result<Tensor> {
            let part = all.narrow(D::Minus1, index * WIDTH, WIDTH)?;
            part.reshape((batch, tokens, HEADS, WIDTH / HEADS))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (query, mut key, mut value) = (part(0)?, part(1)?, part(2)?);
        if let Some(cache) = cache {
            if let Some((keys, values)) = cache {
                key = Tensor::cat(&[&*keys, &key], 2)?;
                value = Tensor::cat(&[&*values, &value], 2)?;
            }
            *cache = Some((key.clone(), value.clone()));
        }
        let scale = 1.0 / ((WIDTH / HEADS) as f64).sqrt();
        let mut scores = (query.matmul(&key.transpose(2, 3)?)? * scale)?;
        if tokens > 1 {
            let masked = (0..tokens).flat_map(|row| {
                (0..tokens).map(move |column| if column > row { f32::NEG_INFINITY } else { 0.0 })
            });
            let mask = Tensor::from_iter(masked, &CPU)?.reshape((tokens, tokens))?;
            scores = scores.broadcast_add(&mask)?;
        }
        let attended = ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
        let attended = attended.transpose(1, 2)?.reshape((batch, tokens, WIDTH))?;
        let x = (x + self.out.forward(&attended)?)?;
        let hidden = self.hidden.forward(&self.norms[1].forward(&x)?)?.gelu()?;
        x + self.hidden_out.forward(&hidden)?
    }
}

/// The reference's decoder, output layer tied.
struct Decoder {
    prefix: Linear,
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    last: LayerNorm,
}

impl Decoder {
    fn new(vs: VarBuilder<'_>) -> Result<Self> {
        let blocks = (0..4).map(|layer| Block::new(vs.pp(format!("blocks.{layer}"))));
        Ok(Self {
            prefix: candle_nn::linear(EMBEDDING, WIDTH, vs.pp("prefix"))?,
            tokens: candle_nn::embedding(VOCABULARY, WIDTH, vs.pp("tokens"))?,
            positions: candle_nn::embedding(1024, WIDTH, vs.pp("positions"))?,
            blocks: blocks.collect::<Result<_>>()?,
            last: candle_nn::layer_norm(WIDTH, 1e-5, vs.pp("last"))?,
        })
    }

    /// Logits of each row of `read`, `[batch, tokens, width]`, which begins at position `first`.
    fn logits(&self, read: &Tensor, first: usize, caches: Option<&mut [Cache]>) -> Result<Tensor> {
        let (batch, tokens, _) = read.dims3()?;
        let places = Tensor::arange(first as u32, (first + tokens) as u32, &CPU)?;
        let mut x = read.broadcast_add(&self.positions.forward(&places)?)?;
        match caches {
            Some(caches) => {
                for (block, cache) in self.blocks.iter().zip(caches) {
                    x = block.forward(&x, Some(cache))?;
                }
            }
            None => {
                for block in &self.blocks {
                    x = block.forward(&x, None)?;
                }
            }
        }
        let x = self.last.forward(&x)?.reshape((batch * tokens, WIDTH))?;
        x.matmul(&self.tokens.embeddings().t()?)
    }

    fn generate(&self, prefixes: &Tensor, tokens: usize) -> Result<()> {
        let mut caches = vec![None; self.blocks.len()];
        let mut read = self.prefix.forward(prefixes)?.unsqueeze(1)?;
        for place in 0..tokens {
            let chosen = self
                .logits(&read, place, Some(&mut caches))?
                .argmax(D::Minus1)?;
            read = self.tokens.forward(&chosen)?.unsqueeze(1)?;
        }
        Ok(())
    }
}

fn unit(rows: usize) -> Result<Tensor> {
    let values = Tensor::randn(0.0f32, 1.0, (rows, EMBEDDING), &CPU)?;
    values.broadcast_div(&values.sqr()?.sum_keepdim(1)?.sqrt()?)
}

type Run = Box<dyn FnMut() -> Result<()>>;

fn number(text: &str) -> usize {
    let scaled = [("k", 1_000), ("m", 1_000_000)];
    let found = scaled
        .iter()
        .find_map(|(unit, scale)| Some(text.strip_suffix(unit)?.parse::<usize>().ok()? * scale));
    found.unwrap_or_else(|| text.parse().unwrap_or(1))
}

fn prepare(work: &str) -> std::result::Result<Run, Box<dyn Error>> {
    let variables = VarMap::new();
    let vs = VarBuilder::from_varmap(&variables, DType::F32, &CPU);
    let random = |len: usize| {
        Tensor::rand(1.0f32, VOCABULARY as f32 - 1000.0, len, &CPU)?.to_dtype(DType::U32)
    };
    if let Some(batch) = work.strip_prefix("image_tower_b") {
        let tower = ClipVisionTransformer::new(vs, &ClipVisionConfig::vit_base_patch32())?;
        let photos = Tensor::randn(0.0f32, 1.0, (number(batch), 3, 224, 224), &CPU)?;
        return Ok(Box::new(move || tower.forward(&photos).map(drop)));
    }
    if let Some((texts, tokens)) = work
        .strip_prefix("text_tower_")
        .and_then(|size| size.split_once('x'))
    {
        let tower = ClipTextTransformer::new(vs, &ClipTextConfig::vit_base_patch32())?;
        let ids =
            random(number(texts) * number(tokens))?.reshape((number(texts), number(tokens)))?;
        let ids = ids.clamp(0u32, 49_000u32)?;
        return Ok(Box::new(move || tower.forward(&ids).map(drop)));
    }
    if let Some(tokens) = work.strip_prefix("decode_") {
        let (decoder, tokens, prefix) = (Decoder::new(vs)?, number(tokens), unit(1)?);
        return Ok(Box::new(move || decoder.generate(&prefix, tokens)));
    }
    if let Some((rows, queries)) = work
        .strip_prefix("project_")
        .and_then(|size| size.split_once("_q"))
    {
        let (rows, queries) = (unit(number(rows))?, unit(number(queries))?);
        return Ok(Box::new(move || {
            let weights = ops::softmax_last_dim(&(queries.matmul(&rows.t()?)? * 100.0)?)?;
            weights.matmul(&rows).map(drop)
        }));
    }
    if let Some((captions, tokens)) = work
        .strip_prefix("train_step_")
        .and_then(|size| size.split_once('x'))
    {
        let (captions, tokens) = (number(captions), number(tokens));
        let decoder = Decoder::new(vs)?;
        let settings = ParamsAdamW {
            lr: 1e-5,
            eps: 1e-6,
            weight_decay: 0.0,
            ..ParamsAdamW::default()
        };
        let mut optimizer = AdamW::new(variables.all_vars(), settings)?;
        let (prefixes, ids) = (
            unit(captions)?,
            random(captions * tokens)?.reshape((captions, tokens))?,
        );
        return Ok(Box::new(move || {
            let prefix = decoder.prefix.forward(&prefixes)?.unsqueeze(1)?;
            let read = Tensor::cat(
                &[
                    prefix,
                    decoder
                        .tokens
                        .forward(&ids.i((.., ..tokens - 1))?.contiguous()?)?,
                ],
                1,
            )?;
            let logits = decoder.logits(&read, 0, None)?;
            optimizer.backward_step(&candle_nn::loss::cross_entropy(
                &logits,
                &ids.flatten_all()?,
            )?)
        }));
    }
    Err(format!("no such work: {work}").into())
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        arguments
            .iter()
            .skip_while(|argument| *argument != name)
            .nth(1)
    };
    let work = after("--work").ok_or("usage: candle-peer --work NAME [--seconds S]")?;
    let seconds: f64 = after("--seconds").map_or(Ok(3.0), |seconds| seconds.parse())?;
    let mut run = prepare(work)?;
    (0..2).try_for_each(|_| run())?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || began.elapsed().as_secs_f64() < seconds {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "work": work,
        "ms_median": times[times.len() / 2],
        "ms_min": times[0],
        "runs": times.len(),
    });
    println!("{line}");
    Ok(())
}
