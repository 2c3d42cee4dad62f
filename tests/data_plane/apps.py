"""Serve applications for tests that serve one engine without the rest."""

from __future__ import annotations

from typing import Any

from ray.serve import Application

from folio_api.spec import ModelSpec
from folio_serving.engines import vllm


def vllm_model(args: dict[str, Any]) -> Application:
    return vllm.deployment(ModelSpec.model_validate(args))
