"""A TIFF writer for any tags, in both byte orders, BigTIFF or not."""

import struct

TYPES = {"B": 1, "H": 3, "I": 4, "R": 5}

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS, STRIP_COUNTS = 266, 273, 274, 277, 278, 279
PLANAR, COLOR_MAP, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 284, 320, 322, 323, 324, 325
PREDICTOR, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING = 317, 338, 339, 530


def tiff(chunks, tags, order="<", is_big=False):
    """`chunks`: strips, or tiles where `tags` has TILE_WIDTH. `tags`: number -> (type, values...)."""
    header_bytes, word = (16, "Q") if is_big else (8, "I")
    is_tiled = TILE_WIDTH in tags
    body, offsets = b"", []
    for chunk in chunks:
        offsets.append(header_bytes + len(body))
        body += chunk + b"\0" * (len(chunk) % 2)
    entries = dict(tags)
    entries[TILE_OFFSETS if is_tiled else STRIP_OFFSETS] = ("I", *offsets)
    entries[TILE_COUNTS if is_tiled else STRIP_COUNTS] = ("I", *map(len, chunks))
    start = header_bytes + len(body)
    count_bytes, entry_bytes, inline = (8, 20, 8) if is_big else (2, 12, 4)
    values_at = start + count_bytes + entry_bytes * len(entries) + inline
    directory, values = struct.pack(order + ("Q" if is_big else "H"), len(entries)), b""
    for tag, (kind, *numbers) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        directory += struct.pack(f"{order}HH{word}", tag, TYPES[kind], len(numbers))
        if len(packed) <= inline:
            directory += packed.ljust(inline, b"\0")
        else:
            directory += struct.pack(order + word, values_at + len(values))
            values += packed + b"\0" * (len(packed) % 2)
    mark = b"II" if order == "<" else b"MM"
    head = (struct.pack(order + "HHHQ", 43, 8, 0, start) if is_big
            else struct.pack(order + "HI", 42, start))
    return mark + head + body + directory + b"\0" * inline + values


def layout(width, height, bits, samples, photometric, compression=1, **more):
    """The tags that every TIFF has."""
    tags = {WIDTH: ("H", width), HEIGHT: ("H", height), BITS: ("H", *[bits] * samples),
            COMPRESSION: ("H", compression), PHOTOMETRIC: ("H", photometric),
            SAMPLES: ("H", samples), ROWS: ("H", height)}
    return tags | more.get("tags", {})


def packed_bits(rows, bits):
    """`rows` of numbers, the highest bit first, each row on whole bytes."""
    data = b""
    for row in rows:
        number = 0
        for value in row:
            number = number << bits | int(value)
        used = len(row) * bits
        data += (number << -used % 8).to_bytes(-(-used // 8), "big")
    return data


def reversed_bits(data):
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
