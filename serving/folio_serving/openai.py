"""OpenAI's requests, as far as the gateway reads them: what routing needs, and what no engine should have to
refuse.

A body stays the dictionary that the client sent. Fields that are not named here pass through to the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from folio_api.table import Feature, Input, Task
from folio_serving.cost import TOKENS_PER_MESSAGE, estimate_tokens
from folio_serving.errors import Trouble
from folio_serving.fields import check_fields
from folio_serving.route import Facts
from folio_serving.toolcalls import issuer

Kind = Literal["chat", "completions", "embeddings"]

PATHS: dict[str, Kind] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
}
UPSTREAM_PATHS: dict[Kind, str] = {kind: path for path, kind in PATHS.items()}
TASKS: dict[Kind, Task] = {"chat": "Chat", "completions": "Completion", "embeddings": "Embedding"}

MAX_DEPTH = 64
_MESSAGE_MEMBERS = frozenset({"role", "content", "tool_calls"})
_BODY_MEMBERS = frozenset(
    {
        *("model", "messages", "prompt", "input", "tools", "stream", "stream_options", "n", "seed"),
        *("temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens", "logprobs"),
        *("max_completion_tokens", "top_logprobs", "tool_choice", "parallel_tool_calls", "logit_bias"),
        *("echo", "best_of", "encoding_format", "dimensions"),
    }
)
"""What is read by itself, or says nothing."""
_TEXT_ONLY: frozenset[Input] = frozenset()
_NO_FEATURES: frozenset[Feature] = frozenset()


@dataclass(frozen=True, slots=True)
class Query:
    """A request that is well formed."""

    kind: Kind
    body: Mapping[str, Any]
    facts: Facts
    stream: bool
    wants_usage: bool
    """The client asked for the usage chunk of a stream."""
    choices: int


def parse_body(content: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; anything else is the client's trouble."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Trouble("Malformed", _why_unreadable(content, error.pos)) from None
    if not isinstance(body, dict):
        raise Trouble("Malformed", f"the body must be a JSON object, not {_json_type(body)}")
    _check_depth(content, body)
    return body


def parse_query(kind: Kind, body: dict[str, Any], headers: Mapping[str, str]) -> Query:
    """Return the query that a body asks; a field that no engine could accept is refused by its name."""
    check_fields(kind, body)
    stream = body.get("stream") is True
    options = body.get("stream_options")
    return Query(
        kind=kind,
        body=body,
        facts=_FACTS[kind](body, headers),
        stream=stream,
        wants_usage=stream and isinstance(options, dict) and options.get("include_usage") is True,
        choices=_choices(body),
    )


def _choices(body: Mapping[str, Any]) -> int:
    """Return how many answers an engine writes: for each prompt of several, and the best of more than are
    returned.
    """
    prompt = body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    return prompts * max(body.get("n") or 1, body.get("best_of") or 1)


def _why_unreadable(content: bytes, position: int) -> str:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return f"the body is not UTF-8 at byte {error.start}"
    return f"the body is not valid JSON at character {position}"


def _check_depth(content: bytes, body: dict[str, Any]) -> None:
    """Refuse nesting that would exhaust whoever writes or reads the body next."""
    if content.count(b"[") + content.count(b"{") <= MAX_DEPTH:
        return
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return
    raise Trouble("Malformed", f"the body nests deeper than {MAX_DEPTH} levels")


def _children(node: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node


def _chat_facts(body: Mapping[str, Any], headers: Mapping[str, str]) -> Facts:
    messages = body["messages"]
    texts: list[str] = []
    inputs: set[Input] = set()
    last_user = ""
    beside: list[str] = []
    for message in messages:
        said = _message_texts(message, inputs)
        texts += said
        beside += _beside(message, _MESSAGE_MEMBERS)
        if message["role"] == "user":
            last_user = "\n".join(said)
    tools = body.get("tools") or body.get("functions")
    if tools:
        texts.append(orjson.dumps(tools).decode())
    return Facts(
        task="Chat",
        asked=body["model"],
        text=last_user,
        texts=(*texts, *beside, *_beside(body, _BODY_MEMBERS)),
        headers=headers,
        inputs=frozenset(inputs) if inputs else _TEXT_ONLY,
        features=_features(body) if len(body) > 2 else _NO_FEATURES,
        prompt_tokens=estimate_tokens(*texts) + TOKENS_PER_MESSAGE,
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        tool_issuer=issuer(messages),
    )


def _beside(holder: Mapping[str, Any], read: frozenset[str]) -> list[str]:
    """Return what a model may be told in other members: they pass through, and detectors read them too."""
    if read.issuperset(holder):
        return []
    others = {name: value for name, value in holder.items() if name not in read}
    return [orjson.dumps(others).decode()]


def _message_texts(message: Mapping[str, Any], inputs: set[Input]) -> list[str]:
    """Return every text of a message, and note what else it carries."""
    content = message.get("content")
    texts = (
        [content]
        if isinstance(content, str)
        else [text for part in content or () for text in _part(part, inputs)]
    )
    calls = message.get("tool_calls")
    if calls:
        texts.append(orjson.dumps(calls).decode())
    return texts


def _part(part: Mapping[str, Any], inputs: set[Input]) -> Iterator[str]:
    kind = part["type"]
    if kind in ("text", "refusal"):
        yield part[kind]
    elif kind == "image_url":
        inputs.add("Image")
    elif kind == "input_audio":
        inputs.add("Audio")


def _features(body: Mapping[str, Any]) -> frozenset[Feature]:
    wanted: set[Feature] = set()
    if body.get("tools") and body.get("tool_choice") != "none":
        wanted.add("Tools")
    if body.get("logprobs") not in (None, False):
        wanted.add("Logprobs")
    response_format = body.get("response_format")
    if isinstance(response_format, dict) and response_format.get("type") in ("json_schema", "json_object"):
        wanted.add("JSONSchema")
    return frozenset(wanted) if wanted else _NO_FEATURES


def _completion_facts(body: Mapping[str, Any], headers: Mapping[str, str]) -> Facts:
    texts, tokens, further = _strings_and_tokens(body["prompt"])
    return Facts(
        task="Completion",
        asked=body["model"],
        text="\n".join(texts),
        texts=(*texts, *_beside(body, _BODY_MEMBERS)),
        readable=bool(texts),
        headers=headers,
        features=_features(body),
        prompt_tokens=tokens,
        further_prompt_tokens=further,
        max_tokens=body.get("max_tokens"),
    )


def _embedding_facts(body: Mapping[str, Any], headers: Mapping[str, str]) -> Facts:
    texts, tokens, further = _strings_and_tokens(body["input"])
    return Facts(
        task="Embedding",
        asked=body["model"],
        texts=(*texts, *_beside(body, _BODY_MEMBERS)),
        readable=bool(texts),
        headers=headers,
        prompt_tokens=tokens,
        further_prompt_tokens=further,
        max_tokens=0,
    )


def _strings_and_tokens(value: Any) -> tuple[tuple[str, ...], int, int]:
    """Return the texts of a prompt or input, the tokens of its longest item, and those of all others."""
    if isinstance(value, str):
        return (value,), estimate_tokens(value), 0
    if isinstance(value[0], str):
        texts, counts = tuple(value), [estimate_tokens(text) for text in value]
    else:
        texts, counts = (), [len(ids) for ids in (value if isinstance(value[0], list) else [value])]
    longest = max(counts)
    return texts, longest, sum(counts) - longest


_FACTS = {"chat": _chat_facts, "completions": _completion_facts, "embeddings": _embedding_facts}


def _json_type(value: Any) -> str:
    return {str: "a string", list: "an array", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
