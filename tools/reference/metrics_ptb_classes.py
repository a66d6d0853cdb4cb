"""Write crates/caption-metrics/src/ptb/classes.txt: which characters the reference tokenizer
cannot tell apart.

The tokenizer (stanford-corenlp-3.4.1.jar of pycocoevalcap 1.2) knows the letters, digits and
symbols of the Unicode version it was built with. They are facts about characters, read from
the jar by reflection; rerun only if the reference changes.

    python tools/reference/metrics_ptb_classes.py > crates/caption-metrics/src/ptb/classes.txt
"""

import os
import subprocess
import sys
import tempfile

import pycocoevalcap.tokenizer.ptbtokenizer as reference

DUMP = """
import java.lang.reflect.Field;
public class Dump {
  public static void main(String[] args) throws Exception {
    Field field = Class.forName("edu.stanford.nlp.process.PTBLexer").getDeclaredField("ZZ_CMAP");
    field.setAccessible(true);
    for (char group : (char[]) field.get(null)) System.out.println((int) group);
  }
}
"""

# One character of each group, and the byte that stands for the group in the rules.
GROUPS = [
    ("\u0001", 0x01, "other: no token starts with it"),
    ("\u200b", 0x00, "invisible"),
    ("\u2028", 0x0B, "line separator"),
    ("\u00e9", 0x80, "letter"),
    ("\u00c9", 0x81, "letter, upper case"),
    ("\u0300", 0x82, "mark that belongs to a word"),
    ("\u00ad", 0x83, "soft hyphen"),
    ("\u0660", 0x84, "digit"),
    ("\u0085", 0x85, "next line"),
    ("\u2014", 0x86, "dash"),
    ("\u3000", 0x87, "wide space"),
    ("\u2160", 0x88, "roman numeral"),
    ("\u24b6", 0x89, "circled letter"),
    ("\u066b", 0x8A, "arabic separator"),
    ("\u207a", 0x8B, "raised or lowered sign"),
    ("\u00b2", 0x8C, "raised digit"),
    ("\u2080", 0x8D, "lowered digit"),
    ("\u00a0", 0x8E, "no-break space"),
    ("\u2044", 0x8F, "fraction slash"),
    ("\u00bd", 0x90, "fraction"),
    ("\u20ac", 0x91, "currency sign"),
    ("\u2019", 0x92, "apostrophe"),
    ("\u2018", 0x93, "left single quote"),
    ("\u201c", 0x94, "other quote"),
    ("\u2010", 0x95, "hyphen"),
    ("\u2026", 0x96, "ellipsis"),
    ("\u3001", 0x97, "ideographic comma"),
    ("\u00a7", 0x98, "symbol"),
    ("\u017f", 0x99, "long s"),
    ("\u0131", 0x9A, "dotless i"),
    ("\u0130", 0x9B, "dotted capital i"),
    ("\u212a", 0x9C, "kelvin sign"),
]


def groups_of_characters():
    folder = os.path.dirname(os.path.abspath(reference.__file__))
    jar = os.path.join(folder, reference.STANFORD_CORENLP_3_4_1_JAR)
    with tempfile.TemporaryDirectory() as temporary:
        source = os.path.join(temporary, "Dump.java")
        with open(source, "w") as file:
            file.write(DUMP)
        output = subprocess.run(
            ["java", "-cp", jar, source], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    return [int(line) for line in output.split()]


def runs(members):
    """Ascending numbers as (first, last, step), greedily."""
    index = 0
    while index < len(members):
        first = members[index]
        end, step = index, 1
        if index + 1 < len(members):
            step = members[index + 1] - first
            if step > 2:
                step = 1
            while end + 1 < len(members) and members[end + 1] - members[end] == step:
                end += 1
        yield first, members[end], step
        index = end + 1


def main():
    group_of = groups_of_characters()
    ascii_groups = {group_of[code] for code in range(0x20, 0x7F)}
    names = {group_of[ord(sample)]: (byte, name) for sample, byte, name in GROUPS}
    assert len(names) == len(GROUPS)
    print("# Written by tools/reference/metrics_ptb_classes.py. Lines: byte, first-last/step (hexadecimal).")
    for group in sorted(names, key=lambda group: names[group][0]):
        byte, name = names[group]
        if byte == 0x01:
            continue  # what no line names
        print(f"# {name}")
        line = f"{byte:02x}"
        members = [code for code, of in enumerate(group_of) if of == group]
        for first, last, step in runs(members):
            text = f"{first:x}" + ("" if last == first else f"-{last:x}") + ("" if step == 1 else f"/{step}")
            if len(line) + len(text) >= 99:
                print(line)
                line = f"{byte:02x}"
            line += " " + text
        print(line)
    unnamed = {of for code, of in enumerate(group_of) if of not in names and code >= 0x80}
    assert not unnamed, unnamed
    assert len(ascii_groups) > 0
    print("wrote the groups of 65,536 characters", file=sys.stderr)


if __name__ == "__main__":
    main()
