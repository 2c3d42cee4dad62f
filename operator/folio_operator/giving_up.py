"""When a model that Serve gave up on is worth another try: after half a minute, then ever more rarely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from folio_api.meta import Key
from folio_operator.retry import has_given_up
from folio_operator.world import Application

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
        self._forget_recovered(portfolio, seen)
        failed = {name: each for name, each in seen.items() if has_given_up(each)}
        ready = {name: each for name, each in failed.items() if self._is_due((portfolio, name), now)}
        return ready, min((self._failing[portfolio, name].due - now for name in failed), default=None)

    def forget(self, portfolio: Key) -> None:
        self._failing = {key: each for key, each in self._failing.items() if key[0] != portfolio}

    def _is_due(self, key: tuple[Key, str], now: float) -> bool:
        failing = self._failing.setdefault(key, _Failing(0, now + FIRST_SECONDS))
        if now < failing.due:
            return False
        pause = min(FIRST_SECONDS * 2.0 ** (failing.tries + 1), MOST_SECONDS)
        self._failing[key] = _Failing(failing.tries + 1, now + pause)
        return True

    def _forget_recovered(self, portfolio: Key, seen: Mapping[str, Application]) -> None:
        """Forget what runs or is asked for no more; where nothing is said of any, all may be there still."""
        for key, name in [each for each in self._failing if each[0] == portfolio] if seen else ():
            if name not in seen or seen[name].state == "RUNNING":
                del self._failing[key, name]
