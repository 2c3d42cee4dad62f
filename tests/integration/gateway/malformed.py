"""Requests that no engine should see, each with exactly what the client is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
HI = [{"role": "user", "content": "hi"}]
ROLES = "assistant, developer, function, system, tool, user"
LISTED = "folio, folio/code, folio/sure, small, large, vectors"
TEXTS = "a string, or an array of strings or of token ids, not empty"


@dataclass(frozen=True)
class Case:
    name: str
    message: str
    param: str | None = None
    status: int = 400
    code: str = "invalid_request"
    path: str = CHAT
    method: str = "POST"
    content: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def chat(name: str, param: str, must: str, **fields: Any) -> Case:
    body = {"model": "folio", "messages": HI, **fields}
    return Case(name, f"{param} must be {must}", param, content=json.dumps(body).encode())


def message(name: str, where: str, must: str, *messages: Any) -> Case:
    return chat(name, where, must, messages=list(messages))


def completion(name: str, param: str, must: str, **fields: Any) -> Case:
    body = {"model": "small", "prompt": "hi", **fields}
    return Case(name, f"{param} must be {must}", param, path=COMPLETIONS, content=json.dumps(body).encode())


def embedding(name: str, param: str, must: str, **fields: Any) -> Case:
    body = {"model": "vectors", "input": "hi", **fields}
    return Case(name, f"{param} must be {must}", param, path=EMBEDDINGS, content=json.dumps(body).encode())


def raw(name: str, content: bytes, message: str, **fields: Any) -> Case:
    return Case(name, message, content=content, **fields)


def missing(name: str, path: str, param: str, body: dict[str, Any]) -> Case:
    return Case(name, f"{param} is required", param, path=path, content=json.dumps(body).encode())


def unknown(name: str, path: str = CHAT) -> Case:
    body = {"model": name, "messages": HI, "prompt": "hi", "input": "hi"}
    told = f"model {name} does not exist; there are: {LISTED}"
    return Case(
        f"model {name}", told, "model", 404, "model_not_found", path, content=json.dumps(body).encode()
    )


NESTED = b'{"model":"folio","messages":[{"role":"user","content":"x"}],"a":' + b"[" * 70 + b"]" * 70 + b"}"
CALL = {"role": "assistant", "content": None, "tool_calls": "none"}
TOOL = {"type": "function", "function": {"name": "f"}}

BODIES = (
    raw("an empty body", b"", "the body is empty; it must be a JSON object"),
    raw("a list", b"[]", "the body must be a JSON object, not an array"),
    raw("a string", b'"hi"', "the body must be a JSON object, not a string"),
    raw("a number", b"7", "the body must be a JSON object, not a number"),
    raw("null", b"null", "the body must be a JSON object, not null"),
    raw("true", b"true", "the body must be a JSON object, not a boolean"),
    raw("half an object", b'{"model":', "the body is not valid JSON at character 9"),
    raw("a trailing comma", b'{"model":"folio",}', "the body is not valid JSON at character 16"),
    raw("two objects", b"{}{}", "the body is not valid JSON at character 2"),
    raw("NaN", b'{"temperature":NaN}', "the body is not valid JSON at character 15"),
    raw("no UTF-8", b'{"model":"\xff"}', "the body is not UTF-8 at byte 10"),
    raw("half a surrogate", b'{"model":"\\ud800"}', "the body is not valid JSON at character 10"),
    raw("deep nesting", NESTED, "the body nests deeper than 64 levels"),
    raw("a body without what it needs", b"{}", "model is required", param="model"),
)

FIELDS = (
    missing("chat without messages", CHAT, "messages", {"model": "folio"}),
    missing("chat without a model", CHAT, "model", {"messages": HI}),
    missing("a null model", CHAT, "model", {"model": None, "messages": HI}),
    missing("a completion without a prompt", COMPLETIONS, "prompt", {"model": "small"}),
    missing("an embedding without an input", EMBEDDINGS, "input", {"model": "vectors"}),
    chat("an empty model", "model", "a string that is not empty", model=""),
    chat("a numeric model", "model", "a string that is not empty", model=3),
    chat("stream as a word", "stream", "true or false", stream="yes"),
    chat("stream as a number", "stream", "true or false", stream=1),
    chat("stream options as a list", "stream_options", "an object", stream_options=[]),
    chat(
        "include_usage as a word",
        "stream_options.include_usage",
        "true or false",
        stream_options={"include_usage": "x"},
    ),
    chat("temperature too hot", "temperature", "a number from 0 to 2", temperature=2.5),
    chat("temperature as a word", "temperature", "a number from 0 to 2", temperature="hot"),
    chat("temperature as a flag", "temperature", "a number from 0 to 2", temperature=True),
    chat("top_p above one", "top_p", "a number from 0 to 1", top_p=1.1),
    chat("a penalty out of range", "presence_penalty", "a number from -2 to 2", presence_penalty=3),
    chat("another penalty out of range", "frequency_penalty", "a number from -2 to 2", frequency_penalty=-3),
    chat("no choices", "n", "a whole number from 1 to 128", n=0),
    chat("half a choice", "n", "a whole number from 1 to 128", n=1.5),
    chat("no tokens", "max_tokens", "a whole number from 1 to 10000000", max_tokens=0),
    chat(
        "fewer tokens than none",
        "max_completion_tokens",
        "a whole number from 1 to 10000000",
        max_completion_tokens=-1,
    ),
    chat(
        "a seed that is no number",
        "seed",
        "a whole number from -9223372036854775808 to 9223372036854775807",
        seed="x",
    ),
    chat("stop as a number", "stop", "a string or an array of at most 16 strings", stop=1),
    chat("too many stops", "stop", "a string or an array of at most 16 strings", stop=["a"] * 17),
    chat("stop with a number", "stop", "a string or an array of at most 16 strings", stop=["a", 1]),
    chat("logit bias as a list", "logit_bias", "an object", logit_bias=[]),
    chat("a numeric user", "user", "a string", user=1),
    chat("logprobs as a number", "logprobs", "true or false", logprobs=1),
    chat("too many top logprobs", "top_logprobs", "a whole number from 0 to 20", top_logprobs=21),
    chat("a response format as a word", "response_format", "an object", response_format="json"),
    chat(
        "an unknown response format",
        "response_format.type",
        "one of text, json_object, json_schema",
        response_format={"type": "xml"},
    ),
    chat(
        "a schema that is missing",
        "response_format.json_schema.schema",
        "a JSON Schema object",
        response_format={"type": "json_schema"},
    ),
    chat("tools as an object", "tools", "an array", tools={}),
    chat("a tool of no type", "tools[0]", 'an object with type "function"', tools=[{}]),
    chat(
        "a tool without a name",
        "tools[1].function",
        "an object with a name",
        tools=[TOOL, {"type": "function", "function": {}}],
    ),
    chat(
        "a tool choice unheard of",
        "tool_choice",
        "none, auto, required or an object that names a function",
        tool_choice="any",
    ),
    chat("parallel calls as a word", "parallel_tool_calls", "true or false", parallel_tool_calls="x"),
    chat("messages as a text", "messages", "an array with at least one message", messages="hi"),
    chat("no messages", "messages", "an array with at least one message", messages=[]),
    message("a message as a text", "messages[0]", "an object", "hi"),
    message("a message without a role", "messages[0].role", f"one of {ROLES}", {"content": "hi"}),
    message("a role unheard of", "messages[0].role", f"one of {ROLES}", {"role": "boss", "content": "hi"}),
    message("a role as a list", "messages[0].role", f"one of {ROLES}", {"role": [], "content": "hi"}),
    message(
        "a numeric content",
        "messages[0].content",
        "a string or an array of parts",
        {"role": "user", "content": 1},
    ),
    message(
        "a user who says nothing", "messages[0].content", "a string or an array of parts", {"role": "user"}
    ),
    message(
        "a part as a text",
        "messages[0].content[0]",
        "an object with a type",
        {"role": "user", "content": ["x"]},
    ),
    message(
        "a part of no type",
        "messages[0].content[0]",
        "an object with a type",
        {"role": "user", "content": [{}]},
    ),
    message(
        "a part unheard of",
        "messages[0].content[0].type",
        "one of text, refusal, image_url, input_audio",
        {"role": "user", "content": [{"type": "smell"}]},
    ),
    message(
        "a text part without a text",
        "messages[1].content[0].text",
        "a string",
        HI[0],
        {"role": "user", "content": [{"type": "text"}]},
    ),
    message(
        "an image without an image",
        "messages[0].content[0].image_url",
        "an object",
        {"role": "user", "content": [{"type": "image_url"}]},
    ),
    message(
        "a tool result of no call",
        "messages[1].tool_call_id",
        "the id of the call that this answers",
        HI[0],
        {"role": "tool", "content": "4"},
    ),
    message("tool calls as a text", "messages[0].tool_calls", "an array of objects", CALL),
    completion("an empty prompt", "prompt", "not empty", prompt=""),
    completion("a prompt as an object", "prompt", TEXTS, prompt={}),
    completion("no prompts", "prompt", TEXTS, prompt=[]),
    completion("prompts of two kinds", "prompt", TEXTS, prompt=["a", 1]),
    completion("negative token ids", "prompt", TEXTS, prompt=[-1]),
    completion("an empty prompt among others", "prompt", TEXTS, prompt=[[1], []]),
    completion("too many logprobs", "logprobs", "a whole number from 0 to 20", logprobs=21),
    completion("echo as a word", "echo", "true or false", echo="x"),
    completion("a numeric suffix", "suffix", "a string", suffix=1),
    completion("best of none", "best_of", "a whole number from 1 to 128", best_of=0),
    embedding("an empty input", "input", "not empty", input=""),
    embedding("an input as a number", "input", TEXTS, input=1),
    embedding("an empty text among others", "input", TEXTS, input=["a", ""]),
    embedding("an encoding unheard of", "encoding_format", "one of float, base64", encoding_format="hex"),
    embedding("no dimensions", "dimensions", "a whole number from 1 to 1000000", dimensions=0),
    unknown("gpt-4o"),
    unknown("folio/ghost"),
    unknown("folio/"),
    unknown("SMALL", COMPLETIONS),
    unknown("ghost", EMBEDDINGS),
    Case(
        "a chat with a model that only embeds",
        "no model of the ladder can: vectors does not declare task Chat",
        "model",
        code="unsupported",
        content=json.dumps({"model": "vectors", "messages": HI}).encode(),
    ),
    Case(
        "an embedding of a chat model",
        "no model of the ladder can: small does not declare task Embedding",
        "model",
        code="unsupported",
        path=EMBEDDINGS,
        content=json.dumps({"model": "small", "input": "x"}).encode(),
    ),
)

PATHS = (
    Case("a path unheard of", "there is no /v1/images", None, 404, "unknown_url", "/v1/images", "GET"),
    Case("the root", "there is no /", None, 404, "unknown_url", "/", "GET"),
    Case(
        "the internal state without the token",
        "there is no /internal/state",
        None,
        404,
        "unknown_url",
        "/internal/state",
        "GET",
    ),
    Case("GET of a chat", "this path is asked with POST", None, 405, "method_not_allowed", CHAT, "GET"),
    Case("PUT of a chat", "this path is asked with POST", None, 405, "method_not_allowed", CHAT, "PUT"),
    Case(
        "a chat with a slash too many",
        f"there is no {CHAT}/",
        None,
        404,
        "unknown_url",
        f"{CHAT}/",
    ),
    Case("POST to the models", "/v1/models is read with GET", None, 405, "method_not_allowed", "/v1/models"),
    Case(
        "DELETE of the metrics",
        "/metrics is read with GET",
        None,
        405,
        "method_not_allowed",
        "/metrics",
        "DELETE",
    ),
    Case(
        "a model that is not listed",
        f"model ghost does not exist; there are: {LISTED}",
        "model",
        404,
        "model_not_found",
        "/v1/models/ghost",
        "GET",
    ),
)

HEADERS = (
    Case("a form", "content-type must be application/json, not multipart/form-data", None, 415, "unsupported_media_type", headers={"content-type": "multipart/form-data; boundary=x"}),
    Case("plain text", "content-type must be application/json, not text/plain", None, 415, "unsupported_media_type", headers={"content-type": "text/plain"}),
    Case("a compressed body", "compressed bodies are not read; send it as it is", None, 415, "unsupported_media_type", headers={"content-encoding": "gzip"}),
    Case("a length that is none", "content-length must be a whole number", "content-length", headers={"content-length": "-1"}),
    Case("a length too short", "content-length is not the length of the body", "content-length", headers={"content-length": "1"}),
    Case("a length of thousands of digits", "the body is larger than 8388608 bytes", None, 413, "request_too_large", headers={"content-length": "9" * 5000}),
    Case("a length too large", "the body is larger than 8388608 bytes", None, 413, "request_too_large", headers={"content-length": "99999999"}),
    Case("a revision that nobody holds", "this gateway holds revision REVISION, not 0123", "x-folio-revision", headers={"x-folio-revision": "0123"}),
    Case("a header too long", "more than 128 headers or 32768 bytes of them", None, 413, "request_too_large", headers={"x-long": "a" * 33000}),
    Case("too many headers", "more than 128 headers or 32768 bytes of them", None, 413, "request_too_large", headers={f"x-{index}": "a" for index in range(130)}),
)  # fmt: skip

CASES = (*BODIES, *FIELDS, *PATHS, *HEADERS)
