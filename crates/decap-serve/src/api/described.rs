//! What requests and errors look like, for `/openapi.json`: the options of a caption with the photos beside them.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, SchemaFormat, SchemaType,
};
use utoipa::openapi::{
    ContentBuilder, Object, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, Type,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::texts::MOST_TEXTS;
use super::wishes::Wishes;
use crate::error::ApiError;

/// A photo of few bytes.
const EXAMPLE: &[u8] = include_bytes!("../page/warm-up.png");

/// The errors that each path of the API may answer with.
pub struct OwnErrors;

impl IntoResponses for OwnErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let none = String::new;
        let errors = [
            (
                ApiError::Malformed(none()),
                "The request is not as described",
            ),
            (ApiError::NoKey, "A key is asked for"),
            (
                ApiError::Foreign(none()),
                "A page of another site sent the request, or this service does not do it",
            ),
            (
                ApiError::NotFound(none()),
                "There is nothing of that name or path",
            ),
            (ApiError::WrongMethod, "The path does not take this method"),
            (ApiError::TooSlow, "The request took too long to arrive"),
            (
                ApiError::TooLarge(none()),
                "The request or the photo is larger than allowed",
            ),
            (
                ApiError::UnknownKind(none()),
                "This kind of content is not read",
            ),
            (
                ApiError::Unusable(none()),
                "The request can be read, but not done",
            ),
            (
                ApiError::Busy,
                "There is no room now; Retry-After says when to ask again",
            ),
            (ApiError::Broken, "Something broke inside"),
            (ApiError::Stopping, "The service stops"),
            (ApiError::OutOfTime, "The time for the request ran out"),
        ];
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        let described = |(error, words): (ApiError, &str)| {
            let (status, _): (StatusCode, _) = error.status();
            let response = ResponseBuilder::new()
                .description(words)
                .content("application/problem+json", content.clone());
            (status.as_str().to_owned(), RefOr::T(response.build()))
        };
        errors.into_iter().map(described).collect()
    }
}

/// Fields beside the photos.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Wishes,
    Texts,
    /// As many as may come, and one photo.
    TextsToScore,
}

/// How photos come.
#[derive(Clone, Copy)]
enum Kind {
    Form,
    Json,
}

fn object(kind: Kind, beside: Beside) -> RefOr<Schema> {
    let mut object = match beside {
        Beside::Wishes => match Wishes::schema() {
            RefOr::T(Schema::Object(object)) => object,
            _ => Object::new(),
        },
        Beside::Texts | Beside::TextsToScore => ObjectBuilder::new()
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .build(),
    };
    let mut put = |name: &str, schema: Schema| {
        object.properties.insert(name.to_owned(), schema.into());
    };
    let scores = beside == Beside::TextsToScore;
    if beside != Beside::Wishes {
        let texts: Schema = match kind {
            // Whatever a field of a form looks like, it is text.
            Kind::Form => ObjectBuilder::new()
                .schema_type(SchemaType::AnyValue)
                .title(Some("text"))
                .description(Some("A sentence. The field may come several times."))
                .into(),
            Kind::Json => ArrayBuilder::new()
                .items(ObjectBuilder::new().schema_type(Type::String))
                .min_items(scores.then_some(1))
                .max_items(Some(MOST_TEXTS))
                .description(Some("Sentences."))
                .into(),
        };
        put("texts", texts);
    }
    match kind {
        Kind::Form => {
            let file = ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
            let files = ArrayBuilder::new()
                .items(file)
                .min_items(scores.then_some(1))
                .max_items(scores.then_some(1))
                .description(Some("Photos, each a file of the form."));
            put("photo", files.build().into());
        }
        Kind::Json => {
            let base64 = || {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Byte)))
            };
            let image = base64()
                .description(Some("A photo in base64, or a data URL."))
                .examples([STANDARD.encode(EXAMPLE)]);
            put("image", image.build().into());
            if !scores {
                let images = ArrayBuilder::new().items(base64()).description(Some(
                    "Photos in base64; or objects with `name`, and `data` in base64.",
                ));
                put("images", images.build().into());
            }
        }
    }
    if scores {
        let photo = match kind {
            Kind::Form => "photo",
            Kind::Json => "image",
        };
        object.required = vec![photo.to_owned(), "texts".to_owned()];
    }
    object.into()
}

/// A body of photos and the fields beside them, described by `object`.
macro_rules! bodies {
    ($($name:ident: $kind:ident, $beside:ident, $words:literal;)*) => {$(
        #[doc = $words]
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                object(Kind::$kind, Beside::$beside)
            }
        }

        impl ToSchema for $name {}
    )*};
}

bodies! {
    CaptionForm: Form, Wishes, "Photos and options as a form.";
    CaptionJson: Json, Wishes, "Photos and options as JSON.";
    EmbedForm: Form, Texts, "Photos and sentences as a form.";
    EmbedJson: Json, Texts, "Photos and sentences as JSON.";
    ScoreForm: Form, TextsToScore, "A photo and sentences as a form.";
    ScoreJson: Json, TextsToScore, "A photo and sentences as JSON.";
}
