"""Why a portfolio is not accepted: a reason for machines, a place and a message with the fix for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Reason = Literal[
    "NotSupported",
    "RemoteCodeNotAllowed",
    "HostNotAllowed",
    "FileNotAllowed",
    "PolicyNotFound",
    "ModelNotFound",
    "EmbedderNotFound",
    "SecretNotFound",
    "TenantKeyInvalid",
    "UnknownRung",
    "BaseNotInPortfolio",
    "BaseHasNoLoRASlots",
    "TaskMismatch",
    "SignalUnavailable",
    "PoolRequired",
    "PoolTooSmall",
    "GPUCeilingTooLow",
    "QueueHidden",
    "VolumeNotDeclared",
    "PriceMissing",
    "TargetNotCertified",
    "NotCleared",
    "TableTooLarge",
]
REASONS: tuple[str, ...] = get_args(Reason)


@dataclass(frozen=True)
class Failure:
    """One thing that is wrong."""

    reason: Reason
    where: str
    """The object and the field, as `RoutingPolicy/default spec.intents[code].ladder[0].model`."""
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"
