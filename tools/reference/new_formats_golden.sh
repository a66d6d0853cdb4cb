#!/usr/bin/env bash
# Writes the golden files of JPEG XL and AVIF from those of the older formats.
#
#   tools/reference/new_formats_golden.sh
#
# A lossless file has the pixels of the file that it was made from. Beside each lossy one lies what the
# reference decoder made of it, as PNG. Made with libjxl 0.7.0 and libavif 0.11.1 of Debian 12
# (packages libjxl-tools and libavif-bin).
set -euo pipefail
cd "$(dirname "$0")/../../crates/decap-media/tests/data"
media=$PWD/media
mkdir -p jxl avif

jxl() { cjxl --quiet "$media/$1" "jxl/$2" "${@:3}"; }
for name in rgb rgba grey grey_alpha grey16; do
    jxl "$name.png" "$name.jxl" -d 0
done
jxl rgb.png lossy.jxl -d 1
djxl --quiet jxl/lossy.jxl jxl/lossy.jxl.png
jxl rgba.png lossy_alpha.jxl -d 1
djxl --quiet jxl/lossy_alpha.jxl jxl/lossy_alpha.jxl.png
# Frames without a duration would be one.
python3 - "$media/animated.gif" >/tmp/animated.gif <<'PYTHON'
import sys
gif = open(sys.argv[1], "rb").read()
at = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
out = gif[:at]
while gif[at:at + 1] == b",":
    end = at + 10 + (3 * 2 ** ((gif[at + 9] & 7) + 1) if gif[at + 9] & 128 else 0) + 1
    while gif[end]:
        end += gif[end] + 1
    out += b"!\xf9\x04\0\x32\0\0\0" + gif[at:end + 1]
    at = end + 1
sys.stdout.buffer.write(out.replace(b"GIF87a", b"GIF89a") + gif[at:])
PYTHON
cjxl --quiet /tmp/animated.gif jxl/animated.jxl -d 0
rm /tmp/animated.gif
# The JPEG's own coefficients, and its orientation.
jxl orientation_6.jpg orientation_6.jxl
# Several groups of 256 x 256 pixels.
jxl photo.jpg photo.jxl -d 6 --lossless_jpeg=0
# Linear light: 0.2140 is half of the way from black to white in sRGB.
python3 - >/tmp/linear.pfm <<'PYTHON'
import struct, sys
sys.stdout.buffer.write(b"PF\n24 16\n-1.0\n" + struct.pack("<f", 0.2140) * (24 * 16 * 3))
PYTHON
cjxl --quiet /tmp/linear.pfm jxl/linear.jxl -d 0.1 -x color_space=RGB_D65_SRG_Rel_Lin
rm /tmp/linear.pfm

# NAME SOURCE OPTIONS...: the file, and what avifdec makes of it. Of 16 bits, because its conversion to 8
# bits is off by up to 12 for BT.709 of limited range.
avif() {
    avifenc "$media/$2" "avif/$1.avif" --speed 6 --jobs 1 "${@:3}" >/dev/null
    avifdec --upsampling bilinear --depth 16 --jobs 1 "avif/$1.avif" "avif/$1.avif.png" >/dev/null
}
avif lossless rgb.png --lossless
avif yuv444 rgb.png --yuv 444 --min 0 --max 10
avif yuv422 rgb.png --yuv 422 --min 0 --max 10
avif yuv420 rgb.png --yuv 420 --min 0 --max 10
avif grey grey.png --yuv 400 --min 0 --max 10
avif alpha rgba.png --yuv 444 --min 0 --max 10
avif premultiplied rgba.png --yuv 444 --min 0 --max 10 --premultiply
avif limited rgb.png --yuv 444 --range limited --min 0 --max 10
avif bt709_limited_420 rgb.png --yuv 420 --cicp 1/13/1 --range limited --min 0 --max 10
avif bt2020_10_bits rgb.png --depth 10 --yuv 420 --cicp 9/16/9 --min 0 --max 10
avif bits_12 rgb.png --depth 12 --yuv 444 --min 0 --max 10
avif ycgco rgb.png --yuv 444 --cicp 1/13/8 --min 0 --max 10
avif turned rgb.png --yuv 444 --irot 1 --min 0 --max 10
avif mirrored rgb.png --yuv 444 --imir 0 --min 0 --max 10
avif turned_mirrored rgb.png --yuv 444 --irot 3 --imir 1 --min 0 --max 10
# Two by one tiles of 200 x 300 pixels. Its pixels are compared with those of the photo.
avif grid photo.jpg --grid 2x1 --min 40 --max 50
rm avif/grid.avif.png
