#!/usr/bin/env bash
# A thousand synthetic, labelled kicks and two pictures of a dozen of them, from nothing but
# Python 3.11: kicks.h5, kicks.png, kicks.gif. Running it again draws them anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source pipelines/environment.sh
prepare_environment

skelaug=.venv/bin/skelaug
"$skelaug" synth --label kick --n 1000 -o kicks.h5 --force
"$skelaug" view kicks.h5 -o kicks.png --force
"$skelaug" view kicks.h5 -o kicks.gif --force

cat <<'END'

Look at kicks.png and kicks.gif; the clips are in kicks.h5. To go on:
  source .venv/bin/activate
  skelaug info kicks.h5
  skelaug models
  skelaug --help
END
