#!/usr/bin/env bash
# Kills commands at each of their system calls that change files, one after the other: what was there before
# stays usable, and the command run again (with --resume where it has it) ends as if never killed.
#
#   tools/faults/crash_points.sh [STEP]      every STEPth call (default 1)
#
# Needs strace, whose fault injection does the killing.
# shellcheck source=tools/faults/common.sh
source "$(dirname "$0")/common.sh"
step=${1:-1}
command -v strace >/dev/null || {
    echo "crash_points.sh: skipped, needs strace"
    exit 0
}
calls=rename,renameat,renameat2,unlink,unlinkat,ftruncate,fsync,fdatasync,mkdir,mkdirat,write,pwrite64,link,linkat

# Runs the command behind $1 and kills it at its $1th call that changes files; 0 where it ended before.
killed_at() {
    local call=$1
    shift
    # Calls are counted a thread and a kind at a time, so the numbers here are not those of a trace. The
    # subshell keeps the shell from telling each kill.
    (
        strace -f -qq -o /dev/null -e "trace=$calls" -e "inject=$calls:signal=SIGKILL:when=$call" "$@"
        exit
    ) >/dev/null 2>&1
}

# Whether the memory $1 opens and holds $2 or $3 rows.
whole_memory() {
    local rows
    rows=$("$DECAP" memory info "$1" --json 2>last.err | sed 's/.*"rows": *\([0-9]*\).*/\1/')
    [ "$rows" = "$2" ] || [ "$rows" = "$3" ] || fault "$4: expected $2 or $3 rows, got ${rows:-none}: $(cat last.err)"
}

sentences captions.txt 60
sentences all.txt 90
tail -n 30 all.txt >more.txt
photos photos 4
"$DECAP" memory build captions.txt --out first >/dev/null 2>&1 || fault "memory build does not run"
"$DECAP" caption photos --json --output whole.jsonl >/dev/null 2>&1 || fault "caption does not run"
train=("$DECAP" train captions.txt --max-steps 4 --checkpoint-every 2 --batch 8 --width 32 --layers 1 --heads 2)
"${train[@]}" --out whole >/dev/null 2>&1 || fault "train does not run"
captions_of() { sed 's/.*"path":"\([^"]*\)".*"caption":"\([^"]*\)".*/\1 \2/' "$1"; }

for ((call = 1; call < 400; call += step)); do
    rm -rf memory
    cp -r first memory
    trial
    killed_at "$call" "$DECAP" memory add memory more.txt && break
    whole_memory memory 60 90 "memory add, call $call"
    "$DECAP" memory add memory more.txt >/dev/null 2>last.err || fault "memory add after call $call: $(cat last.err)"
    whole_memory memory 90 90 "memory add again after call $call"
done
for ((call = 1; call < 400; call += step)); do
    rm -rf memory
    trial
    killed_at "$call" "$DECAP" memory build captions.txt --out memory && break
    [ -e memory ] && whole_memory memory 60 60 "memory build, call $call"
    [ -e memory ] || "$DECAP" memory build captions.txt --out memory >/dev/null 2>last.err ||
        fault "memory build after call $call: $(cat last.err)"
done
for ((call = 1; call < 400; call += step)); do
    rm -f out.jsonl*
    trial
    killed_at "$call" "$DECAP" caption photos --json --output out.jsonl && break
    "$DECAP" caption photos --json --output out.jsonl --resume >/dev/null 2>last.err ||
        fault "caption after call $call: $(cat last.err)"
    cmp -s <(captions_of whole.jsonl) <(captions_of out.jsonl) || fault "caption after call $call: other lines"
done
for ((call = 1; call < 600; call += step)); do
    rm -rf out cache
    trial
    killed_at "$call" "${train[@]}" --out out && break
    "${train[@]}" --out out --resume >/dev/null 2>last.err || "${train[@]}" --out out >/dev/null 2>last.err ||
        fault "train after call $call: $(cat last.err)"
    cmp -s whole/decoder.safetensors out/decoder.safetensors || fault "train after call $call: other weights"
done
counts
