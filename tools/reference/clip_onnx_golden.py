"""Writes SigLIP, SigLIP2 and MobileCLIP as their ONNX exports lie on the Hub, and what the libraries make of them.

    pip install torch==2.15.0 transformers==5.23.0 open_clip_torch==3.3.0 timm==1.0.31 onnx==1.23.2 \
        sentencepiece==0.2.3 protobuf tokenizers==0.23.3 torchvision==0.29.2 pillow==13.0.0
    python tools/reference/clip_onnx_golden.py                       # the committed tiny ones
    python tools/reference/clip_onnx_golden.py --real OUT [NAME...]  # real shapes, for DECAP_GOLDEN=OUT/..

The layout is that of the repositories of `onnx-community` and `Xenova`: `onnx/vision_model.onnx`,
`onnx/text_model.onnx`, `config.json`, `preprocessor_config.json`, `tokenizer.json` and
`tokenizer_config.json`; weights are random and seeded. The graphs come from PyTorch's TorchScript
exporter, as Optimum's did. `expected.safetensors` holds, from PyTorch: `ids` [texts, context] and
`text` [texts, width] of `sentences.json`; `photo` [1, width] of tests/data/media/photo.jpg, which the
library's own preprocessing brought to `pixels` [1, 3, size, size].
"""

import json
import os
import shutil
import string
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

warnings.filterwarnings("ignore")
# Its fused kernel has no ONNX form.
torch.backends.mha.set_fastpath_enabled(False)
DATA = Path(__file__).parents[2] / "crates/decap/tests/data"
TINY = DATA / "clip_onnx"
PHOTO = DATA / "media/photo.jpg"
SENTENCES = [
    "A man rides a brown horse, slowly.",
    "two dogs   on a red sofa!",
    "An Owl in the snow",
    "a",
    "caf\u00e9 \u2014 \u4e00\u4e2a men\u2019s hats (1) on the table & the chairs; the cat's in a box by the door of a house in a town",
]
CORPUS = [line for line in SENTENCES for _ in range(3)] + [
    f"a {adjective} {thing} {verb} in the {place} with two men and the dogs"
    for adjective in ("red", "brown", "small", "old")
    for thing in ("horse", "house", "cat", "table")
    for verb in ("sits", "stands", "rides", "runs")
    for place in ("snow", "street", "room", "field")
]


def randomise(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in list(model.named_parameters()) + list(model.named_buffers()):
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith("running_var"):
                value.copy_(1 + 0.1 * noise.abs())
            elif value.ndim >= 2 and "embedding" in name:
                value.copy_(0.3 * noise)
            elif value.ndim >= 2 and "gamma" not in name and "scale" not in name:
                value.copy_(0.8 * noise / value[0].numel() ** 0.5)
            elif name.endswith(("bias", "running_mean")) or "class_embedding" in name:
                value.copy_(0.1 * noise)
            else:
                value.copy_((1 + 0.1 * noise) if value.ndim < 2 else 0.3 + 0.05 * noise)
    return model.eval()


class Tower(torch.nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.inner = forward[0]
        self.call = forward[1]

    def forward(self, value):
        return self.call(self.inner, value)


def export(model, call, example, path, inputs, outputs, axes):
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad():
        torch.onnx.export(
            Tower((model, call)), (example,), str(path), input_names=inputs, output_names=outputs,
            dynamic_axes=axes, opset_version=14, dynamo=False,
        )


def write(folder, ids, text, pixels, photo, config, processor, tokenizer_config):
    for name, value in [("config", config), ("preprocessor_config", processor), ("tokenizer_config", tokenizer_config), ("sentences", SENTENCES)]:
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    tensors = {"ids": ids, "text": text, "pixels": pixels, "photo": photo}
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, folder / "expected.safetensors")
    (folder / "expected.safetensors").chmod(0o644)


def sentencepiece_tokenizer(folder, size):
    """A model like that of SigLIP's 32,000 pieces, and its `tokenizer.json` as the Hub's exports carry it."""
    import sentencepiece
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers.models.siglip.tokenization_siglip import SiglipTokenizer

    with tempfile.TemporaryDirectory() as scratch:
        prefix = f"{scratch}/spiece"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([line.lower().translate(str.maketrans("", "", string.punctuation)) for line in CORPUS]),
            model_prefix=prefix, vocab_size=size, character_coverage=0.995, hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", minloglevel=2,
        )
        slow = SiglipTokenizer(f"{prefix}.model")
        pieces = slow.sp_model
        vocabulary = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(pieces.get_piece_size())]
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(Path(f"{prefix}.model").read_bytes())
        charsmap = proto.normalizer_spec.precompiled_charsmap
    fast = Tokenizer(models.Unigram(vocabulary, unk_id=2, byte_fallback=False))
    fast.normalizer = normalizers.Sequence([
        normalizers.Lowercase(),
        normalizers.Replace(Regex("[" + "".join("\\" + c for c in string.punctuation) + "]"), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
        normalizers.Precompiled(charsmap),
        normalizers.Replace(Regex(" {2,}"), " "),
    ])
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    fast.add_special_tokens(["</s>", "<unk>"])
    fast.save(str(folder / "tokenizer.json"))
    tokenizer_config = {"do_lower_case": True, "eos_token": "</s>", "model_max_length": 64, "pad_token": "</s>", "tokenizer_class": "SiglipTokenizer", "unk_token": "<unk>"}
    return slow, len(vocabulary), tokenizer_config


def gemma_tokenizer(folder, size):
    """Like Gemma's of 256,000 tokens. It keeps capitals: lower case is what `do_lower_case` asks for."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

    fast = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Replace(" ", "\u2581")
    fast.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    fast.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    fast.train_from_iterator(CORPUS + [line.lower() for line in CORPUS], trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False))
    file = json.loads(fast.to_str())
    # The bytes are plain tokens of the vocabulary, as in the real one.
    file["added_tokens"] = [token for token in file["added_tokens"] if not token["content"].startswith("<0x")]
    fast = Tokenizer.from_str(json.dumps(file))
    fast.post_processor = processors.TemplateProcessing(single="$A <eos>", pair="$A <eos> $B <eos>", special_tokens=[("<eos>", 1)])
    fast.save(str(folder / "tokenizer.json"))
    tokenizer_config = {
        "add_bos_token": False, "add_eos_token": True, "bos_token": "<bos>", "do_lower_case": True, "eos_token": "<eos>", "model_max_length": 64,
        "pad_token": "<pad>", "padding_side": "right", "tokenizer_class": "GemmaTokenizer", "unk_token": "<unk>",
    }
    slow = Siglip2Tokenizer(vocab=file["model"]["vocab"], merges=[tuple(merge) for merge in file["model"]["merges"]], padding_side="right")
    # The class itself adds no end; the Hub's post-processor does.
    slow._tokenizer.post_processor = fast.post_processor
    return slow, fast.get_vocab_size(), tokenizer_config


def siglip(folder, tokenizer_of, resample, vision, text, width_of_vocabulary, context=64):
    from transformers import SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer, vocabulary, tokenizer_config = tokenizer_of(folder, width_of_vocabulary)
    vocabulary = max(vocabulary, width_of_vocabulary)
    width = vision["hidden_size"]
    text = dict(text, vocab_size=vocabulary, max_position_embeddings=context, projection_size=width)
    config = SiglipConfig(text_config=text, vision_config=vision)
    config._attn_implementation = "eager"
    model = randomise(SiglipModel(config))
    size = config.vision_config.image_size
    processor = {
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor", "image_std": [0.5, 0.5, 0.5], "processor_class": "SiglipProcessor",
        "resample": resample, "rescale_factor": 1 / 255, "size": {"height": size, "width": size},
    }
    own = SiglipImageProcessorPil(size=processor["size"], resample=resample)
    pixels = own(Image.open(PHOTO).convert("RGB"), return_tensors="pt").pixel_values
    ids = tokenizer(SENTENCES, padding="max_length", truncation=True, max_length=context, return_tensors="pt").input_ids
    with torch.no_grad():
        photo = model.vision_model(pixel_values=pixels).pooler_output
        texts = model.text_model(input_ids=ids).pooler_output
    outputs = ["last_hidden_state", "pooler_output"]
    both = lambda inner, value: (lambda out: (out.last_hidden_state, out.pooler_output))(inner(value))  # noqa: E731
    export(model.vision_model, both, pixels, folder / "onnx/vision_model.onnx", ["pixel_values"], outputs,
           {"pixel_values": {0: "batch_size"}, "last_hidden_state": {0: "batch_size"}, "pooler_output": {0: "batch_size"}})
    export(model.text_model, both, ids, folder / "onnx/text_model.onnx", ["input_ids"], outputs,
           {"input_ids": {0: "batch_size", 1: "sequence_length"}, "last_hidden_state": {0: "batch_size", 1: "sequence_length"}, "pooler_output": {0: "batch_size"}})
    # The Hub's config.json says only what differs from the defaults.
    described = {
        "architectures": ["SiglipModel"], "model_type": "siglip",
        "text_config": {"model_type": "siglip_text_model", "vocab_size": vocabulary},
        "vision_config": {"model_type": "siglip_vision_model", "image_size": size, "patch_size": vision["patch_size"]},
    }
    write(folder, ids, texts, pixels, photo, described, processor, tokenizer_config)


def clip_tokenizer(folder, real):
    from transformers import CLIPTokenizer

    if real:
        import gzip

        import open_clip.tokenizer as library

        merges = gzip.open(library.default_bpe()).read().decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
        merges = [tuple(merge.split()) for merge in merges]
    else:
        merges = [("t", "h"), ("th", "e</w>"), ("i", "n</w>"), ("o", "n</w>"), ("h", "or"), ("o", "r"), ("s", "e</w>")]
    from open_clip.tokenizer import bytes_to_unicode

    symbols = list(bytes_to_unicode().values())
    tokens = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(merge) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, pad_token="!")
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer, len(tokens)


def mobile_clip(folder, trunk, size, width, text, real=False):
    """OpenCLIP's MobileCLIP: a FastViT of timm and a text tower that sees all 77 positions."""
    from open_clip.model import CLIPTextCfg, _build_text_tower

    tokenizer, vocabulary = clip_tokenizer(folder, real)
    context = text["context_length"]
    config = CLIPTextCfg(vocab_size=vocabulary, no_causal_mask=True, **text)
    model = torch.nn.ModuleDict({"visual": trunk, "text": _build_text_tower(width, config, quick_gelu=False)})
    model = randomise(model)
    processor = {
        "crop_size": {"height": size, "width": size}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": False, "do_rescale": True,
        "do_resize": True, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0], "image_processor_type": "CLIPFeatureExtractor",
        "resample": 2, "rescale_factor": 1 / 255, "size": {"shortest_edge": size},
    }
    from open_clip.transform import PreprocessCfg, image_transform_v2

    own = image_transform_v2(PreprocessCfg(size=size, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear"), is_train=False)
    pixels = own(Image.open(PHOTO))[None]
    ids = tokenizer(SENTENCES, padding="max_length", truncation=True, max_length=context, return_tensors="pt").input_ids
    with torch.no_grad():
        photo, texts = model["visual"](pixels), model["text"](ids)
    one = lambda inner, value: inner(value)  # noqa: E731
    export(model["visual"], one, pixels, folder / "onnx/vision_model.onnx", ["pixel_values"], ["image_embeds"], {"pixel_values": {0: "batch_size"}, "image_embeds": {0: "batch_size"}})
    export(model["text"], one, ids, folder / "onnx/text_model.onnx", ["input_ids"], ["text_embeds"], {"input_ids": {0: "batch_size"}, "text_embeds": {0: "batch_size"}})
    described = {"architectures": ["CLIPModel"], "model_type": "clip", "text_config": {"max_position_embeddings": context}}
    tokenizer_config = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "model_max_length": context, "pad_token": "!", "tokenizer_class": "CLIPTokenizer", "unk_token": "<|endoftext|>"}
    write(folder, ids, texts, pixels, photo, described, processor, tokenizer_config)


def tiny_fast_vit(width):
    from timm.models.fastvit import FastVit, RepConditionalPosEnc

    return FastVit(
        layers=(1, 1, 1, 1), embed_dims=(8, 8, 16, 32), mlp_ratios=(1, 1, 1, 1), se_downsamples=(False, False, True, True), token_mixers=("repmixer",) * 3 + ("attention",),
        pos_embs=(None, None, None, partial(RepConditionalPosEnc, spatial_shape=(7, 7))), lkc_use_act=True, num_classes=width,
    )


SMALL = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
TINY_CASES = {
    "siglip": lambda f: siglip(f, sentencepiece_tokenizer, 3, dict(SMALL, image_size=24, patch_size=8), SMALL, 150),
    "siglip2": lambda f: siglip(f, gemma_tokenizer, 2, dict(SMALL, image_size=24, patch_size=8), SMALL, 420),
    "mobileclip": lambda f: mobile_clip(f, tiny_fast_vit(24), 64, 24, dict(context_length=16, width=32, heads=2, layers=1, mlp_ratio=1.0)),
}
BASE = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)


def fast_vit(name, width):
    import timm

    return timm.create_model(name, num_classes=width)


REAL_CASES = {
    "siglip_base_patch16_224": lambda f: siglip(f, sentencepiece_tokenizer, 3, dict(BASE, image_size=224, patch_size=16), BASE, 32000),
    "siglip2_base_patch16_224": lambda f: siglip(f, gemma_tokenizer, 2, dict(BASE, image_size=224, patch_size=16), BASE, 64000),
    "mobileclip_s1": lambda f: mobile_clip(f, fast_vit("fastvit_mci1", 512), 256, 512, dict(context_length=77, width=512, heads=8, layers=12), real=True),
}


def fresh(parent, name):
    folder = parent / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    real = sys.argv[1:2] == ["--real"]
    cases, parent = (REAL_CASES, Path(sys.argv[2])) if real else (TINY_CASES, TINY)
    for name in sys.argv[3:] or cases:
        cases[name](fresh(parent, name))
        print(name, flush=True)
