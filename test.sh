#!/usr/bin/env bash
# Sets up what the tests need, Chromium included, and runs them.   ./test.sh                 all of them
#                                                                  ./test.sh everything     also what is long for a reason
#                                                                  ./test.sh unit | hostile | browser   one part
#                                                                  ./test.sh PYTEST-ARGUMENTS
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '%s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Prints the path of a Chromium that starts, or nothing
find_chromium() {
  local candidate
  for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" "/Applications/Chromium.app/Contents/MacOS/Chromium" \
    "$(.venv/bin/python -c 'from playwright.sync_api import sync_playwright
with sync_playwright() as p: print(p.chromium.executable_path)' 2>/dev/null)"; do
    [ -n "$candidate" ] || continue
    candidate="$(command -v "$candidate" || true)"
    if [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then
      printf '%s' "$candidate"
      return
    fi
  done
}

install_chromium() {
  say "No Chromium found: installing one for the browser tests."
  if command -v apt-get >/dev/null 2>&1; then
    { as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq chromium; } >&2 && return
  elif command -v dnf >/dev/null 2>&1; then
    as_root dnf install -y -q chromium >&2 && return
  elif command -v pacman >/dev/null 2>&1; then
    as_root pacman -Sy --noconfirm chromium >&2 && return
  elif command -v brew >/dev/null 2>&1; then
    brew install --cask chromium >&2 && return
  fi
  .venv/bin/python -m playwright install chromium >&2 || true
}

LUTHIER_REQUIREMENTS_FILE=requirements-dev.txt ./start.sh --install

short=" and not long"
case "${1:-all}" in
  all) parts=(unit hostile browser) ;;
  everything) parts=(unit hostile browser) short="" ;;
  unit | hostile | browser) parts=("$1") ;;
  *) exec .venv/bin/python -m pytest "$@" ;;
esac

if [[ " ${parts[*]} " == *" browser "* ]]; then
  CHROMIUM="$(find_chromium)"
  if [ -z "$CHROMIUM" ]; then
    install_chromium
    CHROMIUM="$(find_chromium)"
  fi
  if [ -z "$CHROMIUM" ]; then
    say "The browser tests need Chromium and it could not be installed. Install it (Debian: apt install chromium), or set CHROMIUM to its path, and run this again."
    exit 1
  fi
  export CHROMIUM
fi

# Thousands of small databases: in memory where there is room for them, because a commit takes 0.02 ms there and 0.5 ms on a disk
memory=/dev/shm
if [ -z "${TMPDIR:-}" ] && [ -w "$memory" ] && [ "$(df -Pk "$memory" | awk 'NR == 2 { print $4 }')" -gt 4000000 ]; then
  scratch="$(mktemp -d "$memory/luthier-tests.XXXXXX")"
  trap 'rm -rf "$scratch"' EXIT
else
  scratch="${TMPDIR:-/tmp}"
fi

others=(--ignore=tests/browser --ignore=tests/hostile --ignore=tests/bench)
unit=(tests "${others[@]}" -m "not slow$short" -n 2 --dist loadfile)
hostile=(tests/hostile -m "not browser$short" -n 2)             # attacks, bombs, bad files, killed processes
slow=(tests "${others[@]}" -m "slow$short" -n 2 --dist load)     # these wait for whole processes
browser=(tests/browser -m "browser$short" -s)
for part in "${parts[@]}"; do
  say "== $part tests"
  case "$part" in
    unit) TMPDIR="$scratch" .venv/bin/python -m pytest "${unit[@]}" ;;
    hostile)
      .venv/bin/python -m pytest "${hostile[@]}"
      TMPDIR="$scratch" .venv/bin/python -m pytest "${slow[@]}"
      ;;
    browser) .venv/bin/python -m pytest "${browser[@]}" ;;
  esac
done
