# What the scripts of this folder share; they source it.
#
# DECAP names the program (default: target/release/decap). Each script works in a temporary folder, keeps
# its hands off the user's cache, prints a line for what went wrong and ends with counts.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DECAP=$(realpath "${DECAP:-$root/target/release/decap}")
[ -x "$DECAP" ] || {
    echo "expected the program at $DECAP; build it (cargo build --release) or set DECAP" >&2
    exit 2
}
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME=$scratch/cache NO_COLOR=1
cd "$scratch" || exit 2

trials=0
faults=0

# Counts a trial.
trial() { trials=$((trials + 1)); }

# Notes what went wrong in a trial.
fault() {
    faults=$((faults + 1))
    echo "FAULT: $*"
}

# Prints the counts of the script as one line and says by the exit code whether all was well.
counts() {
    echo "$(basename "$0"): $trials trials, $faults faults"
    [ "$faults" -eq 0 ]
}

# Makes a folder $1 of $2 photos: the nine examples under other names, so that each is a photo of its own.
photos() {
    mkdir -p "$1"
    local examples=("$root"/examples/photos/*.webp) number
    for ((number = 0; number < $2; number++)); do
        cp "${examples[number % ${#examples[@]}]}" "$1/$(printf 'photo-%04d.webp' "$number")"
    done
}

# Writes $2 different sentences to the file $1.
sentences() {
    awk -v count="$2" 'BEGIN {
        split("a dog,two cats,a red bus,an old man,three children,a small boat", who, ",")
        split("sits,stands,waits,sleeps,plays,moves", does, ",")
        split("on a bench,in the street,near the water,under a tree,in a kitchen,by the window", where, ",")
        for (n = 0; n < count; n++)
            print who[n % 6 + 1], does[int(n / 6) % 6 + 1], where[int(n / 36) % 6 + 1], "number", n
    }' >"$1"
}

# A random number of seconds below $1, with milliseconds.
some_seconds() { awk -v most="$1" -v seed="$RANDOM$RANDOM" 'BEGIN { srand(seed); printf "%.3f", rand() * most }'; }

# Runs the command behind $1 and kills it, and all that it started, after $1 seconds; says by the exit code
# whether it had ended by itself before.
killed_after() {
    local seconds=$1 process
    shift
    setsid "$@" >/dev/null 2>&1 &
    process=$!
    sleep "$seconds"
    if kill -KILL -- "-$process" 2>/dev/null; then
        wait "$process" 2>/dev/null
        return 1
    fi
    wait "$process"
}
