from __future__ import annotations

import importlib.util

import pytest

from folio_serving.engines.vllm.arguments import EngineArgumentError, check, known_arguments

pytestmark = pytest.mark.skipif(not known_arguments(), reason="the engine is not installed")


def test_an_unknown_argument_fails_by_its_name_with_the_nearest_known_one() -> None:
    with pytest.raises(EngineArgumentError, match=r"engineArgs.max_modl_len.*did you mean max_model_len\?"):
        check({"enforce_eager": True, "max_modl_len": 3})


@pytest.mark.parametrize("name", ["model", "served_model_name", "tensor_parallel_size", "enable_lora"])
def test_an_argument_that_the_resource_has_a_field_for_is_refused_with_that_field(name: str) -> None:
    with pytest.raises(EngineArgumentError, match=f"engineArgs.{name}: set .* instead"):
        check({name: 1})


def test_engine_and_frontend_arguments_are_known() -> None:
    check({"max_model_len": 1, "quantization": "awq", "enable_auto_tool_choice": True, "chat_template": "x"})


def test_without_vllm_nothing_is_known_and_nothing_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    known_arguments.cache_clear()
    try:
        check({"anything": 1})
    finally:
        known_arguments.cache_clear()
