"""A baseline JPEG encoder for any sampling factors, which no common program writes.

Only what the golden files of `odd_photos_golden.py` need: one quantiser for all coefficients, the
standard Huffman tables for all components.
"""

import struct

import numpy as np

ZIGZAG = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63]
DC_COUNTS = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
DC_VALUES = bytes(range(12))
AC_COUNTS = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125]
AC_VALUES = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728"
    "292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a83848586878889"
    "8a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2"
    "e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa")
END_OF_BLOCK, SIXTEEN_ZEROS = 0x00, 0xF0
COSINES = np.array([[np.sqrt((1 if k == 0 else 2) / 8) * np.cos((2 * n + 1) * k * np.pi / 16)
                     for n in range(8)] for k in range(8)])


def encode(components, factors, adobe_transform=None, interleaved=True, restart=0, quantiser=8):
    """`components`: arrays [height, width] of one size; `factors`: (across, down) of each."""
    height, width = components[0].shape
    across, down = max(f[0] for f in factors), max(f[1] for f in factors)
    units = -(-width // (8 * across)), -(-height // (8 * down))
    planes = [sampled(component, factor, (across, down), units)
              for component, factor in zip(components, factors)]
    parts = [b"\xff\xd8"]
    if adobe_transform is not None:
        parts.append(segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([adobe_transform])))
    parts.append(segment(0xDB, bytes([0] + [quantiser] * 64)))
    frame = b"".join(bytes([number, f[0] * 16 + f[1], 0])
                     for number, f in enumerate(factors, start=1))
    parts.append(segment(0xC0, struct.pack(">BHHB", 8, height, width, len(factors)) + frame))
    parts.append(segment(0xC4, bytes([0x00] + DC_COUNTS) + DC_VALUES))
    parts.append(segment(0xC4, bytes([0x10] + AC_COUNTS) + AC_VALUES))
    if restart:
        parts.append(segment(0xDD, struct.pack(">H", restart)))
    numbers = range(len(factors))
    for scan in [list(numbers)] if interleaved else [[number] for number in numbers]:
        header = bytes([len(scan)]) + b"".join(bytes([number + 1, 0]) for number in scan)
        parts.append(segment(0xDA, header + bytes([0, 63, 0])))
        parts.append(scan_data(planes, factors, scan, (width, height), (across, down), restart))
    return b"".join(parts) + b"\xff\xd9"


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def sampled(component, factor, largest, units):
    """The component at its own resolution, on whole units: the nearest sample of each place."""
    height, width = component.shape
    places = [((np.arange(units[axis] * factor[axis] * 8) + 0.5) * largest[axis] / factor[axis])
              .astype(int) for axis in (0, 1)]
    return component[np.minimum(places[1], height - 1)][:, np.minimum(places[0], width - 1)]


def scan_data(planes, factors, scan, size, largest, restart):
    """The blocks in a scan's order: by units where components are interleaved, else by rows."""
    if len(scan) > 1:
        units = [-(-size[axis] // (8 * largest[axis])) for axis in (0, 1)]
        blocks = [[(number, y * factors[number][1] + j, x * factors[number][0] + i)
                   for number in scan
                   for j in range(factors[number][1]) for i in range(factors[number][0])]
                  for y in range(units[1]) for x in range(units[0])]
    else:
        own = [-(-(-(-size[axis] * factors[scan[0]][axis] // largest[axis])) // 8)
               for axis in (0, 1)]
        blocks = [[(scan[0], y, x)] for y in range(own[1]) for x in range(own[0])]
    bits, predictions = Bits(), [0] * len(planes)
    for index, unit in enumerate(blocks):
        if restart and index and index % restart == 0:
            bits.restart((index // restart - 1) % 8)
            predictions = [0] * len(planes)
        for number, y, x in unit:
            block = planes[number][y * 8:y * 8 + 8, x * 8:x * 8 + 8]
            predictions[number] = bits.block(block, predictions[number])
    return bits.finish()


def codes(counts, values):
    """Huffman codes by value: (code, bits)."""
    table, code, used = {}, 0, 0
    for bits, count in enumerate(counts, start=1):
        for value in values[used:used + count]:
            table[value] = (code, bits)
            code += 1
        used += count
        code <<= 1
    return table


class Bits:
    dc, ac = codes(DC_COUNTS, DC_VALUES), codes(AC_COUNTS, AC_VALUES)
    quantiser = 8

    def __init__(self):
        self.data, self.pending, self.count = bytearray(), 0, 0

    def put(self, value, bits):
        self.pending = self.pending << bits | value & ((1 << bits) - 1)
        self.count += bits
        while self.count >= 8:
            self.count -= 8
            byte = self.pending >> self.count & 0xFF
            self.data += bytes([byte, 0] if byte == 0xFF else [byte])

    def number(self, table, run, value):
        """A code that says how many bits follow, then those bits."""
        bits = abs(value).bit_length()
        self.put(*table[run << 4 | bits])
        if bits:
            self.put(value if value >= 0 else value - 1, bits)

    def block(self, pixels, prediction):
        coefficients = COSINES @ (pixels - 128.0) @ COSINES.T / self.quantiser
        ordered = [int(round(coefficients.flat[place])) for place in ZIGZAG]
        self.number(self.dc, 0, ordered[0] - prediction)
        last = max((place for place in range(64) if ordered[place]), default=0)
        run = 0
        for value in ordered[1:last + 1]:
            if value == 0:
                run += 1
                continue
            while run > 15:
                self.put(*self.ac[SIXTEEN_ZEROS])
                run -= 16
            self.number(self.ac, run, value)
            run = 0
        if last < 63:
            self.put(*self.ac[END_OF_BLOCK])
        return ordered[0]

    def restart(self, number):
        self.finish()
        self.data += bytes([0xFF, 0xD0 + number])

    def finish(self):
        if self.count:
            self.put((1 << 8) - 1, 8 - self.count)
        return bytes(self.data)
