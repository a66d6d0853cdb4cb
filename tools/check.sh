#!/usr/bin/env bash
# Installs what the tests need, then runs every check and every test of the project.
#
#   tools/check.sh            everything
#   tools/check.sh --tests    only the tests
#
# The last line counts tests over all crates: "N passed, N failed, N skipped". A check that fails
# (formatting, lints, documentation) counts as one failure. The exit code is 0 only if nothing failed.
#
# A test that lacks something (data, a program) appends a line "NAME: WHAT IT NEEDS" to the file
# named by DECAP_SKIPPED. Those tests, and tests marked #[ignore], are counted as skipped.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

tests_only=no
case "${1-}" in
"") ;;
--tests) tests_only=yes ;;
*)
    echo "check.sh: expected no argument or --tests, got $1" >&2
    exit 2
    ;;
esac

cat <<'TEXT'
check.sh: A first run takes up to an hour on one core, because it compiles about 290 crates. The
check.sh: tests themselves take about 2 minutes. It needs 5 GB in target/ and a C compiler.
TEXT

have() { command -v "$1" >/dev/null 2>&1; }

if ! have cargo; then
    echo "check.sh: install Rust first: https://rustup.rs" >&2
    exit 1
fi
if ! have cc && ! have cl && ! have clang && ! have gcc; then
    echo "check.sh: no C compiler found; dependencies such as ring need one (Debian and Ubuntu: build-essential)" >&2
fi
if [ "$tests_only" = no ]; then
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt || exit 1
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy || exit 1
fi
# Videos are decoded by ffmpeg. Without it the video tests are skipped.
if ! have ffmpeg; then
    if have apt-get && [ "$(id -u)" = 0 ] && [ "${DECAP_CHECK_INSTALL-yes}" = yes ]; then
        echo "check.sh: ffmpeg is missing. Installing the system package now, as root, with apt-get."
        echo "check.sh: Set DECAP_CHECK_INSTALL=no to skip this, and the video tests with it."
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends ffmpeg; } >/dev/null 2>&1 ||
            echo "check.sh: apt-get could not install ffmpeg"
    fi
    have ffmpeg || echo "check.sh: ffmpeg is missing, so video tests will be skipped. Install it to run them."
fi
# Captions in photos are read back by exiftool. Without it those tests are skipped.
if ! have exiftool; then
    if have apt-get && [ "$(id -u)" = 0 ] && [ "${DECAP_CHECK_INSTALL-yes}" = yes ]; then
        echo "check.sh: exiftool is missing. Installing the system package now, as root, with apt-get."
        echo "check.sh: Set DECAP_CHECK_INSTALL=no to skip this, and its tests with it."
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends libimage-exiftool-perl; } >/dev/null 2>&1 ||
            echo "check.sh: apt-get could not install libimage-exiftool-perl"
    fi
    have exiftool || echo "check.sh: exiftool is missing, so its tests will be skipped. Install it to run them."
fi

# The service's page is walked through in Chromium, by node. Without them that check is skipped.
lacks_browser() { ! have node || ! have npm || ! have chromium; }
if lacks_browser; then
    if have apt-get && [ "$(id -u)" = 0 ] && [ "${DECAP_CHECK_INSTALL-yes}" = yes ]; then
        echo "check.sh: node or Chromium is missing. Installing the system packages now, as root, with apt-get."
        echo "check.sh: Set DECAP_CHECK_INSTALL=no to skip this, and the check of the page with it."
        lacking=(); for it in node:nodejs npm:npm chromium:chromium; do have "${it%:*}" || lacking+=("${it#*:}"); done
        { apt-get update -qq && timeout 90 apt-get install -y -qq --no-install-recommends "${lacking[@]}"; } >/dev/null 2>&1 ||
            echo "check.sh: apt-get could not install ${lacking[*]} within 90 seconds"
    fi
    lacks_browser && echo "check.sh: node or Chromium is missing, so the check of the page will be skipped. Install them to run it."
fi

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed_steps=0

# The Python package: its wheel is built as it is released, but for the optimisation, installed into a fresh
# environment, and tested there. Counts go to $scratch/python.
test_python() {
    local lacking=
    python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || lacking="Python 3.10 with venv"
    if [ -z "$lacking" ]; then
        python3 -m venv "$scratch/venv" || return 1
        # Windows has no bin.
        [ -d "$scratch/venv/bin" ] && PATH="$scratch/venv/bin:$PATH" || PATH="$scratch/venv/Scripts:$PATH"
        python -m pip install --quiet --disable-pip-version-check 'maturin>=1.9,<2' pytest numpy pillow tqdm ||
            lacking="maturin and pytest from PyPI"
    fi
    if [ -n "$lacking" ]; then
        echo "bindings/python: needs $lacking" >>"$scratch/skipped"
        echo "skipped: needs $lacking"
        return 0
    fi
    maturin build --profile dev --locked --manifest-path bindings/python/Cargo.toml --out "$scratch/wheels" &&
        python -m pip install --quiet --no-deps "$scratch"/wheels/*.whl || return 1
    python -m pytest -q bindings/python/tests -rs | tee "$scratch/python"
    # A failed test is in the count.
    [ "${PIPESTATUS[0]}" -le 1 ]
}

# The page in Chromium, against the service as `cargo test` has built it. A port that the system chooses.
test_page() {
    if lacks_browser || ! npm install --silent --no-fund --no-audit --prefix "$scratch/node" playwright-core@1 axe-core@4 >/dev/null 2>&1; then
        echo "tools/serve/page.mjs: needs node, Chromium, and playwright-core and axe-core from npm" >>"$scratch/skipped"
        echo "skipped: needs node, Chromium, and playwright-core and axe-core from npm"
        return 0
    fi
    "${CARGO_TARGET_DIR:-target}/debug/decap" serve --listen 127.0.0.1:0 2>"$scratch/serve" &
    local service=$! address= result
    for _ in $(seq 100); do
        address=$(sed -n 's/^decap serves on //p' "$scratch/serve")
        [ -n "$address" ] && break
        sleep 0.2
    done
    timeout 600 node tools/serve/page.mjs "$address" "$scratch/pictures" "$scratch/node" "$(command -v chromium)"
    result=$?
    kill "$service" && wait "$service"
    return "$result"
}

# Runs a check, and goes on after a failure so that one run shows them all.
step() {
    printf '\n== %s\n' "$*"
    if ! "$@"; then
        failed_steps=$((failed_steps + 1))
        printf '%s\n' "$*" >>"$scratch/failed-steps"
    fi
}

if [ "$tests_only" = no ]; then
    step cargo fmt --all --check
    step cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
    step cargo check -p decap --no-default-features --locked
    step env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --locked
fi

printf '\n== cargo test\n'
: >"$scratch/skipped"
DECAP_SKIPPED="$scratch/skipped" CARGO_TERM_COLOR=never \
    cargo test --workspace --all-features --locked --no-fail-fast 2>&1 | tee "$scratch/log"
test_status=$?

[ "$tests_only" = yes ] || step test_page

# In a shell of its own: it changes the PATH.
printf '\n== pytest\n'
: >"$scratch/python"
(test_python) || {
    failed_steps=$((failed_steps + 1))
    echo "pytest (it could not be run to its end: see above)" >>"$scratch/failed-steps"
}

# One line for each test binary: "test result: ok. 12 passed; 0 failed; 3 ignored; ..."
read -r passed failed ignored <<<"$(awk '
    /^test result: / {
        for (i = 2; i <= NF; i++) {
            if ($i == "passed;") passed += $(i - 1)
            if ($i == "failed;") failed += $(i - 1)
            if ($i == "ignored;") ignored += $(i - 1)
        }
    }
    END { print passed + 0, failed + 0, ignored + 0 }' "$scratch/log")"

# The last line of pytest: "2 failed, 60 passed, 1 skipped in 40.00s"
counted() {
    grep -oE "[0-9]+ $1" "$scratch/python" | tail -n 1 | grep -oE '^[0-9]+' || echo 0
}
failed=$((failed + $(counted failed) + $(counted error)))
python_passed=$(counted passed) python_skipped=$(counted skipped)

# cargo counts a test that skipped itself as passed.
sort -u "$scratch/skipped" >"$scratch/skipped-lines"
skipped=$(sed 's/: .*//' "$scratch/skipped-lines" | sort -u | grep -c .)
of_cargo=$(sed 's/: .*//' "$scratch/skipped-lines" | sort -u | grep -vE '^(bindings/python|tools/serve/page.mjs)$' | grep -c .)
passed=$((passed - of_cargo + python_passed))
skipped=$((skipped + ignored + python_skipped))

if [ "$skipped" -gt 0 ]; then
    printf '\nskipped:\n'
    sed 's/^/  /' "$scratch/skipped-lines"
    sed -n -E 's/^test (.*) \.\.\. ignored(, (.*))?$/  \1: \3/p' "$scratch/log" | sed 's/: $/: ignored/'
    sed -n -E 's/^SKIPPED \[[0-9]+\] (.*)$/  \1/p' "$scratch/python"
fi

# A build error, or a test binary that crashed, leaves no count behind.
if [ "$test_status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed_steps=$((failed_steps + 1))
    echo "cargo test (it stopped before it could count: see the errors above)" >>"$scratch/failed-steps"
elif [ "$((passed + failed))" -le 0 ]; then
    failed_steps=$((failed_steps + 1))
    echo "cargo test (no test ran)" >>"$scratch/failed-steps"
fi
if [ "$failed_steps" -gt 0 ]; then
    printf '\nfailed:\n'
    sed 's/^/  /' "$scratch/failed-steps"
fi

failed=$((failed + failed_steps))
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
