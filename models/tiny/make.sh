#!/usr/bin/env bash
# Makes the bundled model from photo-caption pairs, caption files and PyPI packages:
#
#   models/tiny/make.sh DATA WORK
#
# DATA holds pairs/, text/ and models/ (the recognisers that teach the image tower); WORK keeps
# caches, checkpoints and the towers. Each step is skipped where its result is in WORK; the long one,
# distilling the image tower, goes on from its last checkpoint. Needs python3 and cargo, no GPU.
set -euo pipefail
data=$(realpath "$1") work=$(realpath -m "$2")
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$work"

python="$work/venv/bin/python"
if [ ! -x "$python" ]; then
    python3 -m venv "$work/venv"
    "$python" -m pip install -q -r "$root/tools/bundled/requirements.txt"
fi
cargo build --release --manifest-path "$root/Cargo.toml" -p decap-cli --no-default-features
decap="${CARGO_TARGET_DIR:-$root/target}/release/decap"

# 1. The towers: an image tower distilled from recognisers, and MiniLM in int8.
cd "$root/tools/bundled"
[ -f "$work/towers/image_tower.onnx" ] || ./towers.sh "$python" "$data" "$work"

# 2. One space: heads over frozen towers.
[ -f "$work/pairs.jsonl" ] || "$python" pairs.py --data "$data" --out "$work/pairs.jsonl"
[ -f "$work/encoder/encoder.json" ] || "$decap" align "$work/pairs.jsonl" \
    --image-tower "$work/towers/image_tower.json" --text-tower "$work/towers/text_tower.json" \
    --name "EfficientNet-lite0 (distilled) + all-MiniLM-L6-v2" --cache "$work/cache" \
    --out "$work/encoder" --views 1 --hidden 0 --tau 0.03

# 3. The decoder and the memory, from sentences alone.
[ -f "$work/sentences.txt" ] || "$python" sentences.py --text "$data/text/coco_train_mix.txt" \
    --pairs "$work/pairs.jsonl" --out "$work/sentences.txt"
resume=$([ ! -f "$work/tiny/checkpoint.safetensors" ] || echo --resume)
[ -f "$work/tiny/model.json" ] || "$decap" train "$work/sentences.txt" \
    --encoder "$work/encoder" --out "$work/tiny" --cache "$work/cache" $resume \
    --preset robust --vocabulary encoder --epochs 3 --max-steps 1000 --tau 0.03 --weights-dtype int8 \
    --memory-rows 20000 --memory-dtype int8

# 4. The bundle: the model carries its encoder, writes with a repetition penalty of 1.1, and chooses by consensus.
cd "$root/models/tiny"
mkdir -p encoder
cp "$work"/encoder/* encoder/
cp "$work"/tiny/{decoder.json,decoder.safetensors,memory.safetensors,captions.txt} .
sed 's#"reference": ".*"#"reference": "tiny"#; s#"repetition_penalty": .*,#"repetition_penalty": 1.1,#
    s#"rerank": .*,#"rerank": "consensus",#' \
    "$work/tiny/model.json" > model.json
"$python" "$root/tools/bundled/calibrate.py" --decap "$decap" --pairs "$work/pairs.jsonl" --model . \
    --work "$work/calibration"
