"""One request, from inside the cluster. Standard input: what to ask, as JSON; standard output: the answer, as JSON.

With `seconds` it is repeated until it is answered with 200, for so long.
"""

import json
import sys
import time
import urllib.error
import urllib.request


def ask(order):
    body = json.dumps(order["body"]).encode() if order.get("body") is not None else None
    headers = {"content-type": "application/json", **order.get("headers", {})}
    request = urllib.request.Request(order["url"], data=body, headers=headers, method=order.get("method"))
    try:
        with urllib.request.urlopen(request, timeout=order.get("timeout", 60)) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()
    except OSError as error:
        return 0, {}, str(error)


order = json.load(sys.stdin)
deadline = time.monotonic() + order.get("seconds", 0)
status, headers, text = ask(order)
while status != 200 and time.monotonic() < deadline:
    time.sleep(0.1)
    status, headers, text = ask(order)
lower = {name.lower(): value for name, value in headers.items()}
print(json.dumps({"at": time.time(), "status": status, "headers": lower, "text": text}))
