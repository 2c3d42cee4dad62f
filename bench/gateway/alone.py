"""The gateway in full under bare uvicorn, for profiles: `python -m bench.gateway.alone PORT UPSTREAM`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TextIO

import uvicorn
from bench.gateway.run import folio_config

from folio_serving.counter import OwnCounter
from folio_serving.fleet import Fleet
from folio_serving.ledger import RequestLog
from folio_serving.process import GatewayProcess
from folio_serving.replicas import Address, StaticReplicas
from folio_serving.secrets import Secrets


async def main(port: int, upstream: int, log: TextIO) -> None:
    def replicas(listener):
        return StaticReplicas({"model-small": (Address("1", "127.0.0.1", upstream),)}, listener)

    process = GatewayProcess(
        "alone", Fleet(Secrets(Path("/nowhere")), replicas), RequestLog(log), OwnCounter()
    )
    await process.reconfigure(folio_config())
    config = uvicorn.Config(process.app, host="127.0.0.1", port=port, log_level="error", access_log=False)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    # A log kept in memory would look like a leak.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), nowhere))
