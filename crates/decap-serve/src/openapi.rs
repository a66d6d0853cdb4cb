//! `/openapi.json`, made from routes and types, and `/docs`, which shows it.

use std::sync::{Arc, LazyLock};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use utoipa::OpenApi;
use utoipa::openapi::path::{OperationBuilder, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, ObjectBuilder, ResponseBuilder, SecurityRequirement, Type,
};

use crate::answer::MODEL;
use crate::api::{caption, embed, memory, operations, score, train};
use crate::error::Problem;
use crate::state::State;

/// What clients of other services ask: described where those services describe it.
const THEIRS: [(&str, HttpMethod, &str, &str); 13] = [
    (
        "/v1/chat/completions",
        HttpMethod::Post,
        "OpenAI",
        "Caption the images of a chat",
    ),
    (
        "/v1/responses",
        HttpMethod::Post,
        "OpenAI",
        "Caption the images of an input",
    ),
    (
        "/v1/embeddings",
        HttpMethod::Post,
        "OpenAI",
        "Embed sentences, or images as objects with `image`",
    ),
    ("/v1/models", HttpMethod::Get, "OpenAI", "List the models"),
    (
        "/v1/models/{id}",
        HttpMethod::Get,
        "OpenAI",
        "Describe a model",
    ),
    (
        "/v1/models/{id}",
        HttpMethod::Delete,
        "OpenAI",
        "Forget a model that was trained here",
    ),
    (
        "/api/generate",
        HttpMethod::Post,
        "Ollama",
        "Caption images",
    ),
    (
        "/api/chat",
        HttpMethod::Post,
        "Ollama",
        "Caption the images of a chat",
    ),
    ("/api/embed", HttpMethod::Post, "Ollama", "Embed sentences"),
    ("/api/tags", HttpMethod::Get, "Ollama", "List the models"),
    (
        "/api/ps",
        HttpMethod::Get,
        "Ollama",
        "List the model as loaded",
    ),
    (
        "/api/show",
        HttpMethod::Post,
        "Ollama",
        "Describe the model",
    ),
    (
        "/api/version",
        HttpMethod::Get,
        "Ollama",
        "The version of Ollama's API that is spoken",
    ),
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "decap",
        description = "Captions of photos, and the sentences that they come from.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        caption::caption,
        embed::embed,
        score::score,
        memory::list,
        memory::teach,
        memory::forget,
        train::list,
        train::start,
        train::status,
        train::stop,
        operations::health,
        operations::metrics,
    ),
    components(schemas(Problem)),
    tags(
        (name = "decap", description = "decap's own API. Errors are RFC 9457: `application/problem+json`."),
        (name = "Operations", description = "For whoever runs the service."),
        (name = "OpenAI", description = "What OpenAI's clients send, as OpenAI describes it. The model is `decap`. \
            decap's own options go into an object `decap`. Errors are OpenAI's error object."),
        (name = "Ollama", description = "What Ollama's clients send, as Ollama describes it. The model is `decap`. \
            decap's own options go into an object `decap`. Errors are an object with `error`."),
    ),
)]
struct Own;

/// The document as JSON.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string(&document()).unwrap_or_default());

/// The description of every route.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Own::openapi();
    for (path, method, tag, summary) in THEIRS {
        let operation = their_operation(path, &method, tag, summary);
        let item = PathItem::new(method, operation);
        let paths = &mut document.paths.paths;
        match paths.get_mut(path) {
            Some(there) => there.merge_operations(item),
            None => drop(paths.insert(path.to_owned(), item)),
        }
    }
    if let Some(components) = &mut document.components {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Only where the service was given keys."));
        let bearer = SecurityScheme::Http(bearer.build());
        components.add_security_scheme("key", bearer);
    }
    // A key where one is asked for, or none.
    let key = SecurityRequirement::new("key", Vec::<String>::new());
    document.security = Some(vec![SecurityRequirement::default(), key]);
    document
}

/// A path as the name of its operation.
fn plain(path: &str) -> String {
    path.trim_start_matches('/').replace(['/', '{', '}'], "_")
}

fn their_operation(
    path: &str,
    method: &HttpMethod,
    tag: &str,
    summary: &str,
) -> utoipa::openapi::path::Operation {
    let object = || ObjectBuilder::new().schema_type(Type::Object).build();
    let content = || ContentBuilder::new().schema(Some(object())).build();
    let answer = |words: &str| {
        ResponseBuilder::new()
            .description(words)
            .content("application/json", content())
            .build()
    };
    let mut operation = OperationBuilder::new()
        .tag(tag)
        .summary(Some(summary))
        .operation_id(Some(match method {
            HttpMethod::Delete => format!("delete_{}", plain(path)),
            _ => plain(path),
        }))
        .response("200", answer("The answer"))
        .response("4XX", answer("What is wrong with the request"))
        .response("5XX", answer("What is wrong with the service"));
    if path.ends_with("{id}") {
        let id = utoipa::openapi::path::ParameterBuilder::new()
            .name("id")
            .parameter_in(utoipa::openapi::path::ParameterIn::Path)
            .required(utoipa::openapi::Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        operation = operation.parameter(id);
    }
    if *method == HttpMethod::Post {
        let model = ObjectBuilder::new()
            .schema_type(Type::String)
            .examples([MODEL]);
        let asked = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("model", model)
            .required("model");
        let body = RequestBodyBuilder::new()
            .content(
                "application/json",
                ContentBuilder::new().schema(Some(asked.build())).build(),
            )
            .required(Some(utoipa::openapi::Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    operation.build()
}

/// The path of the document.
pub fn routes() -> Vec<(&'static str, MethodRouter<Arc<State>>)> {
    vec![("/openapi.json", get(serve))]
}

async fn serve() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, DOCUMENT.as_str()).into_response()
}
