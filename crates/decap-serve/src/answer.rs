//! Captions in the form that a prompt asks for. The prompt decides the form alone: decap answers no questions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::response::Response;
use caption_words::{content_lemma, words};
use decap::Caption;
use serde_json::{Map, Value, json};

use crate::api::rounded;
use crate::api::wishes::Wishes;
use crate::error::ApiError;
use crate::fallback::Reason;
use crate::fetching::{Room, fetch_all};
use crate::intake::{Arrived, check_count};
use crate::photo::{Photo, Sent};
use crate::prompt::asks_for_a_caption;
use crate::state::State;
use crate::worker::{Pending, Work};

/// The name that clients give for the model.
pub const MODEL: &str = "decap";

/// Memory sentences that keywords come from.
const KEYWORD_EVIDENCE: usize = 10;
/// Keywords at most.
const MOST_KEYWORDS: usize = 12;

/// Words in -ing that name things.
const THINGS_IN_ING: [&str; 14] = [
    "building",
    "ceiling",
    "clothing",
    "crossing",
    "earring",
    "evening",
    "icing",
    "lightning",
    "living",
    "morning",
    "painting",
    "pudding",
    "railing",
    "wedding",
];

/// What a client of another API asks for.
#[derive(Debug, Default)]
pub struct Question {
    /// The model that it names, one that is here.
    pub model: String,
    /// Its words.
    pub prompt: String,
    /// Those of the last message that has some.
    pub last: String,
    /// Whether it asks for JSON by its format, and with which schema.
    pub schema: Option<Value>,
    /// Tokens at most.
    pub max_tokens: Option<usize>,
    /// decap's own options beside the API's.
    pub wishes: Map<String, Value>,
}

/// Where an answer comes from.
pub enum Answered {
    /// From decap.
    Here(Vec<Caption>),
    /// From the fallback, as it is.
    PassedOn(Response),
}

/// The form of an answer.
#[derive(Debug, PartialEq)]
enum Form {
    Sentence,
    Keywords,
    Json(Value),
}

impl Question {
    fn form(&self) -> Form {
        let prompt = words(&self.prompt);
        let asks = |word: &str| prompt.iter().any(|it| it == word);
        let asks_keywords = ["tags", "keywords", "labels"].into_iter().any(asks);
        match &self.schema {
            Some(schema) => Form::Json(schema.clone()),
            None if asks("json") => Form::Json(Value::Null),
            None if asks_keywords => Form::Keywords,
            None => Form::Sentence,
        }
    }

    /// The captions of the photos that came with it; or, where the prompt asks for something else or a caption is
    /// unsure, the answer of the fallback, if there is one and it answers.
    ///
    /// # Errors
    /// As [`Wishes::plan`] and [`State::submit`]; [`ApiError::Unusable`] for no photo; what is wrong with the first
    /// that fails.
    pub async fn captions(
        &self,
        state: &Arc<State>,
        sent: Vec<Sent>,
        arrived: Arrived,
        path: &str,
    ) -> Result<Answered, ApiError> {
        let fallback = state.fallback.as_ref();
        let is_other = sent.is_empty() || !asks_for_a_caption(&self.last);
        if let Some(fallback) = fallback.filter(|_| is_other)
            && let Some(answer) = fallback.answer(state, &arrived, path, Reason::Prompt).await
        {
            return Ok(Answered::PassedOn(answer));
        }
        if sent.is_empty() {
            let message = "expected an image, got words alone: decap describes pictures and answers no questions";
            return Err(ApiError::Unusable(message.into()));
        }
        check_count(state, sent.len())?;
        let mut room = Room(arrived.room);
        let photos = fetch_all(state, sent, arrived.deadline, &mut room).await?;
        let arrived = Arrived {
            room: room.0,
            ..arrived
        };
        let captions = captions_of(self.ask(state, photos, arrived.deadline)?).await?;
        let is_unsure = |it: &Caption| {
            let least = state.least_confidence;
            it.confidence
                .zip(least)
                .is_some_and(|(it, least)| it < least)
        };
        // What was asked of it already is not asked again.
        if let Some(fallback) = fallback.filter(|_| !is_other && captions.iter().any(is_unsure))
            && let Some(answer) = fallback.answer(state, &arrived, path, Reason::Unsure).await
        {
            return Ok(Answered::PassedOn(answer));
        }
        Ok(Answered::Here(captions))
    }

    /// Puts the photos into the queue.
    fn ask(
        &self,
        state: &State,
        photos: Vec<Photo>,
        deadline: Instant,
    ) -> Result<Vec<Pending>, ApiError> {
        let mut wishes = Wishes::of(self.wishes.clone())?;
        wishes.model.get_or_insert_with(|| self.model.clone());
        let mut plan = wishes.plan(state)?;
        if self.form() != Form::Sentence {
            plan.options.evidence = plan.options.evidence.max(KEYWORD_EVIDENCE);
        }
        let generate = &mut plan.options.generate;
        if let Some(most) = self.max_tokens {
            generate.max_tokens = generate.max_tokens.min(most.max(1));
        }
        state.submit(photos, &Work::Caption(Arc::new(plan)), deadline)
    }

    /// The answer to these captions.
    pub fn answer(&self, captions: &[Caption]) -> String {
        let lines = |line: &dyn Fn(&Caption) -> String| {
            captions.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        match self.form() {
            Form::Sentence => lines(&|caption| caption.text.clone()),
            Form::Keywords => lines(&|caption| {
                let keywords = keywords(caption);
                keywords
                    .iter()
                    .map(|(word, _)| word.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            }),
            Form::Json(schema) => {
                let fields: Vec<Value> = captions.iter().map(|it| fields(it, &schema)).collect();
                match fields.as_slice() {
                    [only] => only.to_string(),
                    _ => json!({ "images": fields }).to_string(),
                }
            }
        }
    }
}

/// Waits for the captions of photos, in order.
async fn captions_of(pending: Vec<Pending>) -> Result<Vec<Caption>, ApiError> {
    let mut captions = Vec::with_capacity(pending.len());
    for one in pending {
        captions.push(one.caption().await?.0);
    }
    Ok(captions)
}

/// The name of a model without its tag. One that is not here is refused.
///
/// # Errors
/// [`ApiError::NotFound`].
pub fn check_model(state: &State, name: &str) -> Result<String, ApiError> {
    let plain = name.strip_suffix(":latest").unwrap_or(name);
    state.decoders.named(plain)?;
    Ok(plain.to_owned())
}

/// Keywords of a caption, heaviest first: the content words of its evidence, by the weight of the sentences
/// that say them, relative to the heaviest.
fn keywords(caption: &Caption) -> Vec<(String, f32)> {
    let own = (caption.text.as_str(), 1.0);
    let sentences = caption
        .evidence
        .iter()
        .map(|it| (it.text.as_str(), it.weight));
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut found: Vec<(String, f32)> = Vec::new();
    for (text, weight) in std::iter::once(own).chain(sentences) {
        for word in words(text) {
            let is_thing = THINGS_IN_ING.contains(&word.as_str());
            let is_action = word.len() > 5 && word.ends_with("ing") && !is_thing;
            let Some(key) = content_lemma(&word).filter(|_| !is_action) else {
                continue;
            };
            let place = *places.entry(key).or_insert_with(|| {
                found.push((word.clone(), 0.0));
                found.len() - 1
            });
            found[place].1 += weight;
        }
    }
    // Among equals the first that was said.
    found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    found.truncate(MOST_KEYWORDS);
    let heaviest = found.first().map_or(1.0, |(_, weight)| *weight);
    for (_, weight) in &mut found {
        *weight /= heaviest;
    }
    found
}

/// The fields that decap has, under the names of `schema` where there is one.
fn fields(caption: &Caption, schema: &Value) -> Value {
    let keywords = keywords(caption);
    let words: Vec<&str> = keywords.iter().map(|(word, _)| word.as_str()).collect();
    let labels: Vec<Value> = keywords
        .iter()
        .map(|(word, weight)| {
            let weight = rounded(*weight, 3);
            json!({ "name": word, "confidence": weight, "topicality": weight })
        })
        .collect();
    let evidence: Vec<Value> = caption
        .evidence
        .iter()
        .map(|it| json!({ "text": it.text, "weight": rounded(it.weight, 6) }))
        .collect();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return json!({
            "caption": caption.text,
            "keywords": words,
            "labels": labels,
            "evidence": evidence,
        });
    };
    let named = |(name, kind): (&String, &Value)| {
        let is_list = kind.get("type").and_then(Value::as_str) == Some("array");
        let holds_objects = kind.pointer("/items/type").and_then(Value::as_str) == Some("object");
        let value = match (name.to_lowercase().as_str(), is_list) {
            ("evidence", true) => json!(evidence),
            ("tags" | "keywords" | "labels", true) if holds_objects => json!(labels),
            ("tags" | "keywords" | "labels", true) => json!(words),
            ("tags" | "keywords" | "labels", false) => json!(words.join(", ")),
            (_, true) => json!([]),
            _ => match kind.get("type").and_then(Value::as_str) {
                None | Some("string") => json!(caption.text),
                // What decap does not know.
                Some("number" | "integer") => json!(0),
                Some("boolean") => json!(false),
                Some("object") => json!({}),
                _ => Value::Null,
            },
        };
        (name.clone(), value)
    };
    Value::Object(properties.iter().map(named).collect())
}

#[cfg(test)]
mod tests {
    use decap::ChosenFrom;
    use decap::memory::Evidence;

    use super::*;

    fn caption() -> Caption {
        let evidence = [
            ("two dogs running on a beach", 0.6),
            ("a dog near the sea", 0.2),
        ];
        let evidence = evidence.map(|(text, weight)| Evidence {
            text: text.into(),
            weight,
        });
        Caption {
            confidence: None,
            text: "a dog on a beach".into(),
            score: -0.5,
            chosen_from: ChosenFrom::Written,
            evidence: evidence.into(),
            candidates: Vec::new(),
        }
    }

    fn answer(prompt: &str, schema: Option<Value>) -> String {
        Question {
            prompt: prompt.into(),
            schema,
            ..Question::default()
        }
        .answer(&[caption()])
    }

    #[test]
    fn the_prompt_decides_the_form() {
        assert_eq!(answer("Describe this picture.", None), "a dog on a beach");
        assert_eq!(
            answer("Give me comma-separated tags", None),
            "dog, beach, sea"
        );
        let json: Value = serde_json::from_str(&answer("Answer in JSON", None)).unwrap();
        assert_eq!(json["caption"], "a dog on a beach");
        assert_eq!(json["keywords"], json!(["dog", "beach", "sea"]));
        assert_eq!(json["evidence"][0]["text"], "two dogs running on a beach");
    }

    #[test]
    fn a_schema_gets_the_fields_that_there_are() {
        let schema = json!({ "type": "object", "properties": {
            "labels": { "type": "array", "items": { "type": "object" } },
            "description": { "type": "string" },
            "people": { "type": "integer" },
        }});
        let json: Value = serde_json::from_str(&answer("", Some(schema))).unwrap();
        assert_eq!(json["description"], "a dog on a beach");
        assert_eq!(
            json["labels"][0],
            json!({ "name": "dog", "confidence": 1.0, "topicality": 1.0 })
        );
        assert_eq!(json["people"], 0);
    }
}
