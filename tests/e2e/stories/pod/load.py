"""Several clients at a steady rate, in a process of its own: whoever watches it through the API server may be cut off.

start FOLDER: begin the load whose order is on standard input, as JSON, unless that folder has one already; {number}
in the order's body is another number in each request. stop FOLDER: let it end. Both print what is known, as JSON:
`records`, one of each request that was answered or lost so far, and `over`: null while it runs, then what broke it.
A record: when it was sent, its seconds, revision, model, intent, and why it is lost (null where it is not).
"""

import asyncio
import itertools
import json
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import aiohttp

ORDER, RECORDS, STOP, OVER = "order", "records", "stop", "over"


def why_lost(status, text, stream):
    """Return what is wrong with an answer: anything but a 200 that is complete."""
    if status != 200:
        return f"{status}: {text[:300]}"
    if stream:
        return None if text.rstrip().endswith("data: [DONE]") and '"error"' not in text else text[-300:]
    try:
        body = json.loads(text)
    except ValueError:
        return f"no JSON: {text[:300]}"
    whole = body.get("data") or all(each.get("finish_reason") for each in body.get("choices") or [{}])
    return None if whole else f"not complete: {text[:300]}"


class Load:
    def __init__(self, folder):
        self.folder = folder
        self.order = json.loads((folder / ORDER).read_text())
        self.body = json.dumps(self.order["body"])
        self.numbers = itertools.count(1)
        self.over = asyncio.Event()
        self.stream = bool(self.order["body"].get("stream"))

    async def request(self, session):
        sent, began = time.time(), time.monotonic()
        headers, why = {}, None
        body = json.loads(self.body.replace("{number}", str(next(self.numbers))))
        try:
            async with session.post(self.order["url"], json=body) as answer:
                headers = answer.headers
                why = why_lost(answer.status, await answer.text(), self.stream)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = f"{type(error).__name__}: {error}"
        facts = (headers.get(f"x-folio-{name}", "") for name in ("revision", "model", "intent"))
        record = [round(sent, 3), round(time.monotonic() - began, 4), *facts, why]
        print(json.dumps(record), file=self.records, flush=True)

    async def client(self, number):
        """Ask once a period; a client whose answer took longer asks at once."""
        period = self.order["clients"] / self.order["perSecond"]
        limits = aiohttp.ClientTimeout(total=self.order["timeout"])
        headers = self.order.get("headers", {})
        async with aiohttp.ClientSession(timeout=limits, headers=headers, trust_env=False) as session:
            due = time.monotonic() + number / self.order["perSecond"]
            while not await self.is_over(due - time.monotonic()):
                await self.request(session)
                due = max(due + period, time.monotonic())

    async def is_over(self, seconds):
        try:
            await asyncio.wait_for(self.over.wait(), max(0.0, seconds))
        except TimeoutError:
            return False
        return True

    async def run(self):
        with (self.folder / RECORDS).open("w") as self.records:
            async with asyncio.TaskGroup() as clients:
                for number in range(self.order["clients"]):
                    clients.create_task(self.client(number))
                while not (self.folder / STOP).exists():  # noqa: ASYNC110 - another process makes it
                    await asyncio.sleep(0.1)
                self.over.set()


def start(folder):
    order = json.load(sys.stdin)
    with suppress(FileExistsError):
        folder.mkdir()
        (folder / ORDER).write_text(json.dumps(order))
        command = (sys.executable, __file__, "run", str(folder))
        nothing = subprocess.DEVNULL
        subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)


def run(folder):
    why = ""
    try:
        asyncio.run(Load(folder).run())
    except Exception:  # noqa: BLE001 - whoever reads the folder is told
        why = traceback.format_exc()
    written = folder / "why"
    written.write_text(why)
    written.rename(folder / OVER)


def stop(folder):
    (folder / STOP).touch()


def known(folder):
    """Read `over` first: once it is there, the records are whole."""
    over, records = folder / OVER, folder / RECORDS
    why = over.read_text() if over.exists() else None
    whole, _, _ = (records.read_text() if records.exists() else "").rpartition("\n")
    return {"over": why, "records": [json.loads(line) for line in whole.splitlines()]}


what, where = sys.argv[1], Path(sys.argv[2])
{"start": start, "stop": stop, "run": run}[what](where)
print(json.dumps(known(where)))
