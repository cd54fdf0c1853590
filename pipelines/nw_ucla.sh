#!/usr/bin/env bash
# Northwestern-UCLA with a published network, all four streams, fused; a killed run goes on.
#   ./pipelines/nw_ucla.sh ucla.tar.xz ctr-gcn              65 epochs of five passes: as published
#   ./pipelines/nw_ucla.sh ucla.tar.xz fg-stformer --set optimisation.steps=2000
# Streams to train may be named: STREAMS="joint bone" ./pipelines/nw_ucla.sh ...
set -euo pipefail
source_archive="$(realpath "$1")" network="$2"
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source pipelines/environment.sh
prepare_environment
skelaug=.venv/bin/skelaug
run="runs/nw_ucla"
streams="${STREAMS:-joint bone joint_motion bone_motion}"
mkdir -p "$run"

[ -f "$run/data.h5" ] || "$skelaug" convert "$source_archive" "$run/data.h5" --resume
# CTR-GCN on this set: 16 clips, five passes per epoch, rate 0.1, a tenth of it after 50 of 65 epochs
case "$network" in
    fg-stformer) own=(--set optimisation.batch=32 --set optimisation.epochs=400) ;;
    *) own=(--set optimisation.batch=16 --set optimisation.epochs=325
        --set 'optimisation.milestones=[0.77]' --set optimisation.weight_decay=1e-4) ;;
esac
models=()
for stream in $streams; do
    "$skelaug" train recognizer "$run/data.h5" --split official --out "$run/$network/$stream" \
        --resume --preset paper --set "model.name=$network" --set "streams=[$stream]" \
        --set preparation.profile=ucla --set preparation.frames=52 \
        --set augment.rotation_x=0 --set augment.rotation_y=0 --set augment.rotation_z=0 \
        --set augment.view_degrees=60 --set augment.view_scale=0.5 "${own[@]}" "$@"
    models+=(--model "$run/$network/$stream")
done
"$skelaug" predict "$run/data.h5" --split official "${models[@]}" -o "$run/$network/fused.csv" \
    --confusion "$run/$network/fused.png" --force
