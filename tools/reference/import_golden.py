"""Writes a DeCap checkpoint for the tiny CLIP of clip_golden.py, and the reference's captions with it.

    pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6 pillow==13.0.0
    python tools/reference/import_golden.py     # crates/decap-train/tests/data/import; after clip_golden.py

From end to end as inference_decap.ipynb: transformers' CLIP embeds captions and photos, a softmax at
1/100 projects each photo onto the captions, and GPT-2 decodes greedily, 30 tokens at most.
"""

import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import torch  # noqa: E402
from decoder_golden import seeded_model  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import CLIPModel, CLIPTokenizer  # noqa: E402
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402

DATA = Path(__file__).parents[2] / "crates/decap/tests/data"
SHAPE = dict(vocabulary_size=520, prefix_width=24, width=24, num_layers=2, num_heads=4, num_positions=40)
START, END, CONTEXT = 512, 513, 12
PHOTOS = ["photo.jpg", "rgb.png", "tall.png", "rgb444.jpg", "grey.jpg", "progressive.jpg"]
CAPTIONS = [f"{adjective} {thing}" for adjective in ("a", "an", "red", "old", "two") for thing in ("dog", "cat", "bus", "sea", "hat", "owl")]


@torch.no_grad()
def main():
    out = DATA / "import"
    out.mkdir(exist_ok=True)
    clip = CLIPModel.from_pretrained(DATA / "clip/hugging_face", dtype=torch.float32).eval()
    folder = DATA / "clip/hugging_face"
    vocabulary = json.loads((folder / "vocab.json").read_text())
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[])
    rows = []
    for caption in CAPTIONS:
        ids = tokenizer(caption, truncation=True, max_length=CONTEXT).input_ids
        assert ids[0] == START and ids[-1] == END
        pooled = clip.text_model(input_ids=torch.tensor([ids])).pooler_output
        rows.append(clip.text_projection(pooled)[0])
    memory = torch.nn.functional.normalize(torch.stack(rows), dim=-1)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 18}, crop_size={"height": 18, "width": 18})
    torch.manual_seed(5)
    model = seeded_model(SHAPE, 14.0).eval()
    # The prefix must be heard: photos differ little after the projection.
    model.clip_project.model[0].weight.mul_(20)
    torch.save(model.state_dict(), out / "decap.pt")
    expected = {}
    for name in PHOTOS:
        pixels = processor(Image.open(DATA / "media" / name).convert("RGB"), return_tensors="pt").pixel_values
        image = clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)
        image = torch.nn.functional.normalize(image, dim=-1)
        weights = (image @ memory.T / 0.01).softmax(dim=-1)
        prefix = torch.nn.functional.normalize(weights @ memory, dim=-1)
        embeddings, tokens = model.clip_project.model(prefix)[:, None], []
        for _ in range(30):
            logits = model.decoder(inputs_embeds=embeddings).logits[:, -1]
            token = logits.argmax(dim=-1)
            tokens.append(token.item())
            if tokens[-1] == END:
                break
            embeddings = torch.cat([embeddings, model.decoder.transformer.wte(token[:, None])], dim=1)
        expected[name] = {"tokens": tokens, "weights": weights[0].topk(3).values.tolist()}
    assert len({tuple(value["tokens"]) for value in expected.values()}) > 2, "photos must differ"
    (out / "captions.json").write_text(json.dumps(CAPTIONS) + "\n")
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for name, value in expected.items():
        print(name, value)


main()
