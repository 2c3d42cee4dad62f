"""The bare pass-through in bare uvicorn: `python -m bench.gateway.bare PORT UPSTREAM`."""

from __future__ import annotations

import sys

import uvicorn
from bench.gateway.apps import PassThrough

if __name__ == "__main__":
    uvicorn.run(PassThrough(int(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
