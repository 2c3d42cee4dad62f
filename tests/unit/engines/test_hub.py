from __future__ import annotations

import pytest

from folio_serving.hub import FORMATS, INDEX, bar_class, rising, wanted

REST = {"config.json", "tokenizer.json", "chat_template.jinja"}


@pytest.mark.parametrize(
    ("weights", "fetched"),
    [
        ({"model.safetensors", "pytorch_model.bin", "tf_model.h5"}, {"model.safetensors"}),
        ({"pytorch_model.bin", "model.pt"}, {"pytorch_model.bin"}),
        ({"a-1.safetensors", "a-2.safetensors"}, {"a-1.safetensors", "a-2.safetensors"}),
        (
            {"consolidated.safetensors", "model-1.safetensors", "model-2.safetensors"},
            {"consolidated.safetensors"},
        ),
        ({"onnx/model.onnx", "q4.gguf"}, set()),
    ],
)
def test_of_weights_that_come_in_several_forms_one_is_fetched(weights: set[str], fetched: set[str]) -> None:
    assert wanted(REST | weights) == REST | fetched


@pytest.mark.parametrize(
    ("load_format", "weights", "fetched"),
    [
        ("hf", {INDEX, "model-1.safetensors", "consolidated.safetensors"}, {INDEX, "model-1.safetensors"}),
        (
            "hf",
            {"model.safetensors", "consolidated.safetensors"},
            {"model.safetensors", "consolidated.safetensors"},
        ),
        ("hf", {"consolidated.00.pth", "pytorch_model.bin"}, {"pytorch_model.bin"}),
        ("safetensors", {INDEX, "a-1.safetensors", "consolidated.safetensors"}, {INDEX, "a-1.safetensors"}),
        ("safetensors", {"pytorch_model.bin"}, set()),
    ],
)
def test_what_is_fetched_is_what_the_load_format_takes(
    load_format: str, weights: set[str], fetched: set[str]
) -> None:
    assert wanted(REST | weights, FORMATS[load_format]) == REST | fetched


def test_two_bars_of_bytes_are_told_as_one_that_only_rises_to_the_whole() -> None:
    told: list[tuple[int, int]] = []
    bars = bar_class(rising(lambda done, total: told.append((done, total)), 100))
    came, put_together, files = bars(unit="B"), bars(unit="B"), bars(unit="it")

    came.update(40)
    put_together.update(10)
    files.update(99)
    put_together.update(50)
    came.update(5)
    put_together.update(60)
    came.update(80)

    assert told == [(40, 100), (60, 100), (100, 100)]
