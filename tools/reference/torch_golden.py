"""Writes small PyTorch checkpoints of every kind the reader knows, and their tensors as safetensors.

    pip install torch==2.15.0 transformers==5.23.0 safetensors numpy
    python tools/reference/torch_golden.py                    # crates/torch-state-dict/tests/data
    python tools/reference/torch_golden.py --decap OUT SHARED # DeCap at full size, 500 real embeddings,
                                                              # for DECAP_GOLDEN=OUT (needs SHARED/clip_vitb32)
"""

import sys
from collections import OrderedDict, defaultdict
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).parents[2] / "crates/torch-state-dict/tests/data"


def kinds():
    torch.manual_seed(3)
    matrix = torch.randn(4, 6)
    state = OrderedDict()
    state["plain"] = matrix.clone()
    state["half"] = torch.randn(3, 2).half()
    state["brain"] = torch.randn(5).bfloat16()
    state["double"] = torch.randn(2, 2, 2).double()
    state["transposed"] = matrix.t()
    state["column"] = matrix[:, 2]
    state["rows"] = matrix[1:3]
    state["scalar"] = torch.tensor(4.6052)
    state["one_row"] = matrix[2:3]
    state["parameter"] = torch.nn.Parameter(torch.randn(3))
    return state


def write_kinds():
    OUT.mkdir(parents=True, exist_ok=True)
    state = kinds()
    expected = {name: value.detach().float().contiguous().clone() for name, value in state.items()}
    save_file(expected, OUT / "expected.safetensors")
    integers = {"steps": torch.tensor([1, 2]), "small": torch.tensor([3], dtype=torch.int8), "mask": torch.tensor([True, False])}
    torch.save(OrderedDict(state, **integers), OUT / "zip.pt")
    torch.save(state, OUT / "legacy.pt", _use_new_zipfile_serialization=False)
    training = {
        "epoch": 3, "name": "run", "rates": [1e-5, None, True], "device": torch.device("cpu"), "dtype": torch.float32,
        "size": torch.Size([2, 3]), "set": {1, 2}, "big": 2**70, "negative": -5, "bytes": b"x", "text": "\u00e9",
        "state_dict": OrderedDict(("module." + name, value) for name, value in state.items()),
        "optimizer": {"state": defaultdict(dict, {0: {"exp_avg": torch.zeros(2)}}), "param_groups": [{"lr": 1e-5}]},
    }
    for protocol in (2, 4, 5):
        torch.save(training, OUT / f"training_{protocol}.pt", pickle_protocol=protocol)


SHAPE = dict(vocabulary_size=61, prefix_width=16, width=24, num_layers=2, num_heads=4, num_positions=12)
FULL = dict(vocabulary_size=50257, prefix_width=512, width=768, num_layers=4, num_heads=4, num_positions=1024)


def decap_model(shape, scale):
    from decoder_golden import seeded_model

    return seeded_model(shape, scale).eval()


def write_decap():
    model = decap_model(SHAPE, 12.0)
    state = OrderedDict(model.state_dict())
    # What transformers before 4.30 stored as buffers.
    for layer in range(SHAPE["num_layers"]):
        name = f"decoder.transformer.h.{layer}.attn."
        state[name + "bias"] = torch.ones(1, 1, 12, 12, dtype=torch.uint8).tril()
        state[name + "masked_bias"] = torch.tensor(-1e4)
    torch.save(state, OUT / "decap.pt")
    forked = OrderedDict(("decap." + name, value.half()) for name, value in model.state_dict().items())
    forked["dino.weight"] = torch.zeros(2)
    torch.save({"model": forked}, OUT / "decap_fork.pt")


# Another order of the same f32 sums changes logits by up to 3e-6: whether the best of two tokens that are closer than
# this is the one or the other, rounding decides, and says nothing of a port.
TIE = 1e-4


@torch.no_grad()
def greedy(model, prefixes, steps=30, end=49407):
    """`Decoding` of inference_decap.ipynb, all rows at once; -1 behind the end of a caption.

    Gives the tokens, and for each caption by how much its best token was ahead of the second best at least."""
    embeddings = model.clip_project.model(prefixes)[:, None]
    past, tokens, leads = None, [], []
    for _ in range(steps):
        out = model.decoder(inputs_embeds=embeddings, past_key_values=past, use_cache=True)
        past = out.past_key_values
        best = out.logits[:, -1].topk(2, dim=-1)
        tokens.append(best.indices[:, 0])
        leads.append(best.values[:, 0] - best.values[:, 1])
        embeddings = model.decoder.transformer.wte(tokens[-1][:, None])
    tokens = torch.stack(tokens, dim=1)
    ended = (tokens == end).cumsum(dim=1) - (tokens == end).long()
    leads = torch.stack(leads, dim=1).masked_fill(ended > 0, torch.inf)
    return tokens.masked_fill(ended > 0, -1), leads.amin(dim=1)


def write_full(out, shared):
    import numpy as np

    out.mkdir(parents=True, exist_ok=True)
    model = decap_model(FULL, 6.0)
    torch.save(model.state_dict(), out / "decap_full.pt")
    folder = Path(shared) / "clip_vitb32"
    images = torch.from_numpy(np.load(folder / "picsum_image_emb.npy")).float()
    rows = torch.from_numpy(np.load(folder / "vg17k_text_emb_i8.npy").astype("float32"))
    rows = rows * torch.from_numpy(np.load(folder / "vg17k_text_emb_scale.npy")).float().reshape(-1, 1)
    rows = rows / rows.norm(dim=-1, keepdim=True)
    images = images / images.norm(dim=-1, keepdim=True)
    weights = (images @ rows.T * 100).softmax(dim=-1)
    prefixes = weights @ rows
    prefixes = prefixes / prefixes.norm(dim=-1, keepdim=True)
    captions, leads = greedy(model, prefixes)
    clear = (leads >= TIE).nonzero()[:, 0]
    print(f"{len(leads) - len(clear)} of {len(leads)} captions hang on rounding (least lead {leads.min():.1e}) and are left out")
    clear = clear[:500]
    golden = {"prefixes": prefixes[clear].contiguous(), "tokens": captions[clear].contiguous()}
    save_file(golden, out / "decap_full.safetensors")
    print("distinct captions", len({tuple(row.tolist()) for row in captions}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--decap"]:
        write_full(Path(sys.argv[2]), sys.argv[3])
    else:
        write_kinds()
        write_decap()
