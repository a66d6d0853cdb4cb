"""Writes CLIPs with seeded random weights in the form of each library, and what the library makes of them.

    pip install torch==2.15.0 transformers==5.23.0 open_clip_torch==3.3.0 clip-anytorch==2.6.0 safetensors
    python tools/reference/clip_golden.py                  # the committed tiny ones
    python tools/reference/clip_golden.py --real OUT [NAME...]   # real shapes, for DECAP_GOLDEN=OUT

A folder NAME holds the model as its library saves it and `expected.safetensors`: `pixels` [photos, 3, size,
size], `ids` [3, context], and the outputs of the stages, text stages without their padding.
"""

import json
import os
import shutil
import sys
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import packaging.version  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

# clip.py imports this module, which setuptools no longer has, for a version number.
sys.modules.setdefault("pkg_resources", types.SimpleNamespace(packaging=packaging))

TINY = Path(__file__).parents[2] / "crates/decap-encoder/tests/data/clip"
BYTES = 512  # a tiny vocabulary: the bytes inside and at the end of a word, start and end
TINY_VOCAB = BYTES + 2
FEW = 40  # where only ids go in


def randomise(model, seed=0):
    """Weights that keep activations near one, so that every path shows in the result."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2:
                fan_in = parameter[0].numel()
                table = "embedding" in name and "patch" not in name
                parameter.copy_(noise * (0.3 if table else 0.7 / fan_in**0.5))
            elif name.endswith("bias") or "class_embedding" in name:
                parameter.copy_(noise * 0.1)
            elif name == "logit_scale":
                parameter.fill_(4.6052)
            else:
                parameter.copy_(1 + noise * 0.1)
    return model.eval()


def inputs(size, vocab, context, end):
    generator = torch.Generator().manual_seed(1)
    photos = 1 if size > 100 else 2
    pixels = torch.randn(photos, 3, size, size, generator=generator)
    ids = torch.zeros(3, context, dtype=torch.long)
    lengths = [5, context, 2]
    for row, length in zip(ids, lengths):
        row[:length] = torch.randint(1, vocab - 2, (length,), generator=generator)
        row[0], row[length - 1] = end - 1, end
    return pixels, ids, torch.tensor(lengths)


class Stages:
    def __init__(self, lengths):
        self.tensors, self.lengths = {}, lengths

    def add(self, name, value):
        self.tensors[name] = value.detach().float().contiguous().clone()

    def add_text(self, name, value):
        self.add(name, torch.cat([row[:n] for row, n in zip(value, self.lengths)]))

    def hook(self, module, name, change=lambda value: value, text=False):
        def store(_module, _inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            (self.add_text if text else self.add)(name, change(output))

        return module.register_forward_hook(store)


def run_hugging_face(model, pixels, ids, lengths):
    stages = Stages(lengths)
    vision, text = model.vision_model, model.text_model
    stages.hook(vision.embeddings.patch_embedding, "image.embedded", lambda x: x.flatten(2).transpose(1, 2))
    for i, layer in enumerate(vision.encoder.layers):
        stages.hook(layer, f"image.block.{i}")
    stages.hook(vision.post_layernorm, "image.pooled")
    stages.hook(model.visual_projection, "image.features")
    stages.hook(text.embeddings, "text.embedded", text=True)
    for i, layer in enumerate(text.encoder.layers):
        stages.hook(layer, f"text.block.{i}", text=True)
    stages.hook(model.text_projection, "text.features")
    with torch.no_grad():
        model.get_image_features(pixel_values=pixels)
        out = text(input_ids=ids)
        model.text_projection(out.pooler_output)
    stages.add("text.pooled", out.pooler_output)
    return stages.tensors


def run_openai(model, pixels, ids, lengths, batch_first):
    """OpenAI's model and OpenCLIP's, which keeps its names."""
    stages = Stages(lengths)
    order = (lambda x: x) if batch_first else (lambda x: x.permute(1, 0, 2))
    vision = model.visual
    stages.hook(vision.conv1, "image.embedded", lambda x: x.flatten(2).transpose(1, 2))
    for i, block in enumerate(vision.transformer.resblocks):
        stages.hook(block, f"image.block.{i}", order)
    stages.hook(vision.ln_post, "image.pooled", lambda x: x[:, 0] if x.ndim == 3 else x)
    for i, block in enumerate(model.transformer.resblocks):
        stages.hook(block, f"text.block.{i}", order, text=True)
    ends = ids.argmax(dim=-1)
    stages.hook(model.ln_final, "text.pooled", lambda x: x[torch.arange(len(ids)), ends])
    with torch.no_grad():
        stages.add_text("text.embedded", model.token_embedding(ids) + model.positional_embedding)
        stages.add("image.features", model.encode_image(pixels))
        stages.add("text.features", model.encode_text(ids))
    return stages.tensors


def write_expected(folder, tensors, pixels, ids, lengths):
    tensors = dict(tensors, pixels=pixels, ids=ids, lengths=lengths)
    save_file(tensors, folder / "expected.safetensors")


def write_tiny_vocabulary(folder):
    from clip.simple_tokenizer import bytes_to_unicode

    symbols = list(bytes_to_unicode().values())
    tokens = symbols + [symbol + "</w>" for symbol in symbols] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def hugging_face(folder, vision, text, width, activation="quick_gelu", eos=2, dtype=None, shard=None, pickle=False):
    from transformers import CLIPConfig, CLIPModel

    vocab = text.get("vocab_size", 49408)
    context = text.get("max_position_embeddings", 77)
    common = {"hidden_act": activation}
    text = dict(text, eos_token_id=eos, bos_token_id=vocab - 2, pad_token_id=1, **common)
    config = CLIPConfig(text_config=text, vision_config=dict(vision, **common), projection_dim=width)
    model = randomise(CLIPModel(config))
    if dtype:
        model = model.to(dtype).float()
    size = config.vision_config.image_size
    pixels, ids, lengths = inputs(size, vocab, context, vocab - 1)
    expected = run_hugging_face(model, pixels, ids, lengths)
    for module in model.modules():
        module._forward_hooks.clear()
    stored = model.to(dtype) if dtype else model
    if pickle:
        stored.config.save_pretrained(folder)
        torch.save(stored.state_dict(), folder / "pytorch_model.bin")
    else:
        stored.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    write_expected(folder, expected, pixels, ids, lengths)


def open_clip(folder, config, dtype=None, pickle=False):
    from open_clip.model import CLIP

    # `quick_gelu` stands in the file beside the rest and is an argument of its own.
    model = randomise(CLIP(**config))
    if dtype:
        model = model.to(dtype).float()
    size, text = config["vision_cfg"]["image_size"], config["text_cfg"]
    vocab = text.get("vocab_size", 49408)
    pixels, ids, lengths = inputs(size, vocab, text.get("context_length", 77), vocab - 1)
    expected = run_openai(model, pixels, ids, lengths, batch_first=model.transformer.batch_first)
    state = {name: value.to(dtype or value.dtype).contiguous() for name, value in model.state_dict().items()}
    state.pop("attn_mask", None)
    if pickle:
        torch.save(state, folder / "open_clip_pytorch_model.bin")
    else:
        save_file(state, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "shortest"}
    file = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(file, indent=1))
    write_expected(folder, expected, pixels, ids, lengths)


def openai(folder, script, **sizes):
    from clip.model import CLIP, convert_weights

    model = randomise(CLIP(**sizes))
    size, vocab, context = sizes["image_resolution"], sizes["vocab_size"], sizes["context_length"]
    pixels, ids, lengths = inputs(size, vocab, context, vocab - 1)
    # OpenAI's archives hold half precision; `clip.load` widens them on a CPU.
    convert_weights(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.float()
    expected = run_openai(model, pixels, ids, lengths, batch_first=False)
    for module in model.modules():
        module._forward_hooks.clear()
    if script:
        with torch.no_grad():
            traced = torch.jit.trace_module(model, {"encode_image": (pixels,), "encode_text": (ids,)}, check_trace=False)
        for name, value in traced.named_parameters():
            value.data = state[name]
        traced.save(str(folder / "model.pt"))
    else:
        torch.save(state, folder / "model.pt")
    write_expected(folder, expected, pixels, ids, lengths)


def tiny(out):
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=18, patch_size=8)
    text = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=TINY_VOCAB, max_position_embeddings=12)
    folder = out("hugging_face")
    hugging_face(folder, vision, text, 24, dtype=torch.bfloat16)
    write_tiny_vocabulary(folder)
    text = dict(text, num_hidden_layers=1, vocab_size=FEW)
    hugging_face(out("hugging_face_shards"), dict(vision, num_hidden_layers=1), text, 32, activation="gelu", eos=FEW - 1, dtype=torch.float16, shard="30KB")
    config = dict(
        embed_dim=24,
        quick_gelu=False,
        vision_cfg=dict(image_size=16, layers=1, width=32, head_width=8, patch_size=8, mlp_ratio=1.34),
        text_cfg=dict(context_length=12, vocab_size=FEW, width=32, heads=2, layers=1),
    )
    open_clip(out("open_clip"), config, dtype=torch.float16, pickle=True)
    openai(out("openai"), True, embed_dim=32, image_resolution=16, vision_layers=1, vision_width=64, vision_patch_size=8, context_length=12, vocab_size=FEW, transformer_width=64, transformer_heads=1, transformer_layers=1)
    # The same forms in the other files that they come in.
    small = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    text = dict(small, vocab_size=FEW, max_position_embeddings=12)
    hugging_face(out("hugging_face_bin"), dict(small, image_size=16, patch_size=8), text, 24, dtype=torch.float16, pickle=True)
    config = dict(
        embed_dim=16,
        quick_gelu=True,
        vision_cfg=dict(image_size=16, layers=2, width=16, head_width=8, patch_size=8),
        text_cfg=dict(context_length=12, vocab_size=FEW, width=16, heads=2, layers=2),
    )
    open_clip(out("open_clip_safetensors"), config)
    openai(out("openai_state"), False, embed_dim=16, image_resolution=16, vision_layers=1, vision_width=64, vision_patch_size=8, context_length=12, vocab_size=FEW, transformer_width=64, transformer_heads=1, transformer_layers=1)


def vit(width, layers, heads, patch, size=224):
    return dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads, image_size=size, patch_size=patch)


def text_sizes(width, layers, heads):
    return dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads)


def open_clip_sizes(name):
    import open_clip as library

    return json.loads((Path(library.__file__).parent / "model_configs" / f"{name}.json").read_text())


def openai_sizes(width, layers, patch, size, text_width, text_layers=12):
    return dict(
        embed_dim=text_width, image_resolution=size, vision_layers=layers, vision_width=width, vision_patch_size=patch,
        context_length=77, vocab_size=49408, transformer_width=text_width, transformer_heads=text_width // 64, transformer_layers=text_layers,
    )


# Each shape in each form that it is published in; storage forms (half precision, shards, pickles) are spread over them.
REAL = {
    "hf_b32": lambda f: hugging_face(f, vit(768, 12, 12, 32), text_sizes(512, 12, 8), 512),
    "hf_b32_bin_f16": lambda f: hugging_face(f, vit(768, 12, 12, 32), text_sizes(512, 12, 8), 512, dtype=torch.float16, pickle=True),
    "hf_b16_shards_f16": lambda f: hugging_face(f, vit(768, 12, 12, 16), text_sizes(512, 12, 8), 512, dtype=torch.float16, shard="100MB"),
    "hf_l14_bf16": lambda f: hugging_face(f, vit(1024, 24, 16, 14), text_sizes(768, 12, 12), 768, dtype=torch.bfloat16),
    "hf_l14_336": lambda f: hugging_face(f, vit(1024, 24, 16, 14, 336), text_sizes(768, 12, 12), 768),
    "openai_b32_script": lambda f: openai(f, True, **openai_sizes(768, 12, 32, 224, 512)),
    "openai_b16_state": lambda f: openai(f, False, **openai_sizes(768, 12, 16, 224, 512)),
    "openai_l14_script": lambda f: openai(f, True, **openai_sizes(1024, 24, 14, 224, 768)),
    "openai_l14_336_state": lambda f: openai(f, False, **openai_sizes(1024, 24, 14, 336, 768)),
    "open_clip_b32": lambda f: open_clip(f, open_clip_sizes("ViT-B-32")),
    "open_clip_b32_quickgelu_bin_f16": lambda f: open_clip(f, open_clip_sizes("ViT-B-32-quickgelu"), dtype=torch.float16, pickle=True),
    "open_clip_b16": lambda f: open_clip(f, open_clip_sizes("ViT-B-16")),
    "open_clip_l14": lambda f: open_clip(f, open_clip_sizes("ViT-L-14")),
    "open_clip_l14_336": lambda f: open_clip(f, open_clip_sizes("ViT-L-14-336")),
    "open_clip_h14": lambda f: open_clip(f, open_clip_sizes("ViT-H-14")),
    "open_clip_g14": lambda f: open_clip(f, open_clip_sizes("ViT-g-14")),
}


def fresh(parent, name):
    folder = parent / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if sys.argv[1:2] == ["--real"]:
    for name in sys.argv[3:] or REAL:
        REAL[name](fresh(Path(sys.argv[2]), name))
        print(name, flush=True)
else:
    tiny(lambda name: fresh(TINY, name))
