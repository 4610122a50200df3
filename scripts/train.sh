#!/usr/bin/env bash
# Trains: sets up .venv if needed, then runs scripts/train.py with the flags.
#   bash scripts/train.sh --workdir=runs/first
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
source "$here/env.sh" examples
exec "$python" "$here/train.py" "$@"
