#!/usr/bin/env bash
# Writes requirements/constraints.txt from what .venv holds: names and versions, no hosts, no paths.
set -euo pipefail
cd "$(dirname "$0")/.."

# Removed after every install of the engine; a pin would bring back nothing but a longer download.
readonly UNWANTED='^(torchvision|torchaudio|torchcodec)=='
pins=$(.venv/bin/python -m pip freeze --disable-pip-version-check --exclude-editable 2>/dev/null | grep -vE "$UNWANTED")
if grep ' @ ' <<<"$pins" >&2; then
    echo 'lock: the packages above were installed from a file or a URL: install them by name first' >&2
    exit 1
fi
# What only training needs is seldom installed: its pins stay as they are.
kept=$(grep -E '^(accelerate|peft)==' requirements/constraints.txt | grep -vxFf <(echo "$pins") || true)
{
    echo '# Every version that was installed together and tested, for Linux x86_64 and Python 3.11. Written by `make lock`.'
    printf '%s\n%s\n' "$pins" "$kept" | grep . | LC_ALL=C sort -fu -t= -k1,1
} >requirements/constraints.txt
