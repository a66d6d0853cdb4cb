#!/usr/bin/env bash
# Builds the kernels' unit tests for 64-bit Arm and runs them under qemu, to test NEON without an Arm machine (on one,
# `cargo test -p decap-kernels` is enough). The last line is the count of tests. It installs nothing: if a tool is
# missing it says so, and exits with 2.
#
#     tools/check-arm.sh [TEST-NAME]...
#
# RUSTC chooses another compiler, for instance a distribution's that comes with the standard library for Arm.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
rustc=${RUSTC:-rustc}

missing=0
need() { # need COMMAND REMEDY
    command -v "$1" >/dev/null 2>&1 && return
    echo "check-arm.sh: missing $1: $2" >&2
    missing=1
}
need cargo "install Rust: https://rustup.rs"
need qemu-aarch64 "apt-get install qemu-user"
need aarch64-linux-gnu-gcc "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
if ! libraries=$("$rustc" --print target-libdir --target "$target" 2>/dev/null) ||
    ! compgen -G "$libraries/libstd-*.rlib" >/dev/null; then
    echo "check-arm.sh: missing the standard library for $target of $rustc: rustup target add $target" >&2
    missing=1
fi
[ "$missing" = 0 ] || exit 2

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L ${ARM_SYSROOT:-/usr/aarch64-linux-gnu}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The unit tests alone: documentation tests would need a rustdoc of the same compiler.
cargo test -p decap-kernels --lib --locked --target "$target" -- "$@" 2>&1 | tee "$log"

awk '
    /^test result:/ { results++; passed += $4; failed += $6; ignored += $8 }
    END {
        if (results == 0) { print "check-arm.sh: expected test results, got none"; exit 1 }
        printf "check-arm.sh: %d tests passed, %d failed, %d ignored on emulated aarch64\n", passed, failed, ignored
        exit passed == 0 || failed > 0
    }' "$log"
