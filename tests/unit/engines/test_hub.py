from __future__ import annotations

import pytest

from folio_serving.hub import wanted

REST = {"config.json", "tokenizer.json", "chat_template.jinja"}


@pytest.mark.parametrize(
    ("weights", "fetched"),
    [
        ({"model.safetensors", "pytorch_model.bin", "tf_model.h5"}, {"model.safetensors"}),
        ({"pytorch_model.bin", "model.pt"}, {"pytorch_model.bin"}),
        ({"a-1.safetensors", "a-2.safetensors"}, {"a-1.safetensors", "a-2.safetensors"}),
        ({"onnx/model.onnx", "q4.gguf"}, set()),
    ],
)
def test_of_weights_that_come_in_several_forms_one_is_fetched(weights: set[str], fetched: set[str]) -> None:
    assert wanted(REST | weights) == REST | fetched
