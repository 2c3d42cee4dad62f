"""Which portfolios name a policy or a model: an index, so that an event about one does not go over all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from folio_api.meta import Key
from folio_operator.cluster import MODEL, POLICY, Body, Kind, key_of

Subject = tuple[Kind, Key]


@dataclass
class Naming:
    """Kept beside the portfolios of a store: told of each that is put there or dropped."""

    _named: dict[Key, tuple[Subject, ...]] = field(default_factory=dict)
    _namers: dict[Subject, set[Key]] = field(default_factory=lambda: defaultdict(set))

    def put(self, portfolio: Body) -> None:
        key, named = key_of(portfolio), named_by(portfolio)
        if self._named.get(key) == named:
            return
        self.drop(key)
        self._named[key] = named
        for subject in named:
            self._namers[subject].add(key)

    def drop(self, portfolio: Key) -> None:
        for subject in self._named.pop(portfolio, ()):
            self._namers[subject].discard(portfolio)
            if not self._namers[subject]:
                del self._namers[subject]

    def namers(self, subject: Subject) -> tuple[Key, ...]:
        return tuple(sorted(self._namers.get(subject, ())))


def named_by(portfolio: Body) -> tuple[Subject, ...]:
    """Return the policy and the models that a portfolio names, each once, as far as it can be read at all."""
    namespace, spec = key_of(portfolio).namespace, _mapping(portfolio.get("spec"))
    models = spec.get("models")
    entries = [_mapping(each) for each in models] if isinstance(models, list) else []
    named = [
        (POLICY, _mapping(spec.get("policyRef")).get("name")),
        *((MODEL, _mapping(each.get("modelRef")).get("name") or each.get("name")) for each in entries),
    ]
    return tuple(dict.fromkeys((kind, Key(namespace, name)) for kind, name in named if isinstance(name, str)))


def _mapping(value: object) -> Body:
    """Return it, or nothing where the API server's schema would have refused it."""
    return value if isinstance(value, Mapping) else {}
