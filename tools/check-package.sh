#!/usr/bin/env bash
# Packs every crate as `cargo publish` would, builds each from its package, and prints the sizes.
#
#   tools/check-package.sh            pack, build from the packages, print sizes
#   tools/check-package.sh --quick    pack and print sizes, build nothing
#
# Fails if a crate does not pack or build, or if a package is over 10 MB, the limit of crates.io.
# Building takes as long as a clean build of the workspace and needs 2 GB in target/package.
set -euo pipefail
cd "$(dirname "$0")/.."

limit_bytes=10000000
verify=()
case "${1-}" in
"") ;;
--quick) verify=(--no-verify) ;;
*)
    echo "check-package.sh: expected no argument or --quick, got $1" >&2
    exit 2
    ;;
esac

packages=${CARGO_TARGET_DIR:-target}/package
rm -f "$packages"/*.crate
# --allow-dirty: the check is of the working tree, whether it is committed or not.
cargo package --workspace --locked --allow-dirty ${verify[@]+"${verify[@]}"}

too_large=0
count=0
printf '\n%12s  %s\n' bytes package
for package in "$packages"/*.crate; do
    bytes=$(wc -c <"$package")
    printf '%12d  %s\n' "$bytes" "$(basename "$package")"
    count=$((count + 1))
    if [ "$bytes" -gt "$limit_bytes" ]; then
        too_large=$((too_large + 1))
        echo "check-package.sh: $(basename "$package") is over 10 MB" >&2
    fi
done
expected=$(cargo metadata --no-deps --locked --format-version 1 | grep -o '"manifest_path":"[^"]*' | wc -l)
if [ "$count" -lt "$expected" ]; then
    echo "check-package.sh: expected $expected packages, got $count; a crate with publish = false needs no package" >&2
fi
printf '\n%d packages, %d over 10 MB\n' "$count" "$too_large"
[ "$too_large" -eq 0 ]
