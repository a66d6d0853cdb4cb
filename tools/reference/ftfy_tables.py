"""Writes the character tables and patterns of ftfy 6.3.1 for crates/decap-encoder/src/tokenizer/clip.

    pip install ftfy==6.3.1
    python tools/reference/ftfy_tables.py

ftfy is Copyright Robyn Speer, Apache License 2.0.
"""

import html
import re
from pathlib import Path

import ftfy
from ftfy import badness, chardata, fixes

assert ftfy.__version__ == "6.3.1", ftfy.__version__
parser = re._parser
OUT = Path(__file__).parents[2] / "crates/decap-encoder/src/tokenizer/clip"

# Python's str.isspace() and \w; the Rust regex crate means other characters by \s and \w.
SPACE = r"\t-\r\x1c-\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
WORD = r"\p{L}\p{N}_"


def char(code, binary):
    if chr(code).isascii() and chr(code).isalnum():
        return chr(code)
    return f"\\x{code:02X}" if binary else f"\\x{{{code:X}}}"


def emit(tree, binary):
    """A parsed Python pattern in the syntax of the Rust regex crate."""
    out = ""
    for op, arg in tree:
        name = str(op)
        if name == "LITERAL":
            out += char(arg, binary)
        elif name == "NOT_LITERAL":
            out += f"[^{char(arg, binary)}]"
        elif name == "ANY":
            out += r"[^\n]"
        elif name == "IN":
            body = ""
            for kind, value in arg:
                kind = str(kind)
                if kind == "LITERAL":
                    body += char(value, binary)
                elif kind == "RANGE":
                    body += f"{char(value[0], binary)}-{char(value[1], binary)}"
                elif kind == "NEGATE":
                    body += "^"
                elif kind == "CATEGORY":
                    body += {"CATEGORY_SPACE": SPACE, "CATEGORY_WORD": WORD}[str(value)]
                else:
                    raise ValueError(kind)
            out += f"[{body}]"
        elif name == "BRANCH":
            out += "(?:" + "|".join(emit(branch, binary) for branch in arg[1]) + ")"
        elif name == "SUBPATTERN":
            out += "(?:" + emit(arg[3], binary) + ")"
        elif name == "MAX_REPEAT":
            low, high, body = arg
            text = "(?:" + emit(body, binary) + ")"
            out += text + {(0, 1): "?", (1, parser.MAXREPEAT): "+"}.get((low, high), f"{{{low},{high}}}")
        elif name == "AT":
            out += {"AT_BEGINNING": r"\A"}[str(arg)]
        elif name == "ASSERT_NOT":
            raise ValueError("look-around must be ported by hand")
        else:
            raise ValueError(name)
    return out


def pattern(compiled, binary=False, skip=0):
    tree = parser.parse(compiled.pattern, compiled.flags)
    prefix = "(?-u)" if binary else ""
    return prefix + emit(list(tree)[skip:], binary)


def rust_string(text):
    return "".join(f"\\u{{{ord(c):x}}}" if not c.isascii() or not c.isprintable() or c in '"\\' else c for c in text)


def wrap(text, raw):
    """A Rust string literal over several lines."""
    if raw:
        return f'r"{text}"'
    return f'"{text}"'


lines = [
    "//! Tables and patterns of ftfy 6.3.1 (Copyright Robyn Speer, Apache License 2.0).",
    "//!",
    "//! Written by `tools/reference/ftfy_tables.py`; do not edit.",
    "",
    "/// Likely traces of text decoded by the wrong code page: `ftfy.badness.BADNESS_RE`.",
    f"pub(super) const BADNESS: &str = {wrap(pattern(badness.BADNESS_RE), True)};",
    "",
    "/// `ftfy.chardata.UTF8_DETECTOR_RE` without its look-behind on [`UTF8_CONTINUATION_STRICT`].",
    f"pub(super) const UTF8_DETECTOR: &str = {wrap(pattern(chardata.UTF8_DETECTOR_RE, skip=1), True)};",
    "",
]
strict = re.compile("[" + chardata.UTF8_CLUES["utf8_continuation_strict"] + "]")
lines += [
    "/// The characters before which no embedded sequence may begin.",
    f"pub(super) const UTF8_CONTINUATION_STRICT: &str = {wrap(pattern(strict), True)};",
    "",
    "/// `ftfy.chardata.ALTERED_UTF8_RE`, on bytes.",
    f"pub(super) const ALTERED_UTF8: &str = {wrap(pattern(chardata.ALTERED_UTF8_RE, binary=True), True)};",
    "",
    "/// `ftfy.chardata.LOSSY_UTF8_RE`, on bytes.",
    f"pub(super) const LOSSY_UTF8: &str = {wrap(pattern(chardata.LOSSY_UTF8_RE, binary=True), True)};",
    "",
    "/// Name and the characters of bytes 0x80 to 0xff of each code page, in the order they are tried.",
    f"pub(super) const CODE_PAGES: [(&str, &str); {len(chardata.CHARMAP_ENCODINGS)}] = [",
]
for encoding in chardata.CHARMAP_ENCODINGS:
    table = bytes(range(0x80, 0x100)).decode(encoding)
    assert len(table) == 128
    lines.append(f'    ("{encoding}", "{rust_string(table)}"),')
lines += ["];", "", "/// `ftfy.chardata.LIGATURES`.", f"pub(super) const LIGATURES: [(char, &str); {len(chardata.LIGATURES)}] = ["]
for code, text in chardata.LIGATURES.items():
    lines.append(f"    ('\\u{{{code:x}}}', \"{rust_string(text)}\"),")
lines += [
    "];",
    "",
    "/// Python's `html._invalid_charrefs`: what browsers make of these character references.",
    f"pub(super) const INVALID_CHARREFS: [(u32, char); {len(html._invalid_charrefs)}] = [",
]
for code, text in sorted(html._invalid_charrefs.items()):
    lines.append(f"    (0x{code:02x}, '\\u{{{ord(text):x}}}'),")
lines += ["];", ""]
(OUT / "ftfy_tables.rs").write_text("\n".join(lines))

assert html._invalid_codepoints == (
    {*range(0x1, 0x9), *range(0xE, 0x20), *range(0x7F, 0xA0), *range(0xFDD0, 0xFDF0), 0xB}
    | {plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)}
)
