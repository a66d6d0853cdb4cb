"""Compare caption_metrics::PtbTokenizer with the reference's Java tokenizer, line by line.

    cargo build --release -p caption-metrics --example tokenize
    python tools/reference/metrics_tokenizer.py TOKENIZE --odd 60000 --seed 1
    python tools/reference/metrics_tokenizer.py TOKENIZE --files captions.txt refs.json ...

TOKENIZE is the built example (target/release/examples/tokenize). `--odd N` makes N odd strings.
Files are one caption a line, or JSON whose strings are captions. Exit code 1 on any difference.
Needs pycocoevalcap 1.2 and Java.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys

from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

# The reference starts a line at these and shifts all later captions; the crate reads spaces.
LINE_ENDS = str.maketrans({code: " " for code in "\n\r\x0b\x0c\u2028\u2029"})

WORDS = """a the man woman dog cat's dogs' it's don't can't won't shouldn't cannot gonna gotta wanna lemme
gimme 'tis 'twas o'clock O'Malley d'Avignon l'eau rock'n'roll y'all c'mon ma'am nor'easter they're we've I'll he'd
U.S. U.S U.K. a.m. p.m. A.M. e.g. i.e. etc. vs. Mr. Mrs. Dr. St. Jr. Sr. Inc. Co. Corp. Ltd. No. Nos. Fig. fig. pp.
Ph.D. M.D. J.R.R. Jan. Feb. Sept. Mon. Tues. Calif. Mass. Miss. Ariz. Bldg. Blvd. Dept. Prof. Gen. Lt. Mt. Ft. Ave.
I'm she's John's boys' rock-n-roll well-known mother-in-law state-of-the-art 3-D T-shirt t-shirt x-ray co-op
anti-aircraft pro-life twenty-one U.S.-based non-U.S. and/or he/she w/o 1/2 3/4 2 1/2 10-1/2 1-2 24/7
1 12 123 1,000 1,234,567.89 3.14 .5 5. -3 +4 1st 2nd 3rd 50th 1990s '90s 90's 10% $5 $5.99 US$5 £10 €20 ¥300 5¢ #1 #hash
10:30 10:30am 12:00pm 5pm 6' 5'11" 5ft 10lbs 100km/h 4x4 4X4 2x 1080p mp3 B-52 747 F-16 iPhone6 7-up AT&T R&B B&W Q&A
A&amp;B &amp; &lt; &gt; &quot; &apos; &nbsp; &mdash; &ndash; &eacute; caf&eacute; &#39; &#x27; &MD; &UR; <b> </b> <br/> <br>
<p class="x"> <a href='y'> <unk> <UNK> <s> </s> <3 >:( :) :-) :D ;-) =) ^_^ (-_-) <(*_*)> xD o.O >.< T_T
http://example.com https://example.org/a?b=c&d=e#f www.example.com example.com foo.bar.edu ftp://x.y a@b.com
first.last@mail.example.co.uk <a@b.com> @user @user_name #hashtag #HashTag123 #1 user@ @ # ## * ** *** _ __ ^ ~ | \\ / // \\/
(555) 123-4567 555-1234 +1-555-123-4567 555.123.4567 1-800-555-0199 192.168.0.1 12/25/2014 2014-12-25 12-25-14 1/2/03
( ) [ ] { } (a) [b] {c} -LRB- -RRB- -LSB- -lrb- `` '' ` ' " "" '"' "quoted" 'quoted' ``quoted'' `q' “quoted” ‘quoted’ ’s it’s
don’t ‘90s «x» ‹y› „z“ ‚w‘ . .. ... .... ..... . . . , , ,, ; : ! !! !? ?! ??? - -- --- ---- ----- – — ― … · • ° º ª
½ ¼ ¾ ⅓ ⅔ ⅛ 1½ ² ³ m² H₂O x⁻¹ © ® ™ § ¶ † ‡ × ÷ ± µ √ ∞ ≠ ≤ ← → ★ ☆ ♥ ♪ ✓ ␣ ＄ ￥ Ａ Ｂ １ ２ ！ 、 。 「x」 ・
café naïve Zürich façade Ærø Łódź İstanbul ISTANBUL ıi ſ ß ẞ ŒUVRE Ǆ ǆ Ελλάδα ΣΟΦΟΣ σοφός Москва москва العربية ٣٤ ۵ עברית ש"ס हिन्दी १२ ไทย
한국어 日本語 中文 にほんご カタカナ ツ ﬁ ﬂ K Å \u00ad so\u00adft \u00ad\u00ad zero\u200bwidth a\u200db \u200e \ufeff nb\u00a0sp em\u2003sp a\u3000b \u0300 e\u0301
😀 👍🏽 👨‍👩‍👧 🇺🇸 ❤️ 🐶dog dog🐶 \u0000 \u0001 \u0007 \u001b \u001c \u007f \u0080 \u0085 \u0091 \u0092 \u0093 \u0094 \u0096 \u0097 \u0099 \u009f \ue000 \ufffd \ufffe \tx\t
c++ C# F# .NET node.js file.txt a.b.html archive.tar.gz OK! Yahoo! Jeopardy! wow!!! what?! e.t.c. a.b.c.d. x.y. X. A. I. v. p. S&P-500 S&Ls Cap'n c'est ol' somethin' 'em 'til 'n' 'n rock 'n roll
Pty. Ltd. pty. ltd co. limited No. 5 fig. 3 Art. 12 ca. 1900 Prop. 8 Sen. Rep. Gov. Messrs. a.k.a. cf. Natl. Intl. Univ. Assn. Bros. Esq. Rev. Hon.
Canada-U.S. U.S.-U.K. U.S.S.R. EU-U.S. 1.5x 0.5 1e5 10^6 5e-3 a_b __init__ snake_case CamelCase ALLCAPS mIxEd x=y a==b a+b a*b \\* \\n 100% 5% % ‰ N° №5""".split()

PREFIXES = ["", "", "", "", "(", "[", "{", '"', "'", "`", "``", "“", "‘", "#", "@", "$", "-", "--", "<", "*", "&", "~", "_", "\u00ad"]
SUFFIXES = ["", "", "", "", ".", ",", "!", "?", ";", ":", ")", "]", "}", '"', "'", "''", "”", "’", "'s", "’s", "n't", "'ll", "...", "…", "-", "/", "%", ">", "*", "\u00ad", "s", "ed", "\u200b"]
JOINTS = [" ", " ", " ", " ", " ", " ", "", "  ", "-", "/", ".", ",", "'", "_", "\u00a0", "\t", "&", "&amp;", "\u2009", "–", "—", ":"]
ASCII = "".join(map(chr, range(0x20, 0x7F)))
ALPHABETS = [
    ASCII, "abAB.'- ", "aA1.,:-/ ", "'’`\"“”‘ nts", "<>=/ab'\" ", "&;#amplgtquo39x ", "@.ab-_com ", "htps:/w.a?=& ",
    "0123456789-/., ()+", ".?!… ", "U.S.A ", "aeioué\u00ad\u0301- ", "$£€¥¢#5. ", "(:;=-)DPO[]|^_<>*' ", "nNoO.0123 ",
]


def odd_string(choose):
    kind = choose.random()
    if kind < 0.45:
        words = [choose.choice(PREFIXES) + choose.choice(WORDS) + choose.choice(SUFFIXES) for _ in range(choose.randint(1, 9))]
        text = words[0]
        for word in words[1:]:
            text += choose.choice(JOINTS) + word
        return text
    if kind < 0.75:
        alphabet = choose.choice(ALPHABETS)
        return "".join(choose.choice(alphabet) for _ in range(choose.randint(0, 40)))
    if kind < 0.85:
        # Any characters of the basic plane, and words between them.
        pieces = [chr(choose.choice([choose.randrange(0x100), choose.randrange(0x800), choose.randrange(0xD800), choose.randrange(0xE000, 0x10000)])) if choose.random() < 0.7 else choose.choice(WORDS) for _ in range(choose.randint(1, 25))]
        return "".join(pieces)
    if kind < 0.9:
        return "".join(chr(choose.randrange(0x1F000, 0x1FAFF)) if choose.random() < 0.3 else choose.choice(ASCII) for _ in range(choose.randint(1, 20)))
    # A plain sentence with a few characters disturbed.
    text = list(" ".join(choose.choice(WORDS) for _ in range(choose.randint(3, 12))))
    for _ in range(choose.randint(1, 5)):
        place = choose.randrange(len(text))
        action = choose.random()
        if action < 0.3:
            text[place] = choose.choice(ASCII)
        elif action < 0.6:
            text.insert(place, choose.choice(ASCII + "’“”…–\u00a0\u00adé"))
        elif action < 0.8 and len(text) > 1:
            del text[place]
        else:
            text[place] = text[place].swapcase()
    return "".join(text)


def odd_strings(count, seed):
    choose = random.Random(seed)
    return [odd_string(choose) for _ in range(count)]


def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_of(item)


def captions_of(path):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")
    with opened as file:
        content = file.read()
    if ".json" in path:
        return list(strings_of(json.loads(content)))
    return content.split("\n")


def reference_tokens(captions):
    images = {index: [{"caption": caption.translate(LINE_ENDS)}] for index, caption in enumerate(captions)}
    tokens = PTBTokenizer().tokenize(images)
    return [tokens[index][0] for index in range(len(captions))]


def tokens_of(program, captions):
    output = subprocess.run([program], input=json.dumps(captions).encode(), stdout=subprocess.PIPE, check=True)
    return json.loads(output.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--odd", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", nargs="*", default=[])
    arguments = parser.parse_args()
    captions = odd_strings(arguments.odd, arguments.seed)
    for path in arguments.files:
        captions += captions_of(path)
    expected, found = reference_tokens(captions), tokens_of(arguments.program, captions)
    assert len(expected) == len(found) == len(captions)
    different = [index for index in range(len(captions)) if expected[index] != found[index]]
    for index in different[:40]:
        print(json.dumps([captions[index], "expected", expected[index], "got", found[index]], ensure_ascii=True))
    print(f"{len(different)} of {len(captions)} lines differ")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
