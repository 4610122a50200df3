#!/usr/bin/env bash
# Trains: sets up .venv if needed, then runs scripts/train.py with the flags.
#   bash scripts/train.sh --workdir=runs/first
set -euo pipefail
here="$(CDPATH= cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/env.sh" examples
exec "$python" "$here/train.py" "$@"
