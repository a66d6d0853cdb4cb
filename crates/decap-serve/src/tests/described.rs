//! `/openapi.json` describes the routes that there are, and no others.

use std::collections::BTreeSet;

use super::*;

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

#[tokio::test]
async fn the_document_lists_every_route_of_the_router() {
    let service = service();
    let (status, document) = get(&service, "/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let routes = router::api_routes();
    let there: BTreeSet<&str> = routes.iter().map(|(path, _)| *path).collect();
    assert_eq!(described, there);
    for (path, item) in paths {
        for method in METHODS {
            let uri = path.replace("{id}", "decap").replace("{name}", "none");
            let request = Request::builder().method(method.to_uppercase().as_str());
            let request = request.uri(uri).body(Body::empty()).unwrap();
            let is_there = send(&service, request).await.0 != StatusCode::METHOD_NOT_ALLOWED;
            let is_described = item.get(method).is_some();
            assert_eq!(is_there, is_described, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn each_reference_of_the_document_leads_somewhere() {
    let (_, document) = get(&service(), "/openapi.json").await;
    let text = document.to_string();
    let mut references = 0;
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        references += 1;
    }
    assert!(references > 20, "{references}");
    let own = &document["paths"]["/v1/caption"]["post"];
    let problem = &own["responses"]["429"]["content"]["application/problem+json"]["schema"];
    assert_eq!(problem["$ref"], "#/components/schemas/Problem");
}

#[tokio::test]
async fn an_error_has_the_fields_of_its_description() {
    let service = service();
    let (_, document) = get(&service, "/openapi.json").await;
    let (_, problem) = get(&service, "/v1/caption").await;
    let described = &document["components"]["schemas"]["Problem"]["properties"];
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(described), names(&problem));
}
