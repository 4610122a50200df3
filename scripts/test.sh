#!/usr/bin/env bash
# Runs the tests: sets up .venv if needed, then pytest with the arguments.
#   bash scripts/test.sh -k one_cycle
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/env.sh" test
cd "$root"
exec "$python" -m pytest "$@"
