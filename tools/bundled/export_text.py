"""all-MiniLM-L6-v2 as ONNX: token states out (the mean over the mask is the caller's), f32 and int8 weights."""

import argparse
import json
import os
import shutil

import numpy as np
import onnx
import onnxruntime
import torch

from shrink import shrink
from texts import load_minilm, minilm_folder


class TokenStates(torch.nn.Module):
    """`[batch, tokens]` i64 three times to `[batch, tokens, 384]` f32."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, input_ids, attention_mask, token_type_ids):
        embedding = self.bert.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        # Written out, for transformers' mask helpers do not trace.
        blocked = (1.0 - attention_mask[:, None, None, :].to(embedding.dtype)) * -10000.0
        x = embedding
        for layer in self.bert.encoder.layer:
            heads, width = self.bert.config.num_attention_heads, self.bert.config.hidden_size
            split = lambda t: t.reshape(t.shape[0], -1, heads, width // heads).transpose(1, 2)
            attention = layer.attention.self
            query, key, value = (split(f(x)) for f in (attention.query, attention.key, attention.value))
            scores = query @ key.transpose(-1, -2) / (width // heads) ** 0.5 + blocked
            mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(x.shape[0], -1, width)
            x = layer.attention.output.LayerNorm(layer.attention.output.dense(mixed) + x)
            inner = torch.nn.functional.gelu(layer.intermediate.dense(x))
            x = layer.output.LayerNorm(layer.output.dense(inner) + x)
        return x


def mean_embed(run, encodings):
    out = []
    for e in encodings:
        ids = np.array([e.ids], np.int64)
        states = run(ids, np.ones_like(ids), np.zeros_like(ids))[0]
        vector = states.mean(0)
        out.append(vector / np.linalg.norm(vector))
    return np.stack(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    bert, tokenizer = load_minilm()
    model = TokenStates(bert).eval()
    example = (torch.tensor([[101, 1037, 102], [101, 102, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]), torch.zeros(2, 3, dtype=torch.long))
    names = ["input_ids", "attention_mask", "token_type_ids"]
    big = os.path.join(args.out, "minilm_f32.onnx")
    axes = {n: {0: "batch", 1: "tokens"} for n in names + ["token_states"]}
    torch.onnx.export(
        model, example, big, input_names=names, output_names=["token_states"], dynamic_axes=axes, opset_version=17, dynamo=False
    )
    small = os.path.join(args.out, "minilm_small.onnx")
    onnx.save(shrink(onnx.load(big), "int8"), small)

    with open(os.path.join(args.data, "text", "coco_karpathy_test_refs.txt"), encoding="utf-8") as lines:
        sentences = [next(lines).strip() for _ in range(300)]
    encodings = tokenizer.encode_batch(sentences)
    with torch.no_grad():
        bert.eval()
        reference = mean_embed(
            lambda i, m, t: bert(torch.tensor(i), torch.tensor(m), torch.tensor(t)).last_hidden_state.numpy(), encodings
        )
    report = {"inputs": names, "output": "token_states", "width": 384, "pooling": "mean over the attention mask", "max_tokens": 256}
    for path in (big, small):
        session = onnxruntime.InferenceSession(path)
        got = mean_embed(lambda i, m, t: session.run(None, dict(zip(names, (i, m, t))))[0], encodings)
        cosine = (got * reference).sum(1)
        report[os.path.basename(path)] = {"bytes": os.path.getsize(path), "cosine_min": float(cosine.min()), "cosine_mean": float(cosine.mean())}
    shutil.copy(os.path.join(minilm_folder(), "tokenizer.json"), args.out)
    with open(os.path.join(args.out, "minilm.json"), "w") as file:
        json.dump(report, file, indent=1)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
