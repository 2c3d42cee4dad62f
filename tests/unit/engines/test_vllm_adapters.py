from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from tests.unit.engines.asgi import FakeEngine, play

from folio_api.spec import Adapter, ModelConfig, Source
from folio_serving.engines.vllm.absent import AbsentAdapters, explained
from folio_serving.engines.vllm.adapters import AdapterRefused, Adapters, plan


@dataclass
class FakeAdapterEngine:
    done: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)

    async def load(self, name: str, path: Path) -> None:
        await asyncio.sleep(0)
        self.done.append(f"load {name} {path.name}")
        if name in self.refuses:
            raise AdapterRefused("rank 64 is above 16")

    async def unload(self, name: str) -> None:
        self.done.append(f"unload {name}")


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOLIO_VOLUMES_DIR", str(tmp_path))
    for name in ("legal", "legal-2", "medical"):
        (tmp_path / "m" / name).mkdir(parents=True)
        (tmp_path / "m" / name / "adapter_config.json").write_text("{}")
    return tmp_path / "m"


def adapter(name: str, path: str | None = None) -> Adapter:
    return Adapter(name=name, source=Source(uri=f"volume://m/{path or name}"), rank=8, identity=path or name)


def config(*adapters: Adapter) -> ModelConfig:
    return ModelConfig(adapters=adapters)


def test_the_plan_loads_what_is_missing_and_unloads_what_is_not_wanted() -> None:
    todo = plan({"old": adapter("old"), "same": adapter("same")}, [adapter("same"), adapter("new")])
    assert (todo.unload, todo.load) == (("old",), (adapter("new"),))


def test_an_adapter_from_elsewhere_replaces_its_namesake() -> None:
    todo = plan({"legal": adapter("legal")}, [adapter("legal", "legal-2")])
    assert (todo.unload, todo.load) == (("legal",), (adapter("legal", "legal-2"),))


async def test_adapters_come_and_go_in_place(volume: Path) -> None:
    engine = FakeAdapterEngine()
    adapters = Adapters(engine)
    await adapters.want(config(adapter("legal"), adapter("medical")))
    await adapters.want(config(adapter("medical")))
    assert engine.done == ["load legal legal", "load medical medical", "unload legal"]
    assert adapters.identities() == {"medical": "medical"}


async def test_what_is_loaded_is_not_loaded_again(volume: Path) -> None:
    engine = FakeAdapterEngine()
    adapters = Adapters(engine)
    await adapters.want(config(adapter("legal")))
    await adapters.settle()
    await adapters.want(config(adapter("legal")))
    assert engine.done == ["load legal legal"]


async def test_a_missing_adapter_is_a_reason_and_keeps_no_other_from_loading(volume: Path) -> None:
    engine = FakeAdapterEngine()
    adapters = Adapters(engine)
    await adapters.want(config(adapter("ghost"), adapter("legal")))
    assert engine.done == ["load legal legal"]
    assert "PathNotFound: volume://m/ghost" in adapters.failures["ghost"].reason


async def test_a_refused_adapter_is_tried_again_only_when_its_files_change(volume: Path) -> None:
    engine = FakeAdapterEngine(refuses={"legal"})
    adapters = Adapters(engine)
    await adapters.want(config(adapter("legal")))
    await adapters.settle()
    assert engine.done == ["load legal legal"]
    assert adapters.failures["legal"].reason == "rank 64 is above 16"
    engine.refuses.clear()
    os.utime(volume / "legal" / "adapter_config.json", ns=(1, 1))
    await adapters.settle()
    assert engine.done == ["load legal legal"] * 2
    assert not adapters.failures


async def test_an_adapter_that_appears_later_is_loaded_by_itself(volume: Path) -> None:
    engine = FakeAdapterEngine()
    adapters = Adapters(engine)
    await adapters.want(config(adapter("late")))
    (volume / "late").mkdir()
    (volume / "late" / "adapter_config.json").write_text("{}")
    await adapters.settle()
    assert engine.done == ["load late late"]


async def test_a_health_check_amid_a_new_configuration_loads_nothing_twice(volume: Path) -> None:
    engine = FakeAdapterEngine()
    adapters = Adapters(engine)
    await asyncio.gather(adapters.want(config(adapter("legal"))), adapters.settle(), adapters.settle())
    assert engine.done == ["load legal legal"]


async def test_an_unwanted_failure_is_forgotten(volume: Path) -> None:
    adapters = Adapters(FakeAdapterEngine(refuses={"legal"}))
    await adapters.want(config(adapter("legal")))
    await adapters.want(config())
    assert not adapters.failures


NOT_FOUND = orjson.dumps(
    {"error": {"message": "The model `ghost` does not exist.", "type": "NotFoundError", "code": 404}}
)


def test_the_engines_404_gets_the_reason_of_the_adapter_that_it_names() -> None:
    message = orjson.loads(explained(NOT_FOUND, {"ghost": "no such path"}))["error"]["message"]
    assert message == "The model `ghost` does not exist. Its adapter could not be loaded: no such path"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"error": "text"}', b'{"error": {"message": "The model `x` ..."}}']
)
def test_any_other_404_stays_as_it_is(body: bytes) -> None:
    assert explained(body, {"ghost": "no such path"}) == body


async def test_only_a_404_is_held_back_for_its_reason() -> None:
    app = AbsentAdapters(FakeEngine([b"one", b"two"]), lambda: {"ghost": "no such path"})
    played = await play(app)
    assert (played.body, len(played.messages)) == (b"onetwo", 3)


async def test_the_explained_404_has_its_new_length() -> None:
    app = AbsentAdapters(
        FakeEngine([NOT_FOUND[:9], NOT_FOUND[9:]], status=404), lambda: {"ghost": "no such path"}
    )
    played = await play(app)
    assert b"no such path" in played.body
    assert played.headers["content-length"] == str(len(played.body))
