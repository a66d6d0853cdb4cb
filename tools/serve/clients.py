"""Asks a running service through the real Python clients of OpenAI and Ollama.

    decap serve &
    python -m venv clients && clients/bin/pip install -r tools/serve/requirements.txt
    clients/bin/python tools/serve/clients.py http://127.0.0.1:8080 examples/photos/cat.webp
"""

import base64
import json
import sys

import ollama
import openai

address, photo = sys.argv[1:3]
with open(photo, "rb") as file:
    data = base64.b64encode(file.read()).decode()
url = f"data:image/webp;base64,{data}"

client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
content = [
    {"type": "text", "text": "What is in this image?"},
    {"type": "image_url", "image_url": {"url": url}},
]
messages = [{"role": "user", "content": content}]

answer = client.chat.completions.create(model="decap", messages=messages)
caption = answer.choices[0].message.content
assert caption and answer.usage.total_tokens > 0, answer
print("openai chat:", caption)

stream = client.chat.completions.create(
    model="decap", messages=messages, stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
assert text == caption and chunks[-1].usage.total_tokens > 0, chunks
print("openai stream:", text)

answer = client.chat.completions.create(
    model="decap",
    messages=messages,
    response_format={"type": "json_object"},
    extra_body={"decap": {"evidence": 5}},
)
fields = json.loads(answer.choices[0].message.content)
assert fields["caption"] == caption and fields["keywords"], fields
print("openai json:", fields["keywords"])

parts = [
    {"type": "input_text", "text": "What is in this image?"},
    {"type": "input_image", "image_url": url, "detail": "auto"},
]
asked = {"model": "decap", "input": [{"role": "user", "content": parts}]}
answer = client.responses.create(**asked)
assert answer.output_text == caption and answer.status == "completed", answer
assert answer.usage.total_tokens > 0, answer
print("openai response:", answer.output_text)
with client.responses.stream(**asked) as stream:
    text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    final = stream.get_final_response()
assert text == final.output_text == caption, final
print("openai response stream:", text)

for encoding in ("float", "base64"):
    vectors = client.embeddings.create(model="decap", input=["a cat", "a dog"], encoding_format=encoding)
    assert len(vectors.data) == 2, vectors
# The client's own choice of encoding, which it decodes by itself.
assert len(client.embeddings.create(model="decap", input="a cat").data[0].embedding) > 1
assert client.models.list().data[0].id == client.models.retrieve("decap").id == "decap"
try:
    client.models.retrieve("no-such-model")
    raise AssertionError("expected an error")
except openai.NotFoundError as error:
    print("openai error:", error.body["message"])

client = ollama.Client(host=address)
message = {"role": "user", "content": "Describe this.", "images": [photo]}
answer = client.chat(model="decap", messages=[message])
assert answer.message.content == caption, answer
print("ollama chat:", answer.message.content)
parts = client.chat(model="decap", messages=[message], stream=True)
assert "".join(part.message.content for part in parts) == caption
answer = client.generate(model="decap", prompt="Tags, please", images=[photo])
print("ollama tags:", answer.response)
answer = client.generate(model="decap", prompt="", images=[photo], format="json")
assert json.loads(answer.response)["caption"] == caption
assert client.list().models[0].model == "decap:latest"
assert "vision" in client.show("decap").capabilities
assert client.ps().models[0].model == "decap:latest"
assert len(client.embed(model="decap", input=["a cat", "a dog"]).embeddings) == 2
try:
    client.chat(model="no-such-model", messages=[message])
    raise AssertionError("expected an error")
except ollama.ResponseError as error:
    print("ollama error:", error.status_code, error.error)
print("all well")
