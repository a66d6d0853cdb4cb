#!/usr/bin/env bash
# Fuzzes the parsers of bytes from outside: one target of fuzz/, or all, each for a minute.
#
#   tools/fuzz.sh                    every target, 60 seconds each
#   tools/fuzz.sh photo              one target
#   tools/fuzz.sh photo 600          for ten minutes
#   tools/fuzz.sh all 600            every target, ten minutes each
#
# One line a target: runs, runs a second, peak memory, findings. A finding is a panic, a run of more
# than 10 seconds, an allocation of more than 512 MB, or more than 1200 MB in all. The exit code is
# 1 if there is one; the input that shows it lies in fuzz/artifacts/TARGET.
#
# DECAP_FUZZ_RUNS=N       stop after N runs, if that comes before the seconds
# DECAP_FUZZ_SANITIZER=S  address (the default: it also checks `unsafe` code), or none, which is faster
# DECAP_FUZZ_TARGET_DIR=D where to build; default fuzz/target
#
# It needs cargo-fuzz and no nightly toolchain. The first build compiles all dependencies once more,
# for minutes.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

target=${1:-all}
seconds=${2:-60}
runs=${DECAP_FUZZ_RUNS:--1}
sanitizer=${DECAP_FUZZ_SANITIZER:-address}
build=${DECAP_FUZZ_TARGET_DIR:-$PWD/fuzz/target}

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz.sh: cargo-fuzz is missing. Install it: cargo install cargo-fuzz --locked" >&2
    exit 2
fi
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
    echo "fuzz.sh: expected a number of seconds, got $seconds" >&2
    exit 2
fi
targets=$(cargo fuzz list --fuzz-dir fuzz) || exit 2
if [ "$target" != all ]; then
    if ! grep -qx -- "$target" <<<"$targets"; then
        echo "fuzz.sh: expected all or one of" $targets", got $target" >&2
        exit 2
    fi
    targets=$target
fi

# The versions that the project builds with.
if [ Cargo.lock -nt fuzz/Cargo.lock ]; then
    cp Cargo.lock fuzz/Cargo.lock
fi
# Sanitizers and coverage are unstable options of the compiler.
export RUSTC_BOOTSTRAP=1
options=(--fuzz-dir fuzz --sanitizer "$sanitizer" --target-dir "$build")
if [ "$target" = all ]; then
    cargo fuzz build "${options[@]}" || exit 2
else
    cargo fuzz build "${options[@]}" "$target" || exit 2
fi

# Parsers that read files read them from memory where there is such a folder.
scratch=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
# One process, one thread. Freed memory is given back soon, so that the peak is that of the parser.
export RAYON_NUM_THREADS=1
export ASAN_OPTIONS="quarantine_size_mb=8:allocator_may_return_null=1:detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"

triple=$(rustc -vV | sed -n 's/^host: //p')
findings=0
for target in $targets; do
    # What a run finds goes to the first folder.
    mkdir -p "fuzz/found/$target" "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log=$scratch/log
    "$build/$triple/release/$target" \
        -max_total_time="$seconds" -runs="$runs" -timeout=10 \
        -rss_limit_mb=1200 -malloc_limit_mb=512 -detect_leaks=0 -print_final_stats=1 \
        -artifact_prefix="fuzz/artifacts/$target/" \
        "fuzz/found/$target" "fuzz/corpus/$target" >"$log" 2>&1
    status=$?
    found=none
    if [ "$status" -ne 0 ]; then
        findings=$((findings + 1))
        found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        found=${found:-"exit code $status"}
    fi
    awk -v target="$target" -v found="$found" '
        /^stat::number_of_executed_units:/ { runs = $2 }
        /^stat::average_exec_per_sec:/ { speed = $2 }
        /^stat::peak_rss_mb:/ { peak = $2 }
        END { printf "%-14s %9d runs %7d runs/s %5d MB  findings: %s\n", target, runs, speed, peak, found }' "$log"
    if [ "$status" -ne 0 ]; then
        grep -v '^#' "$log" | grep -E -A12 'panicked at|^==[0-9]+== ?ERROR|^SUMMARY' | head -n 24 | sed 's/^/    /'
    fi
done
[ "$findings" -eq 0 ]
