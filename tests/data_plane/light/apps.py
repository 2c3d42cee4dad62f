"""Serve applications for the tests of the light engines."""

from __future__ import annotations

from typing import Any

from ray.serve import Application

from folio_api.spec import ModelSpec
from folio_serving.engines import encoder, retriever


def light_model(args: dict[str, Any]) -> Application:
    spec = ModelSpec.model_validate(args)
    return encoder.deployment(spec) if spec.engine == "encoder" else retriever.deployment(spec)
