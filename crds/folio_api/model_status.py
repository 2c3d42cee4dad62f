"""What the operator says of a SpecialistModel."""

from typing import Annotated

from pydantic import Field

from folio_api.markers import list_map
from folio_api.meta import Conditions, Part
from folio_api.types import Line, Name


class ModelInPortfolio(Part):
    """How the model fares in one portfolio."""

    name: Name
    """Name of the portfolio."""
    observed_generation: int | None = None
    """Generation of this object that the portfolio serves."""
    state: Line | None = None
    """Pending, Downloading, Loading, Ready, Updating, Idle or Failed."""
    reason: Annotated[str, Field(max_length=64)] | None = None
    """Why, in one word."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """Why, in a sentence that names the fix."""


class SpecialistModelStatus(Part):
    """What the operator found."""

    observed_generation: int | None = None
    """Generation of the spec that this speaks of."""
    conditions: Conditions = ()
    """Accepted, Ready, Reconciling, Stalled."""
    portfolios: Annotated[tuple[ModelInPortfolio, ...], Field(max_length=256), list_map()] = ()
    """The portfolios that serve it."""
