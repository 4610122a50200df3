#!/usr/bin/env bash
# Runs the tests: sets up .venv if needed, then pytest with the arguments;
# without any, all of them, a file to each core (of four at most: each process
# takes up to 5 GB), in the order of tests/conftest.py: the long files first.
#   bash scripts/test.sh -k one_cycle
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
source "$here/env.sh" test
cd "$root"
[ $# -gt 0 ] ||
  set -- -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
exec "$python" -m pytest "$@"
