"""Which data classes a request is of, and who may then see it. Rules only, before and above anything learned.

A header may add a class, never remove one; a detector's find in any text of the request adds its class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from folio_api.table import DataClass, Model, Table
from folio_serving.detectors import detected


@dataclass(frozen=True, slots=True)
class Clearances:
    """A table's data classes, compiled."""

    classes: tuple[DataClass, ...]
    portfolio_region: str | None

    @classmethod
    def of(cls, table: Table) -> Clearances:
        return cls(table.data_classes, table.region)

    def classes_of(
        self, headers: Mapping[str, str], texts: Iterable[str], *, readable: bool = True
    ) -> tuple[DataClass, ...]:
        """Return the data classes of a request, in the table's order.

        Texts that nobody here can read are taken to hold all that is looked for.
        """
        if not self.classes:
            return ()
        wanted = frozenset(name for one in self.classes for name in one.detectors)
        found = wanted if not readable else detected(wanted, texts) if wanted else frozenset()
        return tuple(
            one
            for one in self.classes
            if any(_says(headers.get(match.name), match.value) for match in one.headers)
            or not found.isdisjoint(one.detectors)
        )

    def obstacle(self, model: Model, classes: Iterable[DataClass]) -> str | None:
        """Return why a model may not see a request of these classes; None when it may."""
        region = self.region_of(model)
        for one in classes:
            if one.name not in model.clearances:
                return f"{model.name} is not cleared for {one.name}"
            if one.regions and region not in one.regions:
                allowed = ", ".join(one.regions)
                return f"{model.name} runs in {region or 'no known region'}; {one.name} stays in {allowed}"
        return None

    def region_of(self, model: Model) -> str | None:
        """Return where a model runs: an external one where it says, all others where the portfolio does."""
        return model.region or (None if model.engine == "external" else self.portfolio_region)


def _says(header: str | None, value: str) -> bool:
    """Tell whether a header holds the value: alone, or in a list, which is what repeated headers are."""
    if header is None:
        return False
    return header == value or value in [item.strip() for item in header.split(",")]
