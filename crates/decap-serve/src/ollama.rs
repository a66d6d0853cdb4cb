//! What Ollama's clients speak: generate, chat, embed, and questions about models.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::{Answered, MODEL, Question, check_model};
use crate::api::texts::of_texts;
use crate::error::ApiError;
use crate::intake::{self, Arrived};
use crate::photo::Sent;
use crate::state::State;

/// The version of Ollama's API that is spoken; clients compare it with what they need.
const SPOKEN_VERSION: &str = "0.9.0";

/// What the name of a model ends with where no tag was given.
const TAG: &str = ":latest";

/// These paths, and what answers there.
pub fn routes() -> Vec<(&'static str, MethodRouter<Arc<State>>)> {
    vec![
        (Shape::Generate.path(), post(generate)),
        (Shape::Chat.path(), post(chat)),
        ("/api/embed", post(embed)),
        ("/api/tags", get(tags)),
        ("/api/ps", get(ps)),
        ("/api/show", post(show)),
        ("/api/version", get(version)),
    ]
}

#[derive(Deserialize)]
struct Generate {
    model: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    system: String,
    #[serde(default)]
    images: Option<Vec<String>>,
    #[serde(flatten)]
    common: Common,
}

#[derive(Deserialize)]
struct Chat {
    model: String,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(flatten)]
    common: Common,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    images: Option<Vec<String>>,
}

/// What both ways of asking have.
#[derive(Deserialize)]
struct Common {
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    format: Option<Value>,
    #[serde(default)]
    options: Option<Map<String, Value>>,
    /// decap's own options.
    #[serde(default)]
    decap: Map<String, Value>,
}

impl Common {
    fn question(&self, model: String, prompt: String, last: String) -> Question {
        let schema = match &self.format {
            Some(Value::String(name)) if name == "json" => Some(Value::Null),
            Some(schema @ Value::Object(_)) => Some(schema.clone()),
            _ => None,
        };
        // A negative number is Ollama's for no limit.
        let options = self.options.as_ref();
        let most = options.and_then(|it| it.get("num_predict")?.as_u64());
        Question {
            model,
            prompt,
            last,
            schema,
            max_tokens: most
                .filter(|&most| most > 0)
                .and_then(|it| it.try_into().ok()),
            wishes: self.decap.clone(),
        }
    }
}

/// Where the words go in an answer: `response`, or a message.
#[derive(Clone, Copy)]
enum Shape {
    Generate,
    Chat,
}

impl Shape {
    /// Where it answers.
    const fn path(self) -> &'static str {
        match self {
            Self::Generate => "/api/generate",
            Self::Chat => "/api/chat",
        }
    }

    fn part(self, model: &str, text: &str) -> Value {
        let mut part = json!({ "model": model, "created_at": now() });
        match self {
            Self::Generate => part["response"] = json!(text),
            Self::Chat => part["message"] = json!({ "role": "assistant", "content": text }),
        }
        part
    }
}

async fn generate(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (asked, arrived): (Generate, _) = intake::json(&state, request).await?;
    let prompt = format!("{}\n{}", asked.system, asked.prompt);
    let last = asked.prompt.clone();
    let photos = photos_of(asked.images.as_deref().unwrap_or_default())?;
    let is_load = photos.is_empty() && asked.prompt.is_empty();
    let asked = Asked {
        model: asked.model,
        common: asked.common,
        prompt,
        last,
        photos,
        is_load,
    };
    asked.answer(&state, arrived, Shape::Generate).await
}

async fn chat(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Response, ApiError> {
    let (asked, arrived): (Chat, _) = intake::json(&state, request).await?;
    let words = asked.messages.iter().filter_map(|it| it.content.as_deref());
    let prompt = words.collect::<Vec<_>>();
    let last = prompt.last().copied().unwrap_or_default().to_owned();
    let prompt = prompt.join("\n");
    let images = asked.messages.iter().filter_map(|it| it.images.as_deref());
    let photos = photos_of(images.rev().find(|it| !it.is_empty()).unwrap_or_default())?;
    let is_load = asked.messages.is_empty();
    let asked = Asked {
        model: asked.model,
        common: asked.common,
        prompt,
        last,
        photos,
        is_load,
    };
    asked.answer(&state, arrived, Shape::Chat).await
}

/// A question of either shape.
struct Asked {
    model: String,
    common: Common,
    prompt: String,
    /// The words of the last message that has some.
    last: String,
    photos: Vec<Sent>,
    /// Nothing is asked: the client wants the model to be ready.
    is_load: bool,
}

impl Asked {
    async fn answer(
        self,
        state: &Arc<State>,
        arrived: Arrived,
        shape: Shape,
    ) -> Result<Response, ApiError> {
        let started = Instant::now();
        let model = check_model(state, &self.model)?;
        if self.is_load {
            let mut part = shape.part(&self.model, "");
            part["done"] = json!(true);
            part["done_reason"] = json!("load");
            return Ok(Json(part).into_response());
        }
        let question = self.common.question(model, self.prompt, self.last);
        let path = shape.path();
        let text = match question.captions(state, self.photos, arrived, path).await? {
            Answered::Here(captions) => question.answer(&captions),
            Answered::PassedOn(answer) => return Ok(answer),
        };
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Words, for want of the client's own tokenizer.
        let count = |text: &str| text.split_whitespace().count();
        let facts = json!({
            "done": true,
            "done_reason": "stop",
            "total_duration": nanoseconds,
            "load_duration": 0,
            "prompt_eval_count": count(&question.prompt),
            "prompt_eval_duration": 0,
            "eval_count": count(&text),
            "eval_duration": nanoseconds,
        });
        let finished = |text: &str| {
            let mut part = shape.part(&self.model, text);
            if let (Value::Object(part), Value::Object(facts)) = (&mut part, facts.clone()) {
                part.extend(facts);
            }
            part
        };
        if self.common.stream == Some(false) {
            return Ok(Json(finished(&text)).into_response());
        }
        let mut first = shape.part(&self.model, &text);
        first["done"] = json!(false);
        let lines = format!("{first}\n{}\n", finished(""));
        Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
    }
}

fn photos_of(images: &[String]) -> Result<Vec<Sent>, ApiError> {
    let read =
        |(index, text): (usize, &String)| Sent::from_text(&format!("image {}", index + 1), text);
    images.iter().enumerate().map(read).collect()
}

#[derive(Deserialize)]
struct Embed {
    model: String,
    input: Value,
}

async fn embed(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let (asked, _arrived): (Embed, _) = intake::json(&state, request).await?;
    check_model(&state, &asked.model)?;
    let texts: Result<Vec<String>, _> = match asked.input {
        Value::String(one) => Ok(vec![one]),
        many => serde_json::from_value(many),
    };
    let texts =
        texts.map_err(|_| ApiError::Unusable("`input`: expected text or a list of text".into()))?;
    let encoded = of_texts(&state, texts).await?;
    let rows: Vec<Value> = encoded.rows().map(|row| json!(row)).collect();
    Ok(Json(json!({ "model": asked.model, "embeddings": rows })))
}

async fn tags(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    Json(json!({ "models": models(&state) }))
}

async fn ps(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let mut facts = facts(&state, MODEL);
    facts["expires_at"] = json!("9999-12-31T23:59:59Z");
    facts["size_vram"] = json!(0);
    Json(json!({ "models": [facts] }))
}

#[derive(Deserialize)]
struct Show {
    #[serde(alias = "name")]
    model: String,
}

async fn show(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let (asked, _arrived): (Show, _) = intake::json(&state, request).await?;
    check_model(&state, &asked.model)?;
    Ok(Json(json!({
        "license": "MIT OR Apache-2.0",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": details(),
        "model_info": {
            "general.architecture": "decap",
            "general.basename": state.model,
            "decap.encoder": state.encoder.name(),
            "decap.embedding_length": state.encoder.width(),
        },
        "capabilities": ["completion", "vision"],
        "modified_at": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
    })))
}

async fn version() -> Json<Value> {
    Json(json!({ "version": SPOKEN_VERSION }))
}

fn details() -> Value {
    json!({
        "parent_model": "",
        "format": "safetensors",
        "family": "decap",
        "families": ["decap"],
        "parameter_size": "",
        "quantization_level": "",
    })
}

/// The service's own model, and those that were trained here.
fn models(state: &State) -> Vec<Value> {
    let trained = state.decoders.names();
    let names = std::iter::once(MODEL).chain(trained.iter().map(String::as_str));
    names.map(|name| facts(state, name)).collect()
}

fn facts(state: &State, name: &str) -> Value {
    let name = format!("{name}{TAG}");
    json!({
        "name": name,
        "model": name,
        "modified_at": now(),
        "size": 0,
        "digest": state.encoder.fingerprint(),
        "details": details(),
    })
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
