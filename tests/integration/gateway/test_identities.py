"""A rolling update: old and new replicas answer under one name, and neither passes for the other."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from tests.integration.gateway.conftest import Portfolio, own_model, rung, table_of
from tests.integration.gateway.models import Plays

from folio_api.table import Accept, ModelState, Rung, Table, Target
from folio_api.table import Artifact as ArtifactRef
from folio_serving.calibration import Artifact, Certificate, Entry, Isotonic

HALF = Isotonic(x=(0.0, 0.5), y=(0.1, 0.75))
CERTIFIED = Certificate(
    max_error_rate=0.05, confidence=0.9, at_least=0.5, samples=500, method="ClopperPearson"
)


def version(number: int, **fields: object) -> Table:
    small = own_model("small", identity=f"small-{number}")
    return table_of(small, own_model("large"), ladder=(rung("small", 0.6), rung("large")), **fields)


def calibrated(path: Path, number: int) -> Table:
    """Return a table that promises an error rate by an artifact that knows this version of `small` only."""
    signals = ("MeanLogprob", "MeanLogprob@32")
    artifact = Artifact(
        entries=tuple(
            Entry(
                model=f"small-{number}",
                signal=signal,
                decoding="sampled",
                samples=500,
                map=HALF,
                certificates=(CERTIFIED,),
            )
            for signal in signals
        )
    )
    path.write_bytes(artifact.to_bytes())
    accept = Accept(signal="MeanLogprob", target=Target(max_error_rate=0.05))
    table = version(number, artifact=ArtifactRef(uri=f"file://{path}", sha256=_sha256(path)))
    ladder = (Rung(model="small", accept=accept), rung("large"))
    return table.model_copy(update={"default_ladder": ladder}).with_revision()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_old_replicas_answer_is_not_judged_by_the_new_ones_calibration(
    portfolio: Portfolio, tmp_path: Path, stream: bool
) -> None:
    await portfolio.apply(calibrated(tmp_path / "artifact.json", 2))
    portfolio.models.plays["small"] = Plays(mean=0.9, identity="small-2")
    new = await portfolio.chat(stream=stream)
    portfolio.models.plays["small"] = Plays(mean=0.9, identity="small-1")
    old = await portfolio.chat(stream=stream)
    assert (new.headers["x-folio-model"], old.headers["x-folio-model"]) == ("small", "large")
    portfolio.process.app._answering.close()
    certain, uncertain = (json.loads(line)["attempts"][0] for line in portfolio.log.getvalue().splitlines())
    assert (certain["confidence"], certain["reason"], "identity" in certain) == (0.75, "Accepted", False)
    assert (uncertain["reason"], uncertain["identity"]) == ("NotConfident", "small-1")


async def test_replicas_are_told_whom_they_are_asked_for(portfolio: Portfolio) -> None:
    await portfolio.chat()
    assert portfolio.models.headers[0]["x-folio-model"] == "small"


async def state_of_small(portfolio: Portfolio) -> ModelState:
    health, policy = portfolio.process.health, portfolio.process.keeper.active
    await asyncio.gather(*(health._try(backend) for backend in policy.backends.values()))
    return next(state for state in health.states(policy) if state.name == "small")


async def test_an_update_is_ready_when_a_new_replica_has_answered(portfolio: Portfolio) -> None:
    await portfolio.apply(version(1))
    portfolio.models.plays["small"] = Plays(identity="small-1")
    assert (await state_of_small(portfolio)).state == "Ready"
    await portfolio.apply(version(2))
    known = portfolio.process.health.states(portfolio.process.keeper.active)
    assert [(one.state, one.reason) for one in known] == [("Updating", "OldReplicas"), ("Ready", "")]
    assert (await state_of_small(portfolio)).state == "Updating"
    portfolio.models.plays["small"] = Plays(identity="small-2")
    assert (await state_of_small(portfolio)).state == "Ready"
    portfolio.models.plays["small"] = Plays(identity="small-1")
    assert (await state_of_small(portfolio)).state == "Ready", "one of the two still answers"


async def test_a_version_that_comes_back_is_not_ready_by_what_it_once_was(portfolio: Portfolio) -> None:
    for number in (1, 2):
        await portfolio.apply(version(number))
        portfolio.models.plays["small"] = Plays(identity=f"small-{number}")
        assert (await state_of_small(portfolio)).state == "Ready"
    await portfolio.apply(version(1))
    assert (await state_of_small(portfolio)).state == "Updating"


async def test_a_gateway_stays_ready_while_old_replicas_answer(portfolio: Portfolio) -> None:
    await portfolio.apply(version(1))
    portfolio.models.plays["small"] = Plays(identity="small-1")
    await state_of_small(portfolio)
    only_small = version(2).model_copy(update={"default_ladder": (rung("small"),)}).with_revision()
    await portfolio.apply(only_small)
    assert (await portfolio.client.get("/readyz")).status_code == 200
    told = await state_of_small(portfolio)
    assert (told.state, told.served_by) == ("Updating", "")


async def test_an_update_is_found_within_seconds_without_a_change_of_replicas(portfolio: Portfolio) -> None:
    await portfolio.apply(version(1))
    portfolio.models.plays["small"] = Plays(identity="small-1")
    portfolio.process.health._task = None
    await portfolio.apply(version(2))
    await asyncio.sleep(0.3)
    health, policy = portfolio.process.health, portfolio.process.keeper.active
    assert health.states(policy)[0].state == "Updating"
    portfolio.models.plays["small"] = Plays(identity="small-2")
    await asyncio.sleep(1.5)
    assert health.states(policy)[0].state == "Ready"
    health.close()
