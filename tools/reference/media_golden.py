"""Writes the golden files of decoding and preprocessing.

    python media_golden.py committed --photo PHOTO --out crates/decap-media/tests/data/media
    python media_golden.py photos --photos FOLDER [FOLDER ...] --out $DECAP_GOLDEN/media

`committed` makes small pictures of every supported kind and what Pillow decodes from them.
`photos` picks 20 photos of different shapes and stores what Pillow, torchvision and transformers
make of each under several recipes; the test reads it where DECAP_GOLDEN names the folder above.

Made with pillow 13.0.0, torchvision 0.29.2, transformers 5.23.0, safetensors 0.8.0, numpy 2.4.6.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

MAX_VALUE = 255


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    committed = commands.add_parser("committed")
    committed.add_argument("--photo", type=Path, required=True)
    committed.add_argument("--out", type=Path, required=True)
    committed.set_defaults(run=write_committed)
    photos = commands.add_parser("photos")
    photos.add_argument("--photos", type=Path, nargs="+", required=True)
    photos.add_argument("--out", type=Path, required=True)
    photos.set_defaults(run=write_photos)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.run(arguments)


def write_committed(arguments):
    expected = {}
    for name, image, options, rgb in pictures():
        path = arguments.out / name
        image.save(path, **options)
        expected[name] = rgb(path) if callable(rgb) else rgb
    turn_into_ycck(arguments.out / "cmyk.jpg", arguments.out / "ycck.jpg")
    expected["ycck.jpg"] = pillow_rgb(arguments.out / "ycck.jpg")
    with Image.open(arguments.photo) as photo:
        photo.convert("RGB").save(arguments.out / "photo.jpg", quality=80)
    for recipe in RECIPES:
        for name in ("photo.jpg", "rgb.png", "tall.png"):
            path = arguments.out / name
            expected[f"{name}/{recipe}"] = RECIPES[recipe](pillow_image(path))
    expected["photo.jpg/clip_32_normalised"] = clip_normalised(arguments.out / "photo.jpg", 32)
    save_file({name: np.ascontiguousarray(value) for name, value in expected.items()},
              arguments.out / "expected.safetensors")


def pictures():
    """(file name, picture, how to save it, expected RGB or a function of the path)."""
    rgb = smooth(24, 16)
    alpha = np.linspace(0, MAX_VALUE, 24 * 16).reshape(16, 24, 1).astype(np.uint8)
    rgba = np.concatenate([rgb, alpha], axis=2)
    grey = rgb[:, :, 1]
    sixteen = (rgb.astype(np.uint16) << 8) | np.arange(24, dtype=np.uint16)[None, :, None] * 10
    image = Image.fromarray

    yield "rgb.png", image(rgb), {}, pillow_rgb
    yield "tall.png", image(smooth(7, 90)), {}, pillow_rgb
    yield "rgba.png", image(rgba), {}, pillow_rgb
    yield "grey.png", image(grey), {}, pillow_rgb
    yield "grey_alpha.png", image(rgba[:, :, 2:]), {}, pillow_rgb
    yield "palette.png", image(rgb).quantize(16), {}, pillow_rgb
    yield "palette_transparent.png", image(rgb).quantize(16), {"transparency": 3}, pillow_rgb
    yield "bilevel.png", image(grey).convert("1"), {}, pillow_rgb
    # Pillow clips grey 16-bit samples at 255; the high byte is what is wanted.
    yield "grey16.png", image(sixteen[:, :, 1]), {}, np.repeat(grey[:, :, None], 3, axis=2)
    yield "grey16.tif", image(sixteen[:, :, 1]), {}, np.repeat(grey[:, :, None], 3, axis=2)
    yield "lossless.webp", image(rgb), {"lossless": True}, pillow_rgb
    yield "alpha.webp", image(rgba), {"lossless": True, "exact": True}, pillow_rgb
    yield "lossy.webp", image(rgb), {"quality": 90}, pillow_rgb
    frames = {"save_all": True, "append_images": [image(255 - rgb)]}
    yield "animated.webp", image(rgb), {**frames, "lossless": True}, pillow_rgb
    yield "animated.gif", image(rgb).quantize(32), frames, pillow_rgb
    yield "transparent.gif", image(rgb).quantize(16), {"transparency": 2}, pillow_rgb
    yield "rgb.bmp", image(rgb), {}, pillow_rgb
    yield "palette.bmp", image(rgb).quantize(16), {}, pillow_rgb
    yield "rgb.tif", image(rgb), {"compression": "tiff_lzw"}, pillow_rgb
    yield "rgba.tif", image(rgba), {"compression": "tiff_deflate"}, pillow_rgb
    yield "rgb444.jpg", image(rgb), {"quality": 92, "subsampling": 0}, pillow_rgb
    yield "rgb420.jpg", image(rgb), {"quality": 92, "subsampling": 2}, pillow_rgb
    yield "rgb422.jpg", image(rgb), {"quality": 92, "subsampling": 1}, pillow_rgb
    yield "progressive.jpg", image(rgb), {"quality": 92, "progressive": True}, pillow_rgb
    yield "grey.jpg", image(grey), {"quality": 92}, pillow_rgb
    yield "cmyk.jpg", image(rgb).convert("CMYK"), {"quality": 92}, pillow_rgb
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield (f"orientation_{orientation}.jpg", image(rgb),
               {"quality": 92, "subsampling": 0, "exif": exif}, pillow_rgb)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "orientation_6.png", image(rgb), {"exif": exif}, pillow_rgb
    yield "orientation_6.webp", image(rgb), {"lossless": True, "exif": exif}, pillow_rgb
    yield "orientation_6.tif", image(rgb), {"tiffinfo": {0x0112: 6}}, pillow_rgb


def smooth(width, height):
    """Different gradients in the three channels, so that every mix-up shows."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    channels = [x, y, (np.sin(5 * x + 3 * y) + 1) / 2]
    return np.round(np.stack(channels, axis=2) * MAX_VALUE).astype(np.uint8)


def turn_into_ycck(cmyk, ycck):
    """Pillow writes no YCCK: the same samples with the Adobe marker saying that they are YCCK."""
    data = bytearray(cmyk.read_bytes())
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    ycck.write_bytes(data)


def pillow_rgb(path):
    return np.array(pillow_image(path))


def pillow_image(path):
    """Upright, transparency on white, RGB."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")


def torchvision_crop(edge, size, resample):
    def recipe(image):
        from torchvision import transforms

        interpolation = {Image.BICUBIC: transforms.InterpolationMode.BICUBIC,
                         Image.BILINEAR: transforms.InterpolationMode.BILINEAR}[resample]
        chain = transforms.Compose([transforms.Resize(edge, interpolation),
                                    transforms.CenterCrop(size)])
        return np.array(chain(image))

    return recipe


def clip_normalised(path, size):
    """[3, size, size], f32, as `_transform` of OpenAI's clip.py."""
    from torchvision import transforms

    chain = transforms.Compose([
        transforms.Resize(size, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize((0.48145466, 0.4578275, 0.40821073),
                             (0.26862954, 0.26130258, 0.27577711)),
    ])
    return chain(pillow_image(path)).numpy()


def hugging_face_crop(edge, size):
    def recipe(image):
        from transformers.models.clip import CLIPImageProcessorPil

        processor = CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size=size,
                                          do_rescale=False, do_normalize=False)
        pixels = np.asarray(processor(image)["pixel_values"][0])
        return pixels.transpose(1, 2, 0).astype(np.uint8)

    return recipe


def squash(size):
    return lambda image: np.array(image.resize((size, size), Image.BICUBIC))


def letterbox_top_left(size, fill):
    """As YOLOX's `preproc`, with Pillow's filter in place of OpenCV's."""
    def recipe(image):
        ratio = min(size / image.width, size / image.height)
        resized = image.resize((int(image.width * ratio), int(image.height * ratio)),
                               Image.BILINEAR)
        square = Image.new("RGB", (size, size), (fill, fill, fill))
        square.paste(resized, (0, 0))
        return np.array(square)

    return recipe


def letterbox_centre(size, fill):
    def recipe(image):
        from open_clip.transform import CenterCropOrPad, ResizeKeepRatio
        from torchvision.transforms import InterpolationMode

        resized = ResizeKeepRatio(size, longest=1.0,
                                  interpolation=InterpolationMode.BICUBIC)(image)
        return np.array(CenterCropOrPad(size, fill=fill)(resized))

    return recipe


# Names are those of the recipes in crates/decap/tests/media.rs; values [size, size, 3], u8.
RECIPES = {
    "clip_32": torchvision_crop(32, 32, Image.BICUBIC),
    "hugging_face_36_31": hugging_face_crop(36, 31),
    "bilinear_40_31": torchvision_crop(40, 31, Image.BILINEAR),
    "squash_48": squash(48),
    "letterbox_top_left_40": letterbox_top_left(40, 114),
    "letterbox_centre_40": letterbox_centre(40, 0),
}
PHOTO_RECIPES = {
    "clip_224": torchvision_crop(224, 224, Image.BICUBIC),
    "hugging_face_224": hugging_face_crop(224, 224),
    "bilinear_297_260": torchvision_crop(297, 260, Image.BILINEAR),
    "squash_384": squash(384),
    "letterbox_top_left_416": letterbox_top_left(416, 114),
    "letterbox_centre_256": letterbox_centre(256, 0),
}


def write_photos(arguments):
    chosen = choose_photos([path for folder in arguments.photos for path in folder.iterdir()])
    huge = arguments.out / "huge.jpg"
    with Image.open(chosen[0]) as photo:
        # The data holds no huge photo: a real one, enlarged to that of a telephone's camera.
        photo.convert("RGB").resize((4032, 3024), Image.BICUBIC).save(huge, quality=90)
    chosen[0] = huge
    expected = {}
    for index, path in enumerate(chosen):
        image = pillow_image(path)
        # The same pixels for both sides, so that resizing is compared apart from decoding.
        image.save(arguments.out / f"{index:02}.png")
        for recipe in PHOTO_RECIPES:
            expected[f"{index:02}/{recipe}"] = np.ascontiguousarray(PHOTO_RECIPES[recipe](image))
    save_file(expected, arguments.out / "expected.safetensors")
    listing = {f"{index:02}": str(path.resolve()) for index, path in enumerate(chosen)}
    (arguments.out / "photos.json").write_text(json.dumps(listing, indent=1))


def choose_photos(paths):
    """Twenty: landscapes, portraits, the smallest, the largest, the longest and the tallest."""
    shapes = []
    for path in sorted(paths):
        with Image.open(path) as image:
            shapes.append((path, image.width, image.height))
    by_area = sorted(shapes, key=lambda shape: shape[1] * shape[2])
    by_ratio = sorted(shapes, key=lambda shape: shape[1] / shape[2])
    spread = [by_ratio[len(by_ratio) * part // 10] for part in range(10)]
    picked = by_area[-4:] + by_area[:4] + by_ratio[:3] + by_ratio[-3:] + spread + by_area[4:10]
    return list(dict.fromkeys(path for path, _, _ in picked))[:20]


if __name__ == "__main__":
    main()
