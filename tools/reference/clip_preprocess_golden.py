"""Writes what each library's own preprocessing makes of real photos, as hashes and samples.

    pip install torch==2.15.0 torchvision==0.29.2 transformers==5.23.0 open_clip_torch==3.3.0 clip-anytorch==2.6.0 pillow==13.0.0
    python tools/reference/clip_preprocess_golden.py SHARED/data/pairs   # crates/decap-encoder/tests/data/clip_preprocess.json

For each photo and library: the SHA-256 of the 8-bit square [size, size, 3] that the network's pixels
stand for, and 8 evenly spread values of the pixels [3, size, size]. The photos are the examples and
ten of each of five sets in SHARED, every one of them without an orientation mark. Prints, too, how
far transformers' processor on torchvision tensors is from its own on Pillow.
"""

import hashlib
import json
import os
import sys
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np  # noqa: E402
import packaging.version  # noqa: E402
from PIL import Image  # noqa: E402

sys.modules.setdefault("pkg_resources", types.SimpleNamespace(packaging=packaging))
from clip.clip import _transform  # noqa: E402
from open_clip.transform import PreprocessCfg, image_transform_v2  # noqa: E402
from transformers.models.clip.image_processing_clip import CLIPImageProcessor  # noqa: E402
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil  # noqa: E402

ROOT = Path(__file__).parents[2]
SETS = ["coco_2k", "flickr8k_part", "flickr30k_part", "imagenet1k_sample", "misc111"]
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
HALF = ([0.5] * 3, [0.5] * 3)
NONE = ([0.0] * 3, [1.0] * 3)


def torchvision(transform):
    return lambda photo: transform(photo).numpy()


def processor(call):
    return lambda photo: np.asarray(call(photo.convert("RGB"), return_tensors="np")["pixel_values"][0])


LIBRARIES = {
    "openai_224": (torchvision(_transform(224)), CLIP),
    "openai_336": (torchvision(_transform(336)), CLIP),
    "open_clip_224": (torchvision(image_transform_v2(PreprocessCfg(size=224), is_train=False)), CLIP),
    "hugging_face_224": (processor(CLIPImageProcessorPil()), CLIP),
    "siglip_224": (processor(SiglipImageProcessorPil(resample=3)), HALF),
    "siglip2_256": (processor(SiglipImageProcessorPil(resample=2, size={"height": 256, "width": 256})), HALF),
    "mobileclip_256": (torchvision(image_transform_v2(PreprocessCfg(size=256, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear"), is_train=False)), NONE),
}


def square_of(pixels, statistics):
    mean, std = (np.array(values, dtype=np.float64)[:, None, None] for values in statistics)
    exact = (pixels * std + mean) * 255
    square = np.round(exact)
    assert np.abs(exact - square).max() < 1e-2
    return square.astype(np.uint8).transpose(1, 2, 0)


def main(pairs):
    photos = [(f"examples/photos/{path.name}", path) for path in sorted((ROOT / "examples/photos").glob("*.webp"))]
    for name in SETS:
        folder = pairs / name / "images"
        files = sorted(folder.iterdir())
        chosen = files[:: len(files) // 10][:10]
        photos += [(f"{name}/images/{path.name}", path) for path in chosen]
    records = {}
    tensors = processor(CLIPImageProcessor())
    largest, differing, total, moved = 0, 0, 0, 0
    for name, path in photos:
        photo = Image.open(path)
        assert photo.getexif().get(0x0112, 1) == 1, name
        records[name] = {}
        for library, (preprocess, statistics) in LIBRARIES.items():
            pixels = preprocess(photo)
            square = np.ascontiguousarray(square_of(pixels, statistics))
            samples = pixels.reshape(-1)[:: pixels.size // 8][:8]
            records[name][library] = {"sha256": hashlib.sha256(square.tobytes()).hexdigest(), "samples": [float(np.float32(v)) for v in samples]}
        slow = square_of(LIBRARIES["hugging_face_224"][0](photo), CLIP).astype(int)
        fast = square_of(tensors(photo), CLIP).astype(int)
        difference = np.abs(slow - fast)
        if difference.max() > 3:
            moved += 1
            continue
        largest, differing, total = max(largest, difference.max()), differing + (difference > 0).sum(), total + difference.size
    (ROOT / "crates/decap-encoder/tests/data/clip_preprocess.json").write_text("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(record)}" for name, record in records.items()) + "\n}\n")
    print(f"{len(photos)} photos; transformers' torchvision processor: {moved} cropped elsewhere, else {differing / total:.4%} of samples differ, by at most {largest}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
