"""Several clients at a steady rate, until standard input ends; then one JSON line: what became of each request.

First line of the input: the order, as JSON; {number} in its body is another number in each request. "begun" is
printed once a request was answered.
A record: when it was sent, its seconds, revision, model, intent, and why it is lost (null where it is not).
"""

import asyncio
import itertools
import json
import sys
import time

import aiohttp

LEAVE_SECONDS = 90


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
    def __init__(self, order):
        self.order = order
        self.body = json.dumps(order["body"])
        self.numbers = itertools.count(1)
        self.records = []
        self.over = asyncio.Event()
        self.stream = bool(order["body"].get("stream"))

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
        if not self.records:
            print("begun", flush=True)
        self.records.append([round(sent, 3), round(time.monotonic() - began, 4), *facts, why])

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
        clients = [asyncio.create_task(self.client(number)) for number in range(self.order["clients"])]
        await asyncio.to_thread(sys.stdin.read)
        self.over.set()
        await asyncio.wait(clients, timeout=LEAVE_SECONDS)
        for each in clients:
            each.cancel()
        print(json.dumps(self.records), flush=True)


asyncio.run(Load(json.loads(sys.stdin.readline())).run())
