#!/usr/bin/env bash
# Runs commands that write on disks of growing sizes, from one that is full at once to one that is large
# enough. Where the disk fills up, the exit code is 1, the message names the file, what was there
# before is untouched and nothing has its final name half written. A run with --resume on a larger disk
# then gives what an undisturbed run gives.
#
#   tools/faults/full_disk.sh
#
# Needs Linux with user namespaces (`unshare -rm`), in which it mounts small disks of its own.
if [ "${IN_NAMESPACE-}" != yes ]; then
    if ! unshare -rm true 2>/dev/null; then
        echo "full_disk.sh: skipped, needs user namespaces (unshare -rm)"
        exit 0
    fi
    IN_NAMESPACE=yes exec unshare -rm "$0" "$@"
fi
# shellcheck source=tools/faults/common.sh
source "$(dirname "$0")/common.sh"

mkdir disk
# Gives the folder `disk` a disk of $1 KiB, empty.
new_disk() {
    umount disk 2>/dev/null
    mount -t tmpfs -o "size=${1}k" none disk || exit 2
}
# Makes the disk $1 KiB large, with what is on it.
enlarge() { mount -o "remount,size=${1}k" disk || exit 2; }

photos photos 30
sentences captions.txt 300
sentences more.txt 100
"$DECAP" caption photos --json --output whole.jsonl >/dev/null 2>&1
captions_of() { sed 's/.*"path":"\([^"]*\)".*"caption":"\([^"]*\)".*/\1 \2/' "$1"; }

# Runs the command on a disk that may be full: exit code 0, or 1 with a message that names a file on it.
on_disk() {
    trial
    "$@" >out.txt 2>err.txt
    local code=$?
    [ "$code" -eq 0 ] && return 0
    [ "$code" -eq 1 ] || fault "$size KiB: exit $code: $*: $(tail -n 1 err.txt)"
    grep -q 'disk' err.txt || fault "$size KiB: the message names no file: $*: $(tail -n 1 err.txt)"
    grep -qi 'panick' err.txt && fault "$size KiB: a panic: $*"
    return 1
}

for size in 4 8 12 16 24 40 80; do
    for form in --json ""; do
        new_disk "$size"
        # shellcheck disable=SC2086 # no form is no argument
        if ! on_disk "$DECAP" caption photos $form --output disk/out; then
            [ -e disk/out ] && fault "$size KiB: caption: a part has the final name"
            enlarge 4000
            # shellcheck disable=SC2086
            "$DECAP" caption photos $form --output disk/out --resume >/dev/null 2>err.txt ||
                fault "$size KiB: caption --resume: $(tail -n 1 err.txt)"
        fi
        [ "$(wc -l <disk/out)" -eq 30 ] || fault "$size KiB: caption $form: $(wc -l <disk/out) lines, expected 30"
        [ -n "$form" ] && ! cmp -s <(captions_of whole.jsonl) <(captions_of disk/out) &&
            fault "$size KiB: caption: other captions than undisturbed"
    done
    new_disk "$size"
    if ! on_disk "$DECAP" embed --text captions.txt --output disk/texts.npy; then
        [ -e disk/texts.npy ] && fault "$size KiB: embed: a part has the final name"
    fi
done
for size in 16 64 128 200 260 320 500; do
    new_disk "$size"
    if on_disk "$DECAP" memory build captions.txt --out disk/memory; then
        if ! on_disk "$DECAP" memory add disk/memory more.txt; then
            "$DECAP" memory info disk/memory >/dev/null 2>err.txt || fault "$size KiB: memory add: $(tail -n 1 err.txt)"
        fi
    else
        [ -e disk/memory ] && fault "$size KiB: memory build: a part has the final name"
    fi
done
for size in 16 300 800 1500 2500 4000; do
    new_disk "$size"
    train=("$DECAP" train captions.txt --out disk/model --max-steps 6 --checkpoint-every 2 --batch 8 --width 32 --layers 1 --heads 2)
    if ! on_disk "${train[@]}"; then
        enlarge 40000
        if [ -e disk/model ]; then
            "${train[@]}" --resume >/dev/null 2>err.txt || "${train[@]}" >/dev/null 2>err.txt ||
                fault "$size KiB: train after more room: $(tail -n 1 err.txt)"
        else
            "${train[@]}" >/dev/null 2>err.txt || fault "$size KiB: train after more room: $(tail -n 1 err.txt)"
        fi
    fi
    "$DECAP" model info disk/model >/dev/null 2>err.txt || fault "$size KiB: train: $(tail -n 1 err.txt)"
done
# A standard output without room: never exit code 0.
for command in "caption photos/photo-0000.webp" "memory info" "memory search dog" "model info" "--help" "embed --text captions.txt"; do
    trial
    # shellcheck disable=SC2086 # words
    "$DECAP" $command >/dev/full 2>err.txt && fault "$command > /dev/full: exit 0"
    grep -qi 'panick' err.txt && fault "$command > /dev/full: a panic"
done
umount disk
counts
