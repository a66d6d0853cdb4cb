#!/usr/bin/env bash
# Makes the two towers of the bundled encoder:
#
#   towers.sh PYTHON DATA WORK
#
# WORK/towers then holds image_tower.onnx, minilm_small.onnx, tokenizer.json and a description of each.
# Distilling takes STEPS steps of 2 x 32 views (default 1,500; half an hour on two idle cores) and resumes from its
# checkpoint.
set -euo pipefail
python=$1 data=$2 work=$3
cd "$(dirname "$0")"
mkdir -p "$work/towers"

for mirror in "" --mirror; do
    [ -f "$work/teachers/yolox${mirror:+_mirror}.npz" ] ||
        "$python" teachers.py --data "$data" --out "$work/teachers" --teacher yolox $mirror
done
[ -f "$work/texts/pairs.npy" ] || "$python" texts.py --data "$data" --out "$work/texts" --corpora
"$python" views.py --data "$data" --out "$work/views" --views 3
"$python" distil.py --data "$data" --views "$work/views" --num-views 3 --teachers "$work/teachers" \
    --texts "$work/texts" --out "$work/distilled" --teacher-names yolox yolox_mirror \
    --steps "${STEPS:-1500}" --resume

"$python" export_image.py --what tower --checkpoint "$work/distilled/last.pt" --out "$work/distilled" --name tower
cp "$work/distilled/tower_int8.onnx" "$work/towers/image_tower.onnx"
cp image_tower.json text_tower.json "$work/towers"
"$python" export_text.py --data "$data" --out "$work/texts"
cp "$work/texts/minilm_small.onnx" "$work/texts/tokenizer.json" "$work/towers"
