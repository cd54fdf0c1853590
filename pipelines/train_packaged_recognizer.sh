#!/usr/bin/env bash
# The packaged recognizer anew, from the two archives and the file of positions it is trained on:
#   ./pipelines/train_packaged_recognizer.sh UTD_MHAD.tar.xz HDM05.tar.xz cmu_mocap8.npz
# Everything but the result lies in runs/recognizer; a killed run goes on when it is started again.
set -euo pipefail
utd="$(realpath "$1")" hdm05="$(realpath "$2")" cmu="$(realpath "$3")"
shift 3
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source pipelines/environment.sh
prepare_environment
skelaug=.venv/bin/skelaug
run=runs/recognizer
mkdir -p "$run"

# the odd subjects of UTD-MHAD; bd, bk and dg of HDM05; all of CMU, which does not tell its subjects
split="subject=1,3,5,7,101,102,103,unknown"
licence="CC BY-SA 3.0 (made from UTD-MHAD, public domain, HDM05, CC BY-SA 3.0, and CMU mocap, free use)"

if [ ! -f "$run/data.h5" ]; then
    install -m 644 "$cmu" "$run/cmu_mocap8.npz"
    install -m 644 pipelines/cmu_mocap8.yaml "$run/cmu_mocap8.yaml"
    "$skelaug" convert "$utd" "$hdm05" "$run/cmu_mocap8.yaml" "$run/data.h5" --layout kinect_20 \
        --resume
fi
"$skelaug" train recognizer "$run/data.h5" --out "$run/model" --split "$split" --resume \
    --set licence="$licence" --set optimisation.steps=4000 "$@"
.venv/bin/python pipelines/pack_recognizer.py --run "$run/model" --out skelaug/zoo/kinect20
