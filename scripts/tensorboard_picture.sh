#!/usr/bin/env bash
# Makes the picture of TensorBoard in README: a run, its page, a browser.
#   apt-get install chromium
#   bash scripts/tensorboard_picture.sh [OUTPUT.png]
# Trains on the digits, serves the run, and opens the page for custom scalars
# in headless Chromium; about half a minute. PYTHON is the interpreter, that of
# .venv if it is not set.
# A plain bash, also where it is called by sh: without BASH_ENV and functions of
# the environment, in which cd may be another.
case "${BASH_VERSION:+$-}" in
  *p*) ;;
  *) exec bash -p "$0" "$@" ;;
esac
set -euo pipefail
here="$0"
while [ -L "$here" ]; do # a link to this file: env.sh is beside the file
  link="$(readlink "$here")"
  case "$link" in
    /*) here="$link" ;;
    *) here="$(dirname "$here")/$link" ;;
  esac
done
here="$(cd -P "$(dirname "$here")" && pwd)"
root="$(dirname "$here")"
unset PYTHONHOME PYTHONSAFEPATH # of another Python; hides scripts/cli
output="$(realpath "${1:-$root/trainloop/pictures/tensorboard.png}")"
python="${PYTHON:-$root/.venv/bin/python}"
folder="$(mktemp -d)"
server=""
clean() {
  if [ -n "$server" ]; then kill "$server"; fi
  rm -rf "$folder"
}
trap clean EXIT

# The plateau cuts the rates, so that they leave the plan.
"$python" "$root/scripts/train.py" --workdir="$folder/run" --epochs=28 \
  --schedule=cosine_restarts --cycle_len=4ep --cycle_mult=2 \
  --peak_lr=0.2 --momentum_range=0.95,0.85 --reduce_on_plateau=3 \
  --plateau_factor=0.5 --dropout=0.3

cd "$folder"  # the page shows the path as it was given
"$python" -m tensorboard.main --logdir=run --port=0 --load_fast=false \
  >"$folder/log" 2>&1 &
server=$!
for _ in $(seq 120); do
  url="$(grep -o "http://localhost:[0-9]*" "$folder/log" || true)"
  if [ -n "$url" ] && curl -sf "$url/data/runs" | grep -q validation; then
    break
  fi
  sleep 0.5
done

chromium --headless --no-sandbox --disable-gpu --disable-background-networking \
  --hide-scrollbars --user-data-dir="$folder/browser" \
  --window-size=1200,1090 --virtual-time-budget=30000 \
  --screenshot="$output" "$url/#custom_scalars&_smoothingWeight=0" \
  2>>"$folder/log"
echo "wrote $output"
