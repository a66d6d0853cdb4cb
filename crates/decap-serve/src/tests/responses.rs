//! `/v1/responses`, in the forms in which it is asked.

use super::*;

fn asked(more: Value) -> Value {
    let url = format!("data:image/webp;base64,{}", *CAT_TEXT);
    let mut body = json!({ "model": "decap", "input": [{ "role": "user", "content": [
        { "type": "input_text", "text": "What is this?" },
        { "type": "input_image", "detail": "auto", "image_url": url },
    ]}]});
    let (Value::Object(fields), Value::Object(more)) = (&mut body, more) else {
        unreachable!()
    };
    fields.extend(more);
    body
}

#[tokio::test]
async fn a_response_holds_the_caption() {
    let service = service();
    let (status, answer) = post(&service, "/v1/responses", asked(json!({}))).await;
    assert_eq!(
        (status, &answer["status"]),
        (StatusCode::OK, &json!("completed"))
    );
    let part = &answer["output"][0]["content"][0];
    assert_eq!(
        (&part["type"], &part["text"]),
        (&json!("output_text"), &json!(expected()))
    );
    let form = json!({ "text": { "format": { "type": "json_object" } } });
    let (_, answer) = post(&service, "/v1/responses", asked(form)).await;
    let text = answer["output"][0]["content"][0]["text"].as_str().unwrap();
    let fields: Value = serde_json::from_str(text).unwrap();
    assert_eq!(fields["caption"], expected());
}

#[tokio::test]
async fn a_stream_has_its_events_in_order() {
    let body = asked(json!({ "stream": true })).to_string();
    let (_, text) = raw(
        &service(),
        "/v1/responses",
        "application/json",
        "*/*",
        body.as_bytes(),
    )
    .await;
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (first, last) = (&events[0], &events[events.len() - 1]);
    assert_eq!(
        (&first["type"], &last["type"]),
        (&json!("response.created"), &json!("response.completed"))
    );
    assert_eq!(
        last["response"]["output"][0]["content"][0]["text"],
        expected()
    );
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
}

#[tokio::test]
async fn what_would_need_a_kept_answer_is_refused() {
    let service = service();
    for more in [
        json!({ "previous_response_id": "resp_1" }),
        json!({ "background": true }),
        json!({ "input": "Tell me a joke." }),
        json!({ "input": 7 }),
        json!({ "input": [{ "role": "user", "content": [{ "type": "input_file" }] }] }),
    ] {
        let (status, error) = post(&service, "/v1/responses", asked(more)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{error}");
        assert_eq!(error["error"]["type"], "invalid_request_error");
    }
}
