"""Ray Serve's configuration as the YAML that KubeRay wants.

What was written lately is neither written nor parsed again: most passes render what is there already, and
YAML was the dearest part of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MOST = 512


@dataclass
class Texts:
    """Pairs of a configuration, as JSON, and its YAML; the oldest are forgotten."""

    most: int = MOST
    _yaml: dict[str, str] = field(default_factory=dict)
    """By JSON."""
    _json: dict[str, str] = field(default_factory=dict)
    """By YAML."""

    def write(self, config: Mapping[str, Any]) -> str:
        plain = json.dumps(config)
        text = self._yaml.get(plain)
        if text is None:
            text = str(
                yaml.dump(
                    json.loads(plain), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100
                )
            )
            self._remember(plain, text)
        return text

    def read(self, text: str) -> Any:
        plain = self._json.get(text)
        return json.loads(plain) if plain is not None else yaml.load(text, yaml.CSafeLoader)

    def _remember(self, plain: str, text: str) -> None:
        if len(self._yaml) >= self.most:
            oldest = next(iter(self._yaml))
            del self._json[self._yaml.pop(oldest)]
        self._yaml[plain], self._json[text] = text, plain


TEXTS = Texts()
"""Of this process: what a configuration is written as depends on nothing else."""
