from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from folio_api.spec import LoRASlots, ModelSpec, Source
from folio_serving.engines.vllm import bundles
from folio_serving.engines.vllm.settings import engine_arguments, lora_rank, settings
from folio_serving.sources import HubModel, SourceError


@pytest.fixture(autouse=True)
def _volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_VOLUMES_DIR", str(tmp_path))
    (tmp_path / "models" / "tiny").mkdir(parents=True)


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec(
        **{
            "name": "tiny",
            "engine": "vllm",
            "identity": "0",
            "source": Source(uri="volume://models/tiny"),
            **changes,
        }
    )


def test_a_local_model_on_a_cpu_runs_eagerly_offline_and_without_a_compiler(tmp_path: Path) -> None:
    chosen = settings(spec())
    loading = chosen.llm_config["model_loading_config"]
    assert loading == {"model_id": "tiny", "model_source": str(tmp_path / "models" / "tiny")}
    assert chosen.llm_config["accelerator_config"] == {"kind": "cpu"}
    assert chosen.llm_config["engine_kwargs"]["enforce_eager"] is True
    assert chosen.environment["TORCHDYNAMO_DISABLE"] == "1"
    assert chosen.environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert chosen.environment["HF_HUB_OFFLINE"] == "1"
    assert chosen.hub is None


def test_a_hub_model_keeps_its_revision_and_its_network() -> None:
    chosen = settings(spec(source=Source(uri="hf://acme/tiny", revision="0a8f")))
    assert chosen.llm_config["model_loading_config"]["model_source"] == "acme/tiny"
    assert chosen.llm_config["engine_kwargs"]["revision"] == "0a8f"
    assert "HF_HUB_OFFLINE" not in chosen.environment
    assert chosen.hub == HubModel("acme/tiny", "0a8f")


def test_a_missing_path_is_said_before_anything_is_imported() -> None:
    with pytest.raises(SourceError, match="PathNotFound: volume://models/gone"):
        settings(spec(source=Source(uri="volume://models/gone")))


def test_the_users_arguments_win_over_defaults_and_ours_over_both() -> None:
    user = {"kv_cache_memory_bytes": 1, "max_model_len": 5, "enforce_eager": False}
    given = engine_arguments(spec(context_tokens=9, gpus=2, engine_args=user))
    assert (given["kv_cache_memory_bytes"], given["max_model_len"], given["enforce_eager"]) == (1, 5, False)
    assert given["tensor_parallel_size"] == 2
    assert engine_arguments(spec(context_tokens=9))["max_model_len"] == 9


def test_a_gpu_model_has_no_cpu_defaults() -> None:
    chosen = settings(spec(gpus=2))
    assert chosen.llm_config["accelerator_config"] == {"kind": "gpu"}
    assert chosen.llm_config["placement_group_config"] == {"bundle_per_worker": {"GPU": 1}}
    assert not {"enforce_eager", "kv_cache_memory_bytes"} & set(chosen.llm_config["engine_kwargs"])
    assert "TORCHDYNAMO_DISABLE" not in chosen.environment


def test_half_a_gpu_is_reserved_and_half_its_memory_used() -> None:
    chosen = settings(spec(gpus=1, gpu_fraction=0.5))
    assert chosen.llm_config["placement_group_config"] == {"bundle_per_worker": {"GPU": 0.5}}
    assert chosen.llm_config["engine_kwargs"]["gpu_memory_utilization"] == 0.45


@pytest.mark.parametrize(
    ("changes", "reserved"),
    [
        ({"cpus": 2}, [{"CPU": 2}]),
        ({"cpus": 1, "gpus": 1}, [{"CPU": 1, "GPU": 1}]),
        ({"cpus": 1, "gpus": 3}, [{"CPU": 1, "GPU": 1}, {"GPU": 1}, {"GPU": 1}]),
        ({"cpus": 1, "gpus": 1, "gpu_fraction": 0.5}, [{"CPU": 1, "GPU": 0.5}]),
    ],
)
def test_a_replica_reserves_one_bundle_for_each_gpu(
    changes: dict[str, Any], reserved: list[dict[str, float]]
) -> None:
    assert bundles(spec(**changes)) == reserved


@pytest.mark.parametrize(("wanted", "taken"), [(1, 1), (4, 8), (8, 8), (24, 32), (512, 512), (999, 512)])
def test_the_maximum_rank_is_the_next_one_that_the_engine_takes(wanted: int, taken: int) -> None:
    assert lora_rank(wanted) == taken


def test_adapter_slots_are_engine_arguments() -> None:
    given = engine_arguments(spec(lora=LoRASlots(max_adapters=3, max_rank=12)))
    assert (given["enable_lora"], given["max_loras"], given["max_lora_rank"]) == (True, 3, 16)


def test_a_reasoning_parser_makes_a_reasoning_model() -> None:
    assert settings(spec(engine_args={"reasoning_parser": "qwen3"})).reasoning
    assert not settings(spec()).reasoning
