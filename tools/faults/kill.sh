#!/usr/bin/env bash
# Kills long commands with SIGKILL at random moments, takes them up with --resume until they end, and
# compares what they made with what an undisturbed run makes.
#
#   tools/faults/kill.sh [ROUNDS]      10 rounds a command unless said
# shellcheck source=tools/faults/common.sh
source "$(dirname "$0")/common.sh"
rounds=${1:-10}

# Seconds that the command given takes.
seconds_of() {
    local began=$EPOCHREALTIME
    "$@" >/dev/null 2>&1 || return 1
    awk -v from="$began" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f", to - from }'
}

# Kills "$@" at random moments within $1 seconds, three times, then lets it end.
disturbed() {
    local most=$1
    shift
    local resume=()
    for _ in 1 2 3; do
        trial
        killed_after "$(some_seconds "$most")" "$@" "${resume[@]}" && return 0
        resume=(--resume)
    done
    "$@" --resume >/dev/null 2>last.err || fault "did not end: $* --resume: $(tail -n 1 last.err)"
}

# caption: every photo once, in order, the same words.
photos photos 60
"$DECAP" caption photos --json --output whole.jsonl >/dev/null 2>&1 || fault "caption does not run"
captions_of() { sed 's/.*"path":"\([^"]*\)".*"caption":"\([^"]*\)".*/\1 \2/' "$1"; }
for ((round = 0; round < rounds; round++)); do
    rm -f out.jsonl*
    disturbed 3 "$DECAP" caption photos --json --output out.jsonl
    cmp -s <(captions_of whole.jsonl) <(captions_of out.jsonl) ||
        fault "caption, round $round: $(wc -l <out.jsonl) lines, expected $(wc -l <whole.jsonl) equal ones"
    [ -e out.jsonl.partial ] && fault "caption, round $round: out.jsonl.partial is left"
done

# train: the same bytes as if never stopped.
sentences captions.txt 400
train=("$DECAP" train captions.txt --max-steps 40 --checkpoint-every 5 --batch 16 --width 64 --layers 1 --heads 2)
long=$(seconds_of "${train[@]}" --out whole) || fault "train does not run"
for ((round = 0; round < rounds; round++)); do
    rm -rf out cache
    disturbed "$long" "${train[@]}" --out out
    for file in decoder.safetensors memory.safetensors captions.txt; do
        cmp -s "whole/$file" "out/$file" || fault "train, round $round: out/$file differs"
    done
    left=$(find . -maxdepth 1 -name '.*' -o -maxdepth 1 -name '*.partial*' | grep -vx . | wc -l)
    [ "$left" -eq 0 ] || fault "train, round $round: strays are left: $(ls -A)"
done

# memory build and memory add: the memory is whole, before or after, at every moment.
sentences more.txt 300
for ((round = 0; round < rounds; round++)); do
    rm -rf memory
    "$DECAP" memory build captions.txt --out memory >/dev/null 2>&1 || fault "memory build does not run"
    trial
    killed_after "$(some_seconds 1.5)" "$DECAP" memory add memory more.txt
    rows=$("$DECAP" memory info memory --json 2>last.err | sed 's/.*"rows": *\([0-9]*\).*/\1/')
    case $rows in
    400 | 700) ;;
    *) fault "memory add, round $round: expected 400 or 700 rows, got ${rows:-none}: $(cat last.err)" ;;
    esac
    "$DECAP" memory add memory more.txt >/dev/null 2>last.err || fault "memory add after the kill: $(cat last.err)"
done
counts
