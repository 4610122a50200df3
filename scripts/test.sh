#!/usr/bin/env bash
# Runs the tests: sets up .venv if needed, then pytest with the arguments;
# without any, all of them, a file to each core (of four at most: each process
# takes up to 5 GB).
#   bash scripts/test.sh -k one_cycle
set -euo pipefail
here="$(CDPATH= cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/env.sh" test
cd "$root"
[ $# -gt 0 ] || set -- -n auto --maxprocesses=4 --dist=loadfile
exec "$python" -m pytest "$@"
