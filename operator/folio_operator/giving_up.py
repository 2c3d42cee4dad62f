"""When a model that Serve gave up on is worth another try: after half a minute, then ever more rarely. And
when one that Serve still tries is too late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from folio_api.meta import Key
from folio_api.table import ModelState
from folio_operator.retry import has_given_up
from folio_operator.status import LATE, ON_THE_WAY
from folio_operator.world import Application, Portfolio

FIRST_SECONDS = 30.0
MOST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Failing:
    tries: int
    due: float


@dataclass
class Patience:
    """Remembers since when which application fails; forgotten at a restart, which costs one early try."""

    _failing: dict[tuple[Key, str], _Failing] = field(default_factory=dict)

    def due(
        self, portfolio: Key, seen: Mapping[str, Application], now: float
    ) -> tuple[dict[str, Application], float | None]:
        """Return the applications to try again now, and in how many seconds the next one is due."""
        self._forget_running(portfolio, seen)
        ready = {
            name: application
            for name, application in seen.items()
            if has_given_up(application) and self._is_due((portfolio, name), now)
        }
        waits = [each.due - now for (key, _), each in self._failing.items() if key == portfolio]
        return ready, min(waits, default=None)

    def forget(self, portfolio: Key) -> None:
        self._failing = {key: each for key, each in self._failing.items() if key[0] != portfolio}

    def _is_due(self, key: tuple[Key, str], now: float) -> bool:
        failing = self._failing.setdefault(key, _Failing(0, now + FIRST_SECONDS))
        if now < failing.due:
            return False
        pause = min(FIRST_SECONDS * 2.0 ** (failing.tries + 1), MOST_SECONDS)
        self._failing[key] = _Failing(failing.tries + 1, now + pause)
        return True

    def _forget_running(self, portfolio: Key, seen: Mapping[str, Application]) -> None:
        for name, application in seen.items():
            if application.state == "RUNNING":
                self._failing.pop((portfolio, name), None)


@dataclass
class Lateness:
    """Remembers since when which model is on its way; a restart of the operator begins anew."""

    _since: dict[tuple[Key, str], float] = field(default_factory=dict)

    def note(self, portfolio: Key, models: Iterable[ModelState], now: float) -> None:
        for state in models:
            if state.state in ON_THE_WAY or state.reason == LATE:
                self._since.setdefault((portfolio, state.name), now)
            else:
                self._since.pop((portfolio, state.name), None)

    def late(self, portfolio: Portfolio, now: float) -> frozenset[str]:
        """Return the models that take longer than their startupTimeout."""
        return frozenset(name for name, left in self._left(portfolio, now) if left <= 0)

    def seconds_until_due(self, portfolio: Portfolio, now: float) -> float | None:
        """Return in how many seconds the next model is late."""
        return min((left for _, left in self._left(portfolio, now) if left > 0), default=None)

    def forget(self, portfolio: Key) -> None:
        self._since = {key: each for key, each in self._since.items() if key[0] != portfolio}

    def _left(self, portfolio: Portfolio, now: float) -> Iterator[tuple[str, float]]:
        for entry in portfolio.resource.spec.models:
            since = self._since.get((portfolio.key, entry.name))
            if since is not None:
                yield entry.name, since + entry.startup_timeout_seconds - now
