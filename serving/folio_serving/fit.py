"""Which rungs of a ladder may and can take a request: clearances first, then task, inputs, features and
room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from folio_api.table import DataClass, Feature, Input, Model, Rung, Task
from folio_serving.clearance import Clearances

SkipReason = Literal["NotCleared", "TooLong", "Unsupported", "ToolResult"]


@dataclass(frozen=True, slots=True)
class Skip:
    """A rung that will not be asked, and why."""

    model: str
    reason: SkipReason
    message: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What a request demands of a model."""

    task: Task
    inputs: frozenset[Input]
    features: frozenset[Feature]
    prompt_tokens: int
    max_tokens: int | None

    def obstacle(self, model: Model) -> Skip | None:
        """Return why the model cannot take the request; None when it can."""
        if not _does(model, self.task):
            return Skip(model.name, "Unsupported", f"{model.name} does not declare task {self.task}")
        missing = self._missing(model) if self.inputs or self.features else []
        if missing:
            return Skip(model.name, "Unsupported", f"{model.name} does not declare {', '.join(missing)}")
        if model.context_tokens is not None and self.tokens > model.context_tokens:
            return Skip(
                model.name,
                "TooLong",
                f"about {self.tokens} tokens with the answer; {model.name} takes {model.context_tokens}",
            )
        return None

    def _missing(self, model: Model) -> list[str]:
        return [*sorted(self.inputs - {*model.inputs, "Text"}), *sorted(self.features - set(model.features))]

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + (self.max_tokens or 1)


@dataclass(frozen=True, slots=True)
class Admission:
    """Whom one request may be shown to."""

    models: Mapping[str, Model]
    clearances: Clearances
    classes: tuple[DataClass, ...]
    fit: Fit

    def of(self, ladder: tuple[Rung, ...], *, by_name: bool) -> tuple[tuple[Rung, ...], tuple[Skip, ...]]:
        """Return the rungs that are left, and why the others are not.

        Lengths are estimates: a model asked by name, or the roomiest when the estimate leaves nobody,
        judges by itself.
        """
        obstacles = tuple(self._obstacle(rung.model) for rung in ladder)
        if by_name or all(obstacles):
            roomiest = self._roomiest(ladder, obstacles)
            obstacles = tuple(None if index == roomiest else found for index, found in enumerate(obstacles))
        kept = tuple(
            self._with_cleared_peers(rung) for rung, found in zip(ladder, obstacles, strict=True) if not found
        )
        return kept, tuple(found for found in obstacles if found)

    def _obstacle(self, name: str) -> Skip | None:
        model = self.models.get(name)
        if model is None:
            return Skip(name, "Unsupported", f"{name} is not a model of this portfolio")
        uncleared = self.clearances.obstacle(model, self.classes)
        return Skip(name, "NotCleared", uncleared) if uncleared else self.fit.obstacle(model)

    def _roomiest(self, ladder: tuple[Rung, ...], obstacles: tuple[Skip | None, ...]) -> int | None:
        too_long = [index for index, found in enumerate(obstacles) if found and found.reason == "TooLong"]
        return max(
            too_long, key=lambda index: self.models[ladder[index].model].context_tokens or 0, default=None
        )

    def _with_cleared_peers(self, rung: Rung) -> Rung:
        if not rung.accept.models:
            return rung
        peers = tuple(peer for peer in rung.accept.models if self._obstacle(peer) is None)
        if peers == rung.accept.models:
            return rung
        return rung.model_copy(update={"accept": rung.accept.model_copy(update={"models": peers})})


def _does(model: Model, task: Task) -> bool:
    # A Classification answers chat with its label; a retriever with what it found.
    answers_chat = "Classification" in model.tasks or model.engine == "retriever"
    return task in model.tasks or (task == "Chat" and answers_chat)
