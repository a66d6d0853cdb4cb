#!/usr/bin/env bash
# Kills `caption` and `caption-shard` with SIGKILL at random moments, for every source and every place that captions
# go to, takes them up with --resume until they end, and compares every byte with an undisturbed run.
#
#   tools/faults/kill_sinks.sh [ROUNDS]      2 rounds a case unless said
# shellcheck source=tools/faults/common.sh
source "$(dirname "$0")/common.sh"
rounds=${1:-2}
photos photos 40
tar cf photos.tar photos
tar czf photos.tar.gz photos
{ echo file_name; ls photos/*; } >list.csv

# Runs "$@" in the folder $1, which has a copy of the photos; kills it up to three times when $2 is not 0, after at most
# $2 seconds each.
run_in() {
    local folder=$1 most=$2 resume=()
    shift 2
    [ "$1" != caption-shard ] && resume=(--resume)
    rm -rf "$folder" && mkdir "$folder" && cp -r photos photos.tar photos.tar.gz list.csv "$folder"
    cd "$folder" || exit 2
    if [ "$most" != 0 ]; then
        local again=()
        for _ in 1 2 3; do
            trial
            killed_after "$(some_seconds "$most")" "$DECAP" "$@" "${again[@]}" && break
            again=("${resume[@]}")
        done
    fi
    # An end that came by itself is taken up, too: nothing is left to do.
    "$DECAP" "$@" "${resume[@]}" >/dev/null 2>../last.err || fault "did not end: $*: $(tail -n 1 ../last.err)"
    cd ..
}

# Milliseconds differ between runs, and with them the headers of archives.
content() {
    case $1 in
    *.tar) tar tf "$1" && tar xOf "$1" ;;
    *) cat "$1" ;;
    esac
}
plain() { (cd "$1" && find . -type f -print0 | sort -z | while IFS= read -r -d '' file; do
    printf '%s %s\n' "$file" "$(content "$file" | sed 's/,"ms":{[^}]*}//g' | sha256sum)"
done); }

while read -r -a case; do
    run_in whole 0 "${case[@]}"
    plain whole >whole.sums
    for ((round = 0; round < rounds; round++)); do
        run_in killed 2.5 "${case[@]}"
        diff whole.sums <(plain killed) >differs || fault "${case[*]}, round $round: $(head -n 3 differs)"
    done
done <<'TEXT'
caption photos --json -o out.jsonl
caption photos -o out.csv
caption photos -o out.json
caption photos -o photos/metadata.jsonl
caption photos.tar -o out.jsonl
caption photos.tar.gz -o out.tsv
caption list.csv -o out.jsonl
caption photos -o out.tar
caption photos.tar -o out.tar
caption list.csv -o out.parquet
caption photos --gallery page
caption photos --write xmp -o out.jsonl
caption photos --write sidecar -o out.jsonl
caption-shard photos.tar out.jsonl
caption-shard list.csv out.jsonl
caption-shard list.csv out.tar
caption-shard photos.tar out.tar
caption-shard photos.tar.gz out.parquet
TEXT
counts
