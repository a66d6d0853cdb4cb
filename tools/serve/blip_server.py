"""What many people run instead: BLIP-base of transformers behind a small server. Its weights are random, so that its captions
mean nothing; its time, memory and start are those of the real one.

    python blip_server.py PORT

POST / with a photo as the body answers {"caption": ...}. Every caption has as many tokens, 12, as people's have on average, and
greedy search with a cache, which is the fastest that transformers has.
"""

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import torch
from PIL import Image
from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

TOKENS = 12

torch.set_num_threads(2)
torch.manual_seed(0)
model = BlipForConditionalGeneration(BlipConfig()).eval()
processor = BlipImageProcessor(size={"height": 384, "width": 384})
assert sum(parameter.numel() for parameter in model.parameters()) > 200e6


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "ok"})

    def do_POST(self):
        photo = Image.open(io.BytesIO(self.rfile.read(int(self.headers["content-length"])))).convert("RGB")
        pixels = processor(photo, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            ids = model.generate(pixels, min_new_tokens=TOKENS, max_new_tokens=TOKENS, num_beams=1)
        self.answer({"caption": ids[0].tolist()})

    def answer(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
