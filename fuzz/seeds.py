#!/usr/bin/env python3
"""Writes the inputs that fuzzing starts from: `fuzz/seeds.py fuzz/corpus` makes fuzz/corpus/TARGET/NAME.

They are some of the project's test files, and small files made here: at most 20 a target, and 12 kB
each. It needs nothing but Python.
"""

import gzip
import io
import json
import struct
import sys
import tarfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES = ROOT / "crates"
MOST_BYTES = 12_000
PART_LINE = b"\n%%%%\n"


def main():
    folder = Path(sys.argv[1])
    for target, seeds in (
        ("photo", photos()),
        ("orientation", orientations()),
        ("video", videos()),
        ("caption_table", caption_tables()),
        ("caption_json", caption_json()),
        ("parquet", parquet()),
        ("description", descriptions()),
        ("metadata", metadata()),
        ("tokenizer", tokenizers()),
        ("onnx", onnx()),
        ("torch", torch()),
        ("checkpoint", checkpoints()),
        ("npy", arrays()),
        ("score", scores()),
        ("hub", hub()),
    ):
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, content in seeds:
            if len(content) <= MOST_BYTES:
                (folder / target / name).write_bytes(content)


def files(pattern):
    return [(path.name, path.read_bytes()) for path in sorted(CRATES.glob(pattern))]


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def photos():
    """One for each decoder, and for each way through our own."""
    chosen = (
        "media/alpha.webp media/animated.gif media/cmyk.jpg media/lossy.webp "
        "media/orientation_6.png media/palette.bmp media/palette_transparent.png "
        "media/progressive.jpg media/rgb420.jpg odd_photos/big_big.tif odd_photos/bilevel_packbits.tif "
        "odd_photos/cmyk_coarse_black.jpg odd_photos/deflate_fill_order_2.tif "
        "odd_photos/fax_g3_2d_msb2lsb.tif odd_photos/fax_g4_lsb2msb.tif odd_photos/grey12.tif "
        "odd_photos/predicted16.tif odd_photos/rgb_jpeg.tif odd_photos/tiled_planes.tif "
        "odd_photos/ycbcr_2x2.tif"
    )
    for name in chosen.split():
        path = CRATES / "decap-media/tests/data" / name
        yield path.name, path.read_bytes()


def metadata():
    """One for each container, and XMP in the forms that other programs write. The first byte chooses."""
    chosen = "grey.jpg orientation_6.jpg grey.png orientation_6.png lossless.webp orientation_6.webp rgb.tif"
    for way, name in enumerate(chosen.split()):
        content = (CRATES / "decap-media/tests/data/media" / name).read_bytes()
        yield name, b"%d" % (way % 5) + content
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    dc = "http://purl.org/dc/elements/1.1/"
    forms = {
        "attribute": "<rdf:Description rdf:about='' dc:description='mine'/>",
        "languages": "<rdf:Description rdf:about=''><dc:description><rdf:Alt><rdf:li xml:lang='x-default'>mine"
        "</rdf:li><rdf:li xml:lang='de'>meins</rdf:li></rdf:Alt></dc:description></rdf:Description>",
        "plain": "<rdf:Description rdf:about=''><dc:description>mi&#110;e</dc:description></rdf:Description>",
        "marked": "<rdf:Description rdf:about='' xmlns:decap='urn:decap:caption:1#' decap:run='1' decap:model='m' "
        "decap:descriptionHow='append' decap:descriptionFormer='mine' "
        "decap:descriptionDigest='0'><dc:description>mine</dc:description></rdf:Description>",
        "empty": "",
    }
    for way, (name, form) in enumerate(forms.items()):
        packet = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='{rdf}' xmlns:dc='{dc}'>{form}</rdf:RDF></x:xmpmeta>"
        yield f"{name}.xmp", bytes([ord("0") + 5 + way % 5]) + packet.encode()


def exif(order, tag, kind, count, value):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")
    return mark + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def orientations():
    little = exif("<", 274, 3, 1, struct.pack("<H", 6))
    big = exif(">", 274, 4, 1, struct.pack(">I", 8))
    real = exif("<", 274, 5, 1, struct.pack("<I", 26)) + struct.pack("<II", 6, 2)
    bigtiff = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<QHHQQ", 1, 274, 3, 1, 6)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    profile = b"\nexif\n      26\n" + (b"Exif\0\0" + little).hex().encode()
    yield "jpeg_exif_little", b"0" + little
    yield "jpeg_exif_big", b"0" + big
    yield "jpeg_exif_fraction", b"0" + real
    yield "jpeg_xmp", b"1" + xmp
    yield "png_exif", b"2" + little
    yield "png_exif_bigtiff", b"2" + bigtiff
    yield "png_profile", b"3" + profile
    yield "png_packed_profile", b"4" + zlib.compress(profile)
    yield "png_xmp", b"5" + b"\0\0\0\0" + xmp
    yield "png_packed_xmp", b"5" + b"\x01\0en\0x\0" + zlib.compress(xmp)


def videos():
    heads = {
        "mp4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
        "webm": b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x23\x42\x86\x81\x01\x42\x82\x84webm",
        "avi": b"RIFF\0\0\x10\0AVI LIST",
        "ts": (b"\x47" + bytes(187)) * 6,
        "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(8),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "hls": b"\xef\xbb\xbf \n#extm3u\n",
        "dash": b'<?xml version="1.0"?>\n<MPD xmlns="urn">',
    }
    for name, head in heads.items():
        yield name, (b"1" if name in ("ts", "hls", "dash") else b"0") + head
    yield "ffprobe", b"2" + b"".join(
        b"packet|stream_index=0|pts=%d|dts=%d|duration=512|flags=%s\n" % (at, at - 512, flags)
        for at, flags in ((0, b"K__"), (1024, b"___"), (512, b"_D_"), (1536, b"K__"))
    ) + (
        b"stream|index=0|width=64|height=48|time_base=1/12800|nb_frames=4|disposition:attached_pic=0\n"
        b"format|format_name=mov,mp4,m4a,3gp,3g2,mj2\n"
    )
    yield "ffprobe_refuses", b"2[hls @ 0x55] Format not on whitelist 'mov,mp4'\n[error] x\n"
    yield "ffmpeg_log", b"3" + (
        b"[Parsed_showinfo_1 @ 0x5] [info] config in time_base: 1/12800, frame_rate: 25/1\n"
        b"[Parsed_showinfo_1 @ 0x5] [info] n: 0 pts: 512 pts_time:0.04\n[h264 @ 0x6] [error] no frame!\n"
    )
    yield "ffmpeg_frames", b"3" + (b"P6\n8 8\n255\n" + bytes(range(192))) * 2


def caption_tables():
    yield "lines", b"0a dog runs\n\na cat sleeps\r\n"
    yield "tab", b"01.jpg\ta dog runs\n2.jpg\ta cat sleeps\n"
    yield "flickr", b"01.jpg#0\ta dog runs\n1.jpg#1\ta wet dog\n"
    yield "conceptual", b"2a dog runs\thttps://a.b/1.jpg\na cat\thttps://a.b/2.jpg\n"
    yield "header", b'1image,caption\n1.jpg,a dog runs\n1.jpg,"a ""dog"",\nwet"\n'
    yield "split", b"1image_id;split;caption1;caption2\n1;train;a dog;a wet dog\n2;val;a cat;\n"
    yield "bars", b"0image_name| comment_number| comment\n1.jpg| 0| a dog\n1.jpg| 1| a wet dog\n"
    yield "mark", b"0\xef\xbb\xbfa dog\n"
    yield "latin", b"0a dog\nna\xefve\n"
    yield "wide", b"0\xff\xfea\0 \0"
    for name, text in (("gzip", b"image,caption\n1.jpg,a dog\n"), ("gzip_lines", b"a dog\n" * 9)):
        yield name, b"3" + gzip.compress(text, mtime=0)


def caption_json():
    dog, cat = "a dog runs", "a cat sleeps"
    image = {"id": 1, "file_name": "1.jpg", "domain": "in-domain"}
    documents = {
        "list": [dog, cat],
        "records": [{"image_id": 7, "caption": dog}, {"image_id": 8, "captions": [cat, dog]}],
        "by_id": {"1.jpg": [dog, cat], "2.jpg": cat},
        "coco": {"images": [image], "annotations": [{"image_id": 1, "id": 1, "caption": dog}]},
        "karpathy": {
            "dataset": "coco",
            "images": [
                {"filename": "1.jpg", "split": "test", "sentences": [{"raw": dog, "tokens": []}]},
                {"filename": "2.jpg", "split": "restval", "sentences": [{"raw": cat}]},
            ],
        },
        "msrvtt": {
            "videos": [{"video_id": "video0", "split": "train"}],
            "sentences": [{"video_id": "video0", "sen_id": 0, "caption": dog}],
        },
        "vatex": [{"videoID": "v_000001_000011", "enCap": [dog], "chCap": ["x"]}],
        "activitynet": {"v_1": {"duration": 1.5, "timestamps": [[0, 1]], "sentences": [dog]}},
        "both": {"references": {"1": [dog]}, "predictions": [{"id": "1", "caption": cat}]},
        "error": [{"path": "1.jpg", "error": {"kind": "damaged", "message": "x"}}],
        "escapes": ["\u00e9 \ud83d\ude00 \\ \"", {"a": [[[[]]]]}],
    }
    for name, document in documents.items():
        yield name, b"0" + compact(document)
    yield "nan", b'0[{"image_id":1,"caption":"a dog","score":NaN}]'
    rows = [compact(row) for row in documents["records"]]
    yield "lines", b"1" + b"\n".join(rows)
    yield "text_lines", b"1" + b"\n".join((compact(dog), b"", compact(cat)))


def parquet():
    for name, content in files("caption-data/tests/data/*.parquet"):
        yield name, content[4:-4]


def safetensors(tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    header = compact(header)
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def floats(count):
    return struct.pack(f"<{count}f", *(index % 7 / 8 for index in range(count)))


def decoder():
    width, vocabulary, prefix, positions = 4, 5, 2, 6
    shapes = {
        "clip_project.model.0.weight": [width, prefix],
        "clip_project.model.0.bias": [width],
        "decoder.transformer.wte.weight": [vocabulary, width],
        "decoder.transformer.wpe.weight": [positions, width],
    }
    for name, extent in (
        ("h.0.ln_1", [width]),
        ("h.0.attn.c_attn", [width, 3 * width]),
        ("h.0.attn.c_proj", [width, width]),
        ("h.0.ln_2", [width]),
        ("h.0.mlp.c_fc", [width, 4 * width]),
        ("h.0.mlp.c_proj", [4 * width, width]),
        ("ln_f", [width]),
    ):
        shapes[f"decoder.transformer.{name}.weight"] = extent
        shapes[f"decoder.transformer.{name}.bias"] = extent[-1:]
    tensors = {}
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        tensors[name] = ("F32", shape, floats(count))
    config = {
        "vocabulary_size": vocabulary,
        "prefix_width": prefix,
        "width": width,
        "num_layers": 1,
        "num_heads": 2,
        "num_positions": positions,
        "layer_norm_epsilon": 1e-5,
        "activation": "gelu_new",
        "start_token": 3,
        "end_token": 4,
    }
    return config, safetensors(tensors)


def descriptions():
    tiny = ROOT / "models/tiny"
    yield "model", b"0" + (tiny / "model.json").read_bytes()
    yield "encoder", b"1" + (tiny / "encoder/encoder.json").read_bytes()
    config, weights = decoder()
    head = {"format": "decap-decoder", "format_version": 1, "config": config}
    yield "decoder", b"2" + compact({**head, "vocabulary": None}) + PART_LINE + weights
    info = {"encoder_fingerprint": "01", "encoder_name": "test", "source": "test"}
    for dtype, size in (("F32", 4), ("F16", 2), ("I8", 1)):
        rows = {"rows": (dtype, [2, 4], floats(8)[: 8 * size])}
        if dtype == "I8":
            rows["scales"] = ("F32", [2], floats(2))
        header = compact({"format_version": 1, "info": info, "captions_bytes": 12}).decode()
        memory = safetensors(rows, {"decap-memory": header})
        yield f"memory_{dtype.lower()}", b"3" + memory + PART_LINE + b"a dog\na cat\n"
    clip = "decap-encoder/tests/data/clip"
    for name, content in files(f"{clip}/hugging_face*/config.json")[:2]:
        yield f"clip_{len(content)}", b"4" + content
    for name, content in files(f"{clip}/open_clip*/open_clip_config.json"):
        yield f"open_clip_{len(content)}", b"4{}" + PART_LINE + content
    towers = [b"", b"x"]
    tokenizer = (CRATES / "decap-encoder/tests/data/onnx/tokenizer.json").read_bytes()
    for kind in ("siglip", "siglip2", "mobileclip"):
        folder = CRATES / "decap-encoder/tests/data/clip_onnx" / kind
        names = ("config.json", "tokenizer_config.json", "preprocessor_config.json")
        parts = [(folder / name).read_bytes() for name in names] + [tokenizer] + towers
        yield kind, b"5" + PART_LINE.join(parts)


def tokenizer(model, **parts):
    special = [
        {
            "id": index,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, content in enumerate(("<s>", "</s>", "<unk>"))
    ]
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
    }
    return compact({**whole, **parts, "model": model})


def tokenizers():
    words = ["<s>", "</s>", "<unk>"]
    ids = lambda more: {word: index for index, word in enumerate(words + more)}  # noqa: E731
    yield "word_level", (CRATES / "decap-encoder/tests/data/onnx/tokenizer.json").read_bytes()
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
    yield "word_piece", tokenizer(
        {
            "type": "WordPiece",
            "unk_token": "<unk>",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 9,
            "vocab": ids(["a", "dog", "##s", "run"]),
        },
        normalizer={**bert, "strip_accents": None, "lowercase": True},
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor={"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]},
        decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
        padding={
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": 8,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<s>",
        },
        truncation={
            "direction": "Right",
            "max_length": 4,
            "strategy": "LongestFirst",
            "stride": 0,
        },
    )
    pair = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": False}
    pair = {**pair, "continuing_subword_prefix": "", "byte_fallback": True, "ignore_merges": False}
    letters = ["a", "d", "o", "g", "do", "dog</w>", "g</w>", "a</w>"]
    split = {"type": "Split", "pattern": {"Regex": "'s|\\p{L}+|[^\\s]"}, "behavior": "Removed"}
    yield "pairs", tokenizer(
        {
            **pair,
            "end_of_word_suffix": "</w>",
            "vocab": ids(letters),
            "merges": [["d", "o"], ["do", "g</w>"]],
        },
        normalizer={
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            ],
        },
        pre_tokenizer={**split, "invert": True},
        decoder={"type": "BPEDecoder", "suffix": "</w>"},
    )
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    yield "bytes", tokenizer(
        {
            **pair,
            "end_of_word_suffix": "",
            "vocab": ids(["a", "d", "o", "g", "\u0120", "do", "\u0120do"]),
            "merges": ["d o", "\u0120 do"],
        },
        pre_tokenizer=level,
        post_processor=level,
        decoder=level,
    )
    pieces = [["<s>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["\u2581a", -1.5], ["\u2581", -2.0]]
    space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    yield "unigram", tokenizer(
        {"type": "Unigram", "unk_id": 2, "vocab": pieces + [["dog", -3]], "byte_fallback": False},
        normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="},
        pre_tokenizer=space,
        decoder={
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
    )


def onnx():
    data = "decap-encoder/tests/data/onnx"
    for name, kind in (("image.onnx", b"0"), ("text.onnx", b"1")):
        yield name, kind + (CRATES / data / name).read_bytes()


def torch():
    yield from files("torch-state-dict/tests/data/*.pt")


def checkpoints():
    _, weights = decoder()
    kinds = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1}
    mixed = {kind: (kind, [2, 1], bytes(2 * size)) for kind, size in kinds.items()}
    mixed["empty"] = ("F32", [0, 3], b"")
    for form, kind in (("tensors", b"0"), ("checkpoint", b"1")):
        yield f"{form}_mixed", kind + safetensors(mixed, {"format": "pt"})
        yield f"{form}_expected", kind + files("torch-state-dict/tests/data/expected.safetensors")[0][1]
    for name, content in torch():
        yield name, b"1" + content
    yield "decap", b"2" + weights


def arrays():
    def array(descr, shape, data, version=1):
        header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        length = struct.pack("<H" if version == 1 else "<I", len(header))
        return b"\x93NUMPY" + bytes([version, 0]) + length + header + data

    for descr, size in (("<f8", 8), ("<f4", 4), ("<f2", 2), ("|i1", 1)):
        yield f"{descr[1:]}", array(descr, "(2, 3)", bytes(range(6 * size)))
    yield "version_2", array("<f4", "(1,)", bytes(4), 2)
    yield "scalar", array("<f4", "()", bytes(4))


def scores():
    captions = (
        b"1\ta dog runs on the grass\tA dog runs on the grass.\tTwo dogs, running!\n"
        b"2\tdoesn't it cost $5.50?\tIt doesn't cost 1/2 (half).\n3\t\tna\xc3\xafve \xe2\x80\x9ccats\xe2\x80\x9d\n"
    )
    yield "captions", b"0" + captions
    yield "odd", b"0" + "1\t\ufffd\ufb01 1,000.5% a.m. <b> &amp; ... --\tU.S.A. o'clock 'tis\n".encode()
    yield "one", b"0x\ta\ta"
    frequencies = b"images 3\n2\ta\n1\ta dog\n1\ta dog runs on\n"
    yield "frequencies", b"1" + captions + PART_LINE + frequencies
    yield "packed", b"2" + captions + PART_LINE + gzip.compress(frequencies, mtime=0)

    def numbers(values):
        content = struct.pack(f"<{len(values)}I", *values)
        return struct.pack("<Q", len(content)) + content

    def table(words, lists):
        text = "".join(words).encode()
        ends, list_ends, flat = [], [], []
        for word, entries in zip(words, lists):
            ends.append((ends[-1] if ends else 0) + len(word))
            flat += entries
            list_ends.append(len(flat))
        sections = struct.pack("<Q", len(text)) + text
        return sections + numbers(ends) + numbers(list_ends) + numbers(flat)

    section = lambda content: struct.pack("<Q", len(content)) + content  # noqa: E731
    meteor = b"METEOR-1.5-en\0\0\x01" + section(b"a\nthe\n") + section(b"Dr\nNo #NUMERIC_ONLY#\n")
    meteor += table(["ran"], [[1]]) + table(["dog", "run"], [[0], [1]])
    meteor += table(["cat", "dog"], [[], []])
    meteor += numbers([1, 2]) + numbers([0, 1]) + numbers([1, 2]) + numbers([1, 0])
    yield "meteor", b"3" + captions + PART_LINE + meteor


def hub():
    commit = "0123456789abcdef0123456789abcdef01234567"
    encoder = (ROOT / "models/tiny/encoder/encoder.json").read_bytes()
    clip = (CRATES / "decap-encoder/tests/data/clip/hugging_face_shards/config.json").read_bytes()

    def listing(*names):
        return compact({"sha": commit, "siblings": [{"rfilename": name} for name in names]})

    yield "model", b"0" + listing("model.json", "encoder/encoder.json", "../x", "decoder.json")
    yield "encoder", b"0" + listing("encoder.json", "a.onnx") + PART_LINE + encoder
    index = compact({"metadata": {}, "weight_map": {"a": "model-1.safetensors"}})
    parts = [listing("config.json", "model.safetensors.index.json"), encoder, clip, index]
    yield "shards", b"0" + PART_LINE.join(parts)
    names = ("onnx/vision_model.onnx", "onnx/text_model.onnx", "onnx/text_model.onnx_data")
    yield "export", b"0" + listing(*names)
    yield "headers", (
        b'1owner/name@main\nx-linked-etag: W/"0123456789abcdef"\ncontent-length: 10\n'
        b"x-linked-size: 20\ncontent-range: bytes 100-199/200\n"
    )
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
            for name, content in (("model/model.json", b"{}"), ("model/" + "d/" * 60 + "a", b"b")):
                if form == tarfile.USTAR_FORMAT and len(name) > 100:
                    continue
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        yield f"tar_{form}", b"2" + packed.getvalue()[:-8192]


if __name__ == "__main__":
    main()
