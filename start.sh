#!/usr/bin/env bash
# Sets up Luthier beside this file and runs it.   ./start.sh            set up what is missing, then run
#                                                 ./start.sh --install  only set up
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  say "Luthier needs Python 3.11 or newer and found none. Install it (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python) and run this again."
  exit 1
}

# install REQUIREMENTS-FILE: into .venv, only when the file or the Python changed since the last time
install() {
  local stamp wanted
  stamp=".venv/.installed-$(basename "$1")"
  wanted="$(cat requirements.txt "$1" | cksum) $(.venv/bin/python --version)"
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  say "Installing what $1 lists. The first time takes some minutes."
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$1" || {
    say "The packages could not be installed; the lines above say why. Most often the network is missing. Run this again: it goes on where it stopped."
    exit 1
  }
  printf '%s' "$wanted" >"$stamp"
}

# A moved or half-made environment is made again
if ! .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
  python="$(find_python)"
  rm -rf .venv
  "$python" -m venv .venv || {
    rm -rf .venv
    say "Python's venv module is missing. Debian, Ubuntu: apt install python3-venv. Then run this again."
    exit 1
  }
fi
install "${LUTHIER_REQUIREMENTS_FILE:-requirements.txt}"
[ "${1:-}" = "--install" ] && exit 0
exec .venv/bin/python -m core.launch "$@"
