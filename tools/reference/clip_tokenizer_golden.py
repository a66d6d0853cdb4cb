"""Writes token ids of hard texts, and on demand of caption files, as clip-anytorch gives them.

    pip install clip-anytorch==2.6.0 ftfy==6.3.1 torch torchvision packaging
    python tools/reference/clip_tokenizer_golden.py                     # the committed fixture
    python tools/reference/clip_tokenizer_golden.py OUT.jsonl TEXT...   # captions, one a line

Of caption files, all lines that are not plain ASCII or hold `&` are taken, and 2,500 others of each.
"""

import json
import random
import sys
import types
from pathlib import Path

import ftfy
import packaging.version

# clip.py imports this module, which setuptools no longer has, for a version number.
sys.modules.setdefault("pkg_resources", types.SimpleNamespace(packaging=packaging))
from clip.simple_tokenizer import SimpleTokenizer  # noqa: E402

assert ftfy.__version__ == "6.3.1", ftfy.__version__
FIXTURE = Path(__file__).parents[2] / "crates/decap-encoder/tests/data/clip_tokenizer.jsonl"

HARD = [
    "", " ", "\n", "a", "A photo of a cat.", "a" * 3000, "ab" * 700, "!" * 500, "1234567890", "3.14 x 10^8",
    "it's he's they're I've I'm we'll he'd can't 'S 'Re", "don''t", "ſ'ſ 'ſ", "'LL", "rock'n'roll",
    "<|startoftext|>a<|endoftext|>", "<|STARTOFTEXT|>", "a <|endoftext|> b", "</w>", "a</w>b", "<b>bold</b>",
    "snake_case-with-dashes", "tab\there\r\nthere\x0b\x0cnow", "no\u00a0break", "thin\u2009and\u200ahair", "zero\u200bwidth",
    "\ufeffbom", "soft\u00adhyphen", "ideographic\u3000space", "\u2028line\u2029para\u0085next", "joined\u200dup\u200c",
    "&amp;", "&amp;amp;", "&amp;amp;amp;", "&lt;b&gt;", "&lt;b&gt; <i>", "fish &amp; chips < bread &amp; butter",
    "&amp and &ampx &notit; &not; &notin;", "&NTILDE; &nTILDE; &EACUTE;", "&#39;s &#x27;t &#34; &#8217;", "&#0; &#13; &#128; &#x80; &#129; &#xD800; &#1114112; &#99999999999999999999;",
    "&#1; &#11; &#xFDD0; &#xFFFE;", "&#;", "&#x;", "&;", "& &&&", "&a", "&abcdefghijklmnopqrstuvwxyzabcdefghijklmnop;",
    "&CounterClockwiseContourIntegral;", "&NotEqualTilde;", "&hellip;&mdash;&nbsp;&eacute;", "AT&T Q&A R&B;", "&amp;#39;", "caf&eacute; &ouml",
    "line one &amp;\nline < two &amp;\nline three &amp;", "5 &times 3", "&frac12 &frac12x",
    "caf\u00e9 cafe\u0301 CAF\u00c9", "\u00c5 \u212b A\u030a", "\uac00 \u1100\u1161", "\u0958", "\u1e9b\u0323", "\u0130stanbul I\u0307", "\u03a3\u0391\u03a3 \u03a3", "STRASSE stra\u00dfe \u1e9e",
    "\u201ccurly\u201d \u2018quotes\u2019 \u201alow\u201e \u00abguil\u00bb \u2039x\u203a \u02bcn \u0149", "\ufb01ve \ufb02ags \ufb03 \ufb04 \ufb05 \ufb06 \u0132ssel \u01c4 \u01c9 \u01f2",
    "\uff21\uff22\uff43 \uff11\uff12 \uff76\uff9e \uff01\uffe5 \uffe0", "\u2163 \u2460 \u00bd \u00b2 \u0663 \u0967 \u56db \u3007", "\u24d0\u24b6 \u2122\u00ae",
    "\U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 \u2764\ufe0f \U0001f44d\U0001f3fd", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea", "\u0e44\u0e17\u0e22", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0440\u0443\u0441\u0441\u043a\u0438\u0439", "\u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac",
    "\u0345 \u0300a", "a\u0300\u0345", "\x1b[36;44mblue\x1b[0m \x1b[m \x1b[;x \x1b", "nul\x00 bell\x07 del\x7f", "\u206a\ufff9\ufffcx", "\ufffd", "\u00a4\u00a6",
    # Text that was decoded by the wrong code page.
    "caf\u00c3\u00a9", "schÃ¶n", "Ã\xa0 la mode", "voilÃ  le travail", "Ã quele Ã s Ã  Ã", "donâ€™t", "â€œquoteâ€\x9d", "â€œ like this â€\ufffd", "â€” dash â€¦", "âœ” No problems", "Ã¢â‚¬â„¢", "ÃƒÂ©", "Ãƒâ€šÃ‚Â£",
    "L\u00e2\u0080\u0099h\u00c3\u00b4tel", "\u0092quote\u0093", "\u0080 \u0099s", "\u00e9\u0092", "\u20ac\u0092", "Â© 2012", "Â£5 Â 5", "a Â b", "Ã‰COLE", "â€¢ item â€¢ item", "Â½", "25 Â°C", "naÃ¯ve â€“ cafÃ© \u65e5",
    "â€˜embedâ€™ \u65e5\u672c", "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 Ð\xa0ÑƒÑ\x81Ñ\x81ÐºÐ¸Ð¹", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "РџСЂРёРІРµС‚", "Рў тест", "ÎµÎ»Î»Î·Î½Î¹ÎºÎ¬", "Î•Î»Î»Î·Î½", "‚Äôs ‚Äî ‚Äú√©", "caf√©", "≈ì √±", "ðŸ˜€", "ðŸ˜€ \u65e5", "í ½í¸\x80", "Ã\x80\x80 À\x80",
    "\u00ef\u00bb\u00bfbom", "Ã¼ber Ãœber", "NÃºmero nÂº 5", "FranÃ§ois & JosÃ©", "&Atilde;&copy;", "&acirc;&euro;&trade;", "ä½ å¥½", "ã\x81“ã‚“", "Ä\x8desky Å¡ Å¾", "Å‚Ã³dÅº", "ÅºÂ", "ĂŠ Ă© Ĺ‚", "ÃŸ", "\u00c3", "\u00c3 ", "x Ã ", "[ÂÃ] test", "×² ×³", "Øº Ø¹ Ø±Ø¨ÙŠ",
    "aÃ© bâ€™ cÂ dï¿½ e", "\u00e2\u20ac\u2122\u00e2\u20ac\u2122 <b> &amp;", "Ãa Ã£o", "PÃ©rez <3", "100Â€", "EURâ‚¬ \u20ac5", "kaomoji \u00af\\_(\u30c4)_/\u00af (\u00d2\u0434\u00d3\u05d2)", "ï½\x81", "ｶﾞ ﾊﾟ",
    "\u0153uvre \u0152 \u0153\u00e9", "Ö° È°", "l\u2019\u00c9t\u00e9 \u00ab\u00a0\u00e0\u00a0\u00bb", "Pok\u00e9mon\u2122\u00ae \u00a9", "\u00b5m \u03bcm", "\u00bfQu\u00e9? \u00a1S\u00ed!", "S\u00e3o Paulo \u00e0s 3", "na\u00efve r\u00e9sum\u00e9", "\u0141\u00f3d\u017a", "Ti\u1ebfng Vi\u1ec7t", "T\u00fcrk\u00e7e \u0131\u015f\u0131k",
]


def write(path, texts):
    tokenizer = SimpleTokenizer()
    with open(path, "w") as out:
        for text in texts:
            ids = tokenizer.encode(text)
            decoded = tokenizer.decode(ids)
            out.write(json.dumps({"text": text, "ids": ids, "decoded": decoded}, separators=(",", ":")) + "\n")


if len(sys.argv) == 1:
    write(FIXTURE, HARD)
else:
    random.seed(0)
    texts = []
    for name in sys.argv[2:]:
        lines = [line for line in Path(name).read_text().split("\n") if line.strip()]
        texts += [line for line in lines if not line.isascii() or "&" in line]
        plain = [line for line in lines if line.isascii() and "&" not in line]
        texts += random.sample(plain, min(2500, len(plain)))
    write(sys.argv[1], texts)
    print(len(texts), "texts")
