#!/usr/bin/env bash
# Packs a model folder into one archive with a checksum, the same bytes on every machine:
#
#   tools/pack-model.sh models/tiny dist        writes dist/tiny.tar and dist/tiny.tar.sha256
#
# The archive is not compressed: weights hardly shrink, and the bytes of a compressor depend on its
# version. It holds what `decap` reads and the card with the licences; make.sh and the like stay out.
set -euo pipefail

if [ $# -ne 2 ] || [ ! -f "$1/model.json" ]; then
    echo "usage: tools/pack-model.sh MODEL_FOLDER OUTPUT_FOLDER (needs GNU tar)" >&2
    exit 2
fi
name=$(basename "$1")
mkdir -p "$2"
tar --create --file "$2/$name.tar" --format=ustar --sort=name --mtime=@0 \
    --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' \
    --exclude='*.sh' --directory "$(dirname "$1")" "$name"
(cd "$2" && sha256sum "$name.tar" | tee "$name.tar.sha256")
