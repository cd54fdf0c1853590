#!/usr/bin/env bash
# The packaged model from the two archives that it is trained on, anew:
#   ./pipelines/train_packaged.sh UTD_MHAD.tar.xz HDM05.tar.xz [more options for train diffusion]
# Everything but the result lies in runs/packaged; a killed run goes on when it is started again.
set -euo pipefail
utd="$(realpath "$1")" hdm05="$(realpath "$2")"
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source pipelines/environment.sh
prepare_environment
skelaug=.venv/bin/skelaug
run=runs/packaged
mkdir -p "$run"

# the odd subjects of UTD-MHAD; bd, bk and dg of HDM05 (its test part is mm and tr)
split="subject=1,3,5,7,101,102,103"
licence="CC BY-SA 3.0 (made from UTD-MHAD, public domain, and HDM05, CC BY-SA 3.0)"

[ -f "$run/data.h5" ] ||
    "$skelaug" convert "$utd" "$hdm05" "$run/data.h5" --layout kinect_20 --resume
"$skelaug" train diffusion "$run/data.h5" --out "$run/diffusion" --split "$split" --resume \
    --set licence="$licence" \
    --set optimisation.max_epochs=null "$@"
"$skelaug" train guide "$run/data.h5" --out "$run/guide" --split "$split" --resume \
    --set licence="$licence"
"$skelaug" synth --like "$run/data.h5" --n 2000 --model "$run/diffusion" -o "$run/synthetic.h5" --force
"$skelaug" eval "$run/data.h5" "$run/synthetic.h5" -o "$run/scores.json" \
    --save-network "$run/evaluator.safetensors" --force
.venv/bin/python pipelines/pack_model.py --run "$run" --out skelaug/zoo/kinect20
