#!/usr/bin/env bash
# Starts the same command twice at once on one output. Both sides' work is there afterwards, or one side is
# told, with exit code 1 or 2, that the other is at work.
#
#   tools/faults/two_processes.sh [ROUNDS]      10 rounds a command unless said
# shellcheck source=tools/faults/common.sh
source "$(dirname "$0")/common.sh"
rounds=${1:-10}

# Runs the commands in the arrays `first` and `second` at once; their exit codes are in `codes`.
both() {
    trial
    "${first[@]}" >first.out 2>first.err &
    local process=$!
    "${second[@]}" >second.out 2>second.err
    codes=($?)
    wait "$process"
    codes=($? "${codes[@]}")
}

photos photos 18
sentences captions.txt 200
sentences all.txt 400
sed -n '201,300p' all.txt >one.txt
sed -n '301,400p' all.txt >two.txt

for ((round = 0; round < rounds; round++)); do
    rm -rf memory out.jsonl* model
    "$DECAP" memory build captions.txt --out memory >/dev/null 2>&1
    first=("$DECAP" memory add memory one.txt)
    second=("$DECAP" memory add memory two.txt)
    both
    rows=$("$DECAP" memory info memory --json 2>info.err | sed 's/.*"rows": *\([0-9]*\).*/\1/')
    added=0
    for code in "${codes[@]}"; do [ "$code" -eq 0 ] && added=$((added + 100)); done
    [ "${rows:-0}" -eq $((200 + added)) ] ||
        fault "memory add, round $round: exits ${codes[*]}, expected $((200 + added)) rows, got ${rows:-none} $(cat info.err)"

    first=("$DECAP" caption photos --json --output out.jsonl)
    second=("${first[@]}")
    both
    [ "${codes[0]}" -eq 0 ] || [ "${codes[1]}" -eq 0 ] || fault "caption, round $round: neither side ended well"
    [ "$(wc -l <out.jsonl)" -eq 18 ] || fault "caption, round $round: $(wc -l <out.jsonl) lines, expected 18"
    for side in 0 1; do
        [ "${codes[side]}" -eq 0 ] || cat first.err second.err | grep -q 'decap:' ||
            fault "caption, round $round: a side failed without a word"
    done

    first=("$DECAP" train captions.txt --out model --max-steps 4 --batch 8 --width 32 --layers 1 --heads 2)
    second=("${first[@]}")
    both
    "$DECAP" model info model >/dev/null 2>info.err || fault "train, round $round: exits ${codes[*]}: $(cat info.err)"
done
counts
