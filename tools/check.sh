#!/usr/bin/env bash
# Installs what the tests need, then runs every check and every test of the project.
# The last lines are the test runner's own summary.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { command -v "$1" >/dev/null 2>&1; }

if ! need cargo; then
    echo "check.sh: install Rust first: https://rustup.rs" >&2
    exit 1
fi
for component in rustfmt clippy; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done
# Videos are decoded by ffmpeg; without it those tests say that they are skipped.
if ! need ffmpeg && need apt-get && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends ffmpeg; } >/dev/null 2>&1 ||
        echo "check.sh: could not install ffmpeg; video tests will be skipped"
fi

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
step cargo check -p decap --no-default-features --locked
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --all-features --locked
step cargo test --workspace --all-features --locked
