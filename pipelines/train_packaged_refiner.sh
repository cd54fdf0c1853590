#!/usr/bin/env bash
# The packaged refiner anew, from two archives and the file of positions it is trained on, and a
# third archive that it is tested on alone, if given:
#   ./pipelines/train_packaged_refiner.sh UTD_MHAD.tar.xz HDM05.tar.xz cmu_mocap8.npz [NW_UCLA.tar.xz]
# Everything but the result lies in runs/packaged_refiner; a killed run goes on when it is started again.
set -euo pipefail
utd="$(realpath "$1")" hdm05="$(realpath "$2")" cmu="$(realpath "$3")" ucla="${4:+$(realpath "$4")}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source pipelines/environment.sh
prepare_environment
skelaug=.venv/bin/skelaug
run=runs/packaged_refiner
mkdir -p "$run"

# the odd subjects of UTD-MHAD say what Kinect's errors are; those of HDM05 but mm and tr, and all
# of CMU, which does not tell its subjects, how bodies move
sensor="subject=1,3,5,7"
split="subject=101,102,103,unknown"
licence="CC BY-SA 3.0 (made from HDM05, CC BY-SA 3.0, UTD-MHAD, public domain, and CMU mocap, free use)"

if [ ! -f "$run/data.h5" ]; then
    install -m 644 "$cmu" "$run/cmu_mocap8.npz"
    install -m 644 pipelines/cmu_mocap8.yaml "$run/cmu_mocap8.yaml"
    "$skelaug" convert "$hdm05" "$run/cmu_mocap8.yaml" "$run/data.h5" --layout kinect_20 --resume
fi
[ -f "$run/utd.h5" ] || "$skelaug" convert "$utd" "$run/utd.h5"
if [ -n "$ucla" ] && [ ! -f "$run/ucla.h5" ]; then
    "$skelaug" convert "$ucla" "$run/ucla.h5"
fi

# what Kinect would have seen without most of its errors, and so the errors; the network does not
# matter here, so it is next to none
[ -f "$run/rigid.h5" ] ||
    "$skelaug" refine "$run/utd.h5" -o "$run/rigid.h5" --method butterworth --bones rigid --resume
"$skelaug" train refiner "$run/rigid.h5" --noisy "$run/utd.h5" --out "$run/noise" --resume \
    --split "$sensor" --test subject=2 --set persistent=matrix --set given_pose=false \
    --set model.arguments.features=16 --set model.arguments.depth=1 --set optimisation.steps=1 \
    --set optimisation.warmup=0 --set frame_estimate=null

"$skelaug" train refiner "$run/data.h5" --noise "$run/noise" --out "$run/model" --resume \
    --split "$split" --set licence="$licence" --set fps=30 --set noise=drawn --set turn=true \
    --set strength=[0.3,2] --set hints=true --set root=butterworth --set bones=rigid \
    --set frames=60 --set hop=15 --set model.arguments.features=64 --set model.arguments.depth=2 \
    --set optimisation.batch=12 --set optimisation.lr=2e-3 --set optimisation.steps=1200 \
    --set frame_estimate=null
.venv/bin/python pipelines/pack_refiner.py --run "$run/model" --noise "$run/noise" \
    --out skelaug/zoo/kinect20 --refining '{"low_pass": 4, "bones": "performer"}' \
    --mocap "$run/data.h5" --mocap-rule subject=104,105 --kinect "$run/utd.h5:subject=2,4,6,8" \
    ${ucla:+--kinect "$run/ucla.h5:camera=3"}
