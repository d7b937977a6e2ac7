#!/usr/bin/env bash
# Sets up what the tests need, Chromium included, and runs them.   ./test.sh                 all of them
#                                                                  ./test.sh everything     also what is long for a reason
#                                                                  ./test.sh unit | hostile | browser   one part
#                                                                  ./test.sh stress         browser twice, unit once, on a busy machine
#                                                                  ./test.sh PYTEST-ARGUMENTS
# Behind everything, stress or the name of a part, pytest's arguments go to each of its runs: ./test.sh stress -k queue
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '%s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Prints the path of a Chromium that starts, or nothing
find_chromium() {
  local candidate
  for candidate in "${CHROMIUM:-}" chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable \
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
    {
      as_root apt-get update -qq || true
      # The shell has no windows and costs less; not every Debian has it
      for package in chromium-headless-shell chromium; do
        DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq "$package" && return
      done
    } >&2
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
  stress) parts=(browser browser unit) ;;
  unit | hostile | browser) parts=("$1") ;;
  *) exec .venv/bin/python -m pytest "$@" ;;
esac
wish="${1:-all}"
[ $# = 0 ] || shift
more=("$@")

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
scratch_made="" busy=()
clean_up() {
  [ "${#busy[@]}" = 0 ] || kill "${busy[@]}" 2>/dev/null || true
  [ -z "$scratch_made" ] || rm -rf "$scratch_made"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -z "${TMPDIR:-}" ] && [ -w "$memory" ] && [ "$(df -Pk "$memory" | awk 'NR == 2 { print $4 }')" -gt 4000000 ]; then
  scratch_made="$(mktemp -d "$memory/luthier-tests.XXXXXX")"
  scratch="$scratch_made"
else
  scratch="${TMPDIR:-/tmp}"
fi

# One process per core that only computes; each ends with this script, however that ends
keep_busy() {
  local cores
  cores="$(.venv/bin/python -c 'import os; print(os.cpu_count())')"
  for _ in $(seq "$cores"); do
    .venv/bin/python -c 'import os
parent = os.getppid()
while os.getppid() == parent: sum(range(10**6))' &
    busy+=($!)
  done
  say "The machine is kept busy by $cores processes."
}

run() { .venv/bin/python -m pytest "$@" ${more[@]+"${more[@]}"}; }

export PYTHONDONTWRITEBYTECODE=  # each part would compile all tests anew: half of the time it takes to find them
export OMP_WAIT_POLICY=PASSIVE  # two trainings at once on few cores: threads that wait must not compute meanwhile
others=(--ignore=tests/browser --ignore=tests/hostile --ignore=tests/bench)
unit=(tests "${others[@]}" -m "not slow$short" -n 2 --dist loadfile)
alone=(tests/hostile -m "alone$short")  # these have limits of seconds
hostile=(tests/hostile -m "not slow and not alone$short" -n 2 --dist worksteal)  # attacks, bombs, bad files
slow=(tests --ignore=tests/browser --ignore=tests/bench -m "slow$short" -n 2 --dist loadfile)  # a file often trains one model for all its tests
browser=(tests/browser -m "browser$short" -n 2 --dist loadfile)  # each of the two has a server and a Chromium
[ "$wish" != stress ] || keep_busy
for part in "${parts[@]}"; do
  say "== $part tests"
  case "$part" in
    unit) TMPDIR="$scratch" run "${unit[@]}" ;;
    hostile)
      run "${alone[@]}"
      run "${hostile[@]}"
      TMPDIR="$scratch" run "${slow[@]}"
      ;;
    browser) run "${browser[@]}" ;;
  esac
done
