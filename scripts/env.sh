# Sourced by train.sh and test.sh: makes .venv ready and sets $python.
# Arguments: the extra of pyproject.toml to install.
# Environment: PYTHON, the interpreter to build .venv with.

root="$(CDPATH= builtin cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
unset PYTHONHOME PYTHONSAFEPATH # of another Python; hides scripts/cli
extra="$1"
venv="$root/.venv"
python="$venv/bin/python"
log="$root/.venv-install.log"

fail() {
  echo "error: $1" >&2
  exit 1
}

supported() {
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
    >/dev/null 2>&1
}

find_python() {
  local name
  if [ -n "${PYTHON:-}" ]; then
    supported "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.10 to 3.13"
    echo "$PYTHON"
    return
  fi
  for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
    if supported "$name"; then
      echo "$name"
      return
    fi
  done
  fail "no Python 3.10 to 3.13 found; install one or set PYTHON to its path"
}

# Why an installation failed, read from its log.
reason() {
  if grep -qi "no space left" "$log"; then
    echo "no space left on the disk"
  elif grep -qi "ensurepip\|No module named venv" "$log"; then
    echo "this Python cannot make virtual environments (install python3-venv)"
  elif grep -qiE "connection|resolution|timed out|No matching|network" "$log"
  then
    echo "no package index could be reached"
  else
    echo "see ${log#"$PWD"/}"
  fi
}

install() {
  local base
  base="$(find_python)" || exit 1
  if ! supported "$python" || ! "$python" -m pip --version >/dev/null 2>&1
  then
    echo "making .venv with $("$base" --version)"
    rm -rf "$venv"
    "$base" -m venv "$venv" >"$log" 2>&1 || fail "no .venv: $(reason)"
  fi
  echo "installing trainloop-tf[$extra] and what it needs into .venv"
  "$python" -m pip install --disable-pip-version-check \
    -e "$root[$extra]" >"$log" 2>&1 || fail "not installed: $(reason)"
  echo "$wanted" >"$stamp" || fail "no space left on the disk"
  rm -f "$log"
}

# The stamp is written last, so an interrupted installation is done again.
stamp="$venv/.installed-$extra"
wanted="$(cksum <"$root/pyproject.toml") $root"
if [ ! -x "$python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  install
fi
