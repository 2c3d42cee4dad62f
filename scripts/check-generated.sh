#!/usr/bin/env bash
# check-generated.sh PATH... -- COMMAND...: runs the generator COMMAND and fails where it changed a file under PATH.
# Compares with the working tree, not with the last commit, so that it can be run before committing.
set -euo pipefail

paths=()
while [ "${1---}" != -- ]; do paths+=("$1"); shift; done
shift
digest() { find "${paths[@]}" -type f -not -name '*.pyc' -print0 2>/dev/null | sort -z | xargs -0r sha256sum; }
before=$(digest)
"$@"
if ! changed=$(diff <(echo "$before") <(digest)); then
    printf 'These were out of date, and are now written by `%s`: commit them.\n' "$*" >&2
    awk '/^[<>]/ {print "  " $3}' <<<"$changed" | sort -u >&2
    exit 1
fi
