"""Writes small photos of rare kinds and the pixels that Pillow makes of them.

    python odd_photos_golden.py --out crates/decap-media/tests/data/odd_photos

JPEGs of odd sampling factors and TIFFs of many layouts. Where Pillow does not read a file (float
samples of 16 bits, BigTIFF in big-endian order, 32-bit colour), or reads it otherwise than is wanted
(grey of more than 8 bits, floats from 0 to 1), the pixels that went into it are expected.

Made with pillow 13.0.0, numpy 2.4.6, safetensors 0.8.0 and tiffcp of libtiff 4.5.0.
"""

import argparse
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

import odd_jpeg
import odd_tiff as t
from media_golden import pillow_rgb

WIDTH, HEIGHT = 37, 29


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, data, rgb in [*jpegs(), *tiffs(), *faxes(), *pillow_tiffs()]:
        path = arguments.out / name
        path.write_bytes(data)
        # All faxes are of one page.
        key = "fax" if name.startswith("fax_") else name
        expected[key] = np.ascontiguousarray(pillow_rgb(path) if rgb is None else rgb)
    save_file(expected, arguments.out / "expected.safetensors")


def jpegs():
    """(name, bytes, expected pixels or None for Pillow's)."""
    components = waves(4)
    three = {
        "chroma_2x2": [(1, 1), (2, 2), (2, 2)], "chroma_2x1": [(1, 1), (2, 1), (2, 1)],
        "chroma_1x2": [(1, 1), (1, 2), (1, 2)], "chroma_4x1": [(1, 1), (4, 1), (4, 1)],
        "chroma_across_luma_down": [(1, 2), (2, 1), (2, 1)],
        "chroma_down_luma_across": [(2, 1), (1, 2), (1, 2)],
        "red_finer": [(1, 1), (1, 1), (2, 2)], "blue_finer": [(2, 1), (2, 2), (1, 1)],
        "all_differ": [(2, 2), (1, 2), (2, 1)], "luma_3x1": [(3, 1), (1, 1), (1, 1)],
        "all_2x2": [(2, 2), (2, 2), (2, 2)], "chroma_1x3": [(1, 1), (1, 3), (1, 3)],
    }
    for name, factors in three.items():
        interleaved = sum(across * down for across, down in factors) <= 10
        yield f"{name}.jpg", odd_jpeg.encode(components[:3], factors, interleaved=interleaved), None
    yield ("separate_scans.jpg",
           odd_jpeg.encode(components[:3], [(1, 1), (4, 2), (2, 4)], interleaved=False, restart=3),
           None)
    for name, transform in (("cmyk", 0), ("ycck", 2)):
        for kind, factors in {"finer": [(1, 1), (2, 2), (2, 2), (1, 1)],
                              "coarse_black": [(2, 2), (1, 1), (1, 1), (1, 1)],
                              "down": [(1, 2), (1, 1), (1, 1), (1, 2)]}.items():
            yield (f"{name}_{kind}.jpg",
                   odd_jpeg.encode(components, factors, adobe_transform=transform), None)


def tiffs():
    rgb = np.stack(waves(3), axis=2).astype(np.uint8)
    grey, alpha = rgb[:, :, 0], waves(4)[3].astype(np.uint8)
    repeated = np.repeat(grey[:, :, None], 3, axis=2)
    rgba = np.dstack([rgb, alpha])
    multiplied = np.dstack([(rgb.astype(int) * alpha[:, :, None] // 255).astype(np.uint8), alpha])
    wide = rgb.astype(np.uint16) * 257

    def layout(bits, samples, photometric, compression=1, **tags):
        tags = {getattr(t, name): value for name, value in tags.items()}
        return t.layout(WIDTH, HEIGHT, bits, samples, photometric, compression, tags=tags)

    for bits in (1, 2, 4):
        packed = t.packed_bits(grey >> (8 - bits), bits)
        yield f"grey{bits}.tif", t.tiff([packed], layout(bits, 1, 1)), None
        yield f"grey{bits}_white_is_zero.tif", t.tiff([packed], layout(bits, 1, 0), ">"), None
        yield (f"grey{bits}_fill_order_2.tif",
               t.tiff([t.reversed_bits(packed)], layout(bits, 1, 1, FILL_ORDER=("H", 2))), None)
        colours = np.random.default_rng(bits).integers(0, 1 << 16, 3 << bits).tolist()
        yield (f"palette{bits}.tif",
               t.tiff([packed], layout(bits, 1, 3, COLOR_MAP=("H", *colours))), None)
    fill_order = {"FILL_ORDER": ("H", 2)}
    yield ("deflate_fill_order_2.tif",
           t.tiff([t.reversed_bits(zlib.compress(grey.tobytes()))], layout(8, 1, 1, 8, **fill_order)),
           None)
    for extra, samples in ((0, rgba), (1, multiplied), (2, rgba)):
        tags = {"EXTRA_SAMPLES": ("H", extra)}
        yield f"rgb_extra{extra}.tif", t.tiff([samples.tobytes()], layout(8, 4, 2, **tags)), None
        two = samples[:, :, [0, 3]]
        if extra != 1:  # Pillow makes no RGB of premultiplied grey
            yield f"grey_extra{extra}.tif", t.tiff([two.tobytes()], layout(8, 2, 1, **tags)), None
    planes = {"PLANAR": ("H", 2)}
    tiles = {"TILE_WIDTH": ("H", 16), "TILE_LENGTH": ("H", 16)}
    yield "tiles.tif", t.tiff(tiled(rgb), layout(8, 3, 2, **tiles)), None
    planar_tiles = [tile for channel in range(3) for tile in tiled(rgb[:, :, channel])]
    yield "tiled_planes.tif", t.tiff(planar_tiles, layout(8, 3, 2, **tiles, **planes)), None
    planar = [rgb[:, :, channel].tobytes() for channel in range(3)]
    yield "planes.tif", t.tiff(planar, layout(8, 3, 2, **planes), ">"), None
    yield "big_little.tif", t.tiff([rgb.tobytes()], layout(8, 3, 2), "<", True), None
    yield "big_big.tif", t.tiff([rgb.tobytes()], layout(8, 3, 2), ">", True), rgb
    cmyk = np.dstack([255 - rgb, alpha // 2])
    yield "cmyk.tif", t.tiff([cmyk.tobytes()], layout(8, 4, 5)), None
    yield "grey12.tif", t.tiff([t.packed_bits(grey.astype(int) * 16 + 9, 12)], layout(12, 1, 1)), repeated
    for order, name in (("<", "little"), (">", "big")):
        yield (f"rgb16_{name}.tif",
               t.tiff([wide.astype(order + "u2").tobytes()], layout(16, 3, 2), order), None)
        uints = (rgb.astype(np.uint32) << 24 | 0x7F7F7F).astype(order + "u4")
        yield f"uint32_{name}.tif", t.tiff([uints.tobytes()], layout(32, 3, 2), order), rgb
        for bits in (16, 32, 64):
            floats = {"SAMPLE_FORMAT": ("H", 3, 3, 3)}
            unit = (rgb / 255).astype(f"{order}f{bits // 8}")
            yield (f"float{bits}_{name}.tif",
                   t.tiff([unit.tobytes()], layout(bits, 3, 2, **floats), order), rgb)
    floats = {"SAMPLE_FORMAT": ("H", 3)}
    bytes_as_floats = grey.astype("<f4").tobytes()
    yield "float32_to_255.tif", t.tiff([bytes_as_floats], layout(32, 1, 1, **floats)), None
    differences = np.concatenate([wide[:, :1], wide[:, 1:] - wide[:, :-1]], axis=1)
    yield ("predicted16.tif",
           t.tiff([zlib.compress(differences.astype(">u2").tobytes())],
                  layout(16, 3, 2, 8, PREDICTOR=("H", 2)), ">"), None)
    yield ("float_predicted.tif",
           t.tiff([zlib.compress(float_predicted((rgb / 255).astype(">f4")))],
                  layout(32, 3, 2, 8, PREDICTOR=("H", 3), SAMPLE_FORMAT=("H", 3, 3, 3))), rgb)
    colours = np.array(Image.fromarray(rgb).convert("YCbCr"))
    for across, down in ((1, 1), (2, 1), (2, 2), (4, 4)):
        blocks = zlib.compress(subsampled(colours, across, down))
        yield (f"ycbcr_{across}x{down}.tif",
               t.tiff([blocks], layout(8, 3, 6, 8, SUBSAMPLING=("H", across, down))), None)


def tiled(image):
    """Tiles of 16 by 16, padded with zeros."""
    tiles = []
    for top in range(0, HEIGHT, 16):
        for left in range(0, WIDTH, 16):
            part = image[top:top + 16, left:left + 16]
            tile = np.zeros((16, 16, *image.shape[2:]), image.dtype)
            tile[:part.shape[0], :part.shape[1]] = part
            tiles.append(tile.tobytes())
    return tiles


def float_predicted(floats):
    """Each row: the highest bytes of all samples, then the next; as differences three apart."""
    rows = b""
    for row in floats:
        planes = np.frombuffer(row.tobytes(), np.uint8).reshape(-1, 4).T.reshape(-1)
        rows += np.concatenate([planes[:3], planes[3:] - planes[:-3]]).tobytes()
    return rows


def subsampled(ycbcr, across, down):
    """Blocks of brightnesses, each followed by one pair of colours; edges repeat."""
    data = b""
    for top in range(0, HEIGHT, down):
        for left in range(0, WIDTH, across):
            block = [ycbcr[min(top + y, HEIGHT - 1), min(left + x, WIDTH - 1), 0]
                     for y in range(down) for x in range(across)]
            data += bytes([*block, *ycbcr[top, left, 1:]])
    return data


def faxes():
    """All kinds of fax compression that libtiff writes, of a page with short and long runs."""
    if shutil.which("tiffcp") is None:
        raise SystemExit("expected tiffcp (Debian: libtiff-tools), found none")
    random = np.random.default_rng(7).random((8, 83))
    dots = Image.fromarray(((random < np.linspace(0, 1, 83)) * 255).astype(np.uint8))
    page = dots.resize((83 * 31, 8), Image.NEAREST)
    page.paste(dots, (0, 0))
    page.paste(dots, (1700, 0))
    kinds = {"g3": "g3:1d", "g3_2d": "g3:2d", "g3_fill": "g3:2d:fill", "g4": "g4"}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "page.tif", Path(folder) / "fax.tif"
        page.convert("1").save(source)
        for name, compression in kinds.items():
            for fill_order in ("msb2lsb", "lsb2msb"):
                subprocess.run(["tiffcp", "-c", compression, "-f", fill_order, "-r", "3",
                                source, target], check=True)
                yield f"fax_{name}_{fill_order}.tif", target.read_bytes(), None


def pillow_tiffs():
    rgb = np.stack(waves(3), axis=2).astype(np.uint8)
    image, alpha = Image.fromarray(rgb), Image.fromarray(waves(4)[3].astype(np.uint8))
    images = {"rgb": image, "grey": image.convert("L"), "cmyk": image.convert("CMYK"),
              "grey_alpha": Image.merge("LA", (image.convert("L"), alpha)),
              "palette": image.quantize(20), "bilevel": image.convert("1")}
    saved = [("rgb", "tiff_lzw"), ("rgb", "packbits"), ("rgb", "jpeg"), ("grey", "jpeg"),
             ("cmyk", "jpeg"), ("grey_alpha", "tiff_lzw"), ("palette", "tiff_adobe_deflate"),
             ("bilevel", "tiff_ccitt"), ("bilevel", "packbits")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved.tif"
        for kind, compression in saved:
            images[kind].save(path, compression=compression)
            yield f"{kind}_{compression}.tif", path.read_bytes(), None


def waves(count):
    """Smooth but different components [height, width] of 0 to 255."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    return [np.round(128 + 70 * np.sin(x / (5 + 3 * k) + k) + 50 * np.cos(y / (6 + 2 * k)))
            for k in range(count)]


if __name__ == "__main__":
    main()
