#!/usr/bin/env bash
# The packaged model of motion anew, from the archive and the file of positions it is trained on:
#   ./pipelines/train_packaged_hgvae.sh HDM05.tar.xz cmu_mocap8.npz
# Everything but the result lies in runs/hgvae; a killed run goes on when it is started again.
set -euo pipefail
hdm05="$(realpath "$1")" cmu="$(realpath "$2")"
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source pipelines/environment.sh
prepare_environment
skelaug=.venv/bin/skelaug
run=runs/hgvae
mkdir -p "$run"

# bd, bk and dg of HDM05; all of CMU, which does not tell its subjects
split="subject=101,102,103,unknown"
licence="CC BY-SA 3.0 (made from HDM05, CC BY-SA 3.0, and CMU mocap, free use)"

if [ ! -f "$run/data.h5" ]; then
    install -m 644 "$cmu" "$run/cmu_mocap8.npz"
    install -m 644 pipelines/cmu_mocap8.yaml "$run/cmu_mocap8.yaml"
    "$skelaug" convert "$hdm05" "$run/cmu_mocap8.yaml" "$run/data.h5" --layout kinect_20 --resume
fi
"$skelaug" train hgvae "$run/data.h5" --out "$run/model" --split "$split" --resume \
    --set licence="$licence" --set optimisation.steps=5000 "$@"
.venv/bin/python pipelines/pack_hgvae.py --run "$run/model" --data "$run/data.h5" \
    --out skelaug/zoo/kinect20
