# Sourced by run and on-cluster.

phase() { # NAME COMMAND...
    local name=$1 began=$SECONDS
    shift
    printf '\n=== %s: %s\n' "$name" "$*"
    # Said, not left to `set -e`: bash ignores that in a command before `||`.
    "$@" || { printf '=== %s: FAILED after %d s\n' "$name" $((SECONDS - began)) && return 1; }
    printf '=== %s: passed in %d s\n' "$name" $((SECONDS - began))
}
