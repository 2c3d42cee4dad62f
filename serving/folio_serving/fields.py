"""What the known fields of a request may hold, so that nonsense is refused by its name and costs no model's
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from folio_serving.errors import Trouble

Check = Callable[[str, Any], None]
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_NEEDED: dict[str, tuple[str, ...]] = {
    "chat": ("model", "messages"),
    "completions": ("model", "prompt"),
    "embeddings": ("model", "input"),
}
_PART_MEMBERS = {"text": "text", "refusal": "refusal", "image_url": "image_url", "input_audio": "input_audio"}
_MAX_TOKENS = 10_000_000


def check_fields(kind: Literal["chat", "completions", "embeddings"], body: Mapping[str, Any]) -> None:
    """Raise the first trouble of a body; fields that nobody named pass."""
    for name in _NEEDED[kind]:
        if body.get(name) is None:
            raise Trouble("Malformed", f"{name} is required", name)
    checks = _CHECKS[kind]
    for name, value in body.items():
        check = checks.get(name)
        if check is not None and value is not None:
            check(name, value)


def _refuse(name: str, must: str) -> Trouble:
    return Trouble("Malformed", f"{name} must be {must}", name)


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise _refuse(name, "a string that is not empty")


def _string(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _refuse(name, "a string")


def _flag(name: str, value: Any) -> None:
    if value is not True and value is not False:
        raise _refuse(name, "true or false")


def _object(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise _refuse(name, "an object")


def _whole(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise _refuse(name, f"a whole number from {low} to {high}")

    return check


def _number(low: float, high: float) -> Check:
    def check(name: str, value: Any) -> None:
        if type(value) not in (int, float) or not low <= value <= high:
            raise _refuse(name, f"a number from {low:g} to {high:g}")

    return check


def _one_of(*choices: str) -> Check:
    def check(name: str, value: Any) -> None:
        if value not in choices:
            raise _refuse(name, f"one of {', '.join(choices)}")

    return check


def _stop(name: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list) or len(value) > 16 or not all(isinstance(one, str) for one in value):
        raise _refuse(name, "a string or an array of at most 16 strings")


def _stream_options(name: str, value: Any) -> None:
    _object(name, value)
    if not isinstance(value.get("include_usage", False), bool):
        raise _refuse(f"{name}.include_usage", "true or false")


def _response_format(name: str, value: Any) -> None:
    _object(name, value)
    if value.get("type") not in ("text", "json_object", "json_schema"):
        raise _refuse(f"{name}.type", "one of text, json_object, json_schema")
    if value["type"] == "json_schema":
        schema = value.get("json_schema")
        if not isinstance(schema, dict) or not isinstance(schema.get("schema"), dict):
            raise _refuse(f"{name}.json_schema.schema", "a JSON Schema object")


def _tools(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise _refuse(name, "an array")
    for index, tool in enumerate(value):
        where = f"{name}[{index}]"
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise _refuse(where, 'an object with type "function"')
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _refuse(f"{where}.function", "an object with a name")


def _tool_choice(name: str, value: Any) -> None:
    if isinstance(value, dict) or value in ("none", "auto", "required"):
        return
    raise _refuse(name, "none, auto, required or an object that names a function")


def _messages(name: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise _refuse(name, "an array with at least one message")
    for index, message in enumerate(value):
        _message(f"{name}[{index}]", message)


def _message(where: str, message: Any) -> None:
    if not isinstance(message, dict):
        raise _refuse(where, "an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise _refuse(f"{where}.role", f"one of {', '.join(sorted(_ROLES))}")
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            _content_part(f"{where}.content[{index}]", part)
    elif content is None:
        if role != "assistant":
            raise _refuse(f"{where}.content", "a string or an array of parts")
    elif not isinstance(content, str):
        raise _refuse(f"{where}.content", "a string or an array of parts")
    _message_calls(where, role, message)


def _message_calls(where: str, role: str, message: Mapping[str, Any]) -> None:
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise _refuse(f"{where}.tool_call_id", "the id of the call that this answers")
    calls = message.get("tool_calls")
    if calls is not None and (
        not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls)
    ):
        raise _refuse(f"{where}.tool_calls", "an array of objects")


def _content_part(where: str, part: Any) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise _refuse(where, "an object with a type")
    kind = part["type"]
    member = _PART_MEMBERS.get(kind)
    if member is None:
        raise _refuse(f"{where}.type", f"one of {', '.join(_PART_MEMBERS)}")
    if kind in ("text", "refusal"):
        if not isinstance(part.get(member), str):
            raise _refuse(f"{where}.{member}", "a string")
    elif not isinstance(part.get(member), dict):
        raise _refuse(f"{where}.{member}", "an object")


def _texts_or_tokens(name: str, value: Any) -> None:
    """A string, or an array of strings, of token ids, or of arrays of these; nothing empty."""
    if isinstance(value, str):
        if not value:
            raise _refuse(name, "not empty")
        return
    if not isinstance(value, list) or not value:
        raise _refuse(name, "a string, or an array of strings or of token ids, not empty")
    if _all_strings(value) or _all_token_ids(value):
        return
    if not all(isinstance(ids, list) and ids and _all_token_ids(ids) for ids in value):
        raise _refuse(name, "a string, or an array of strings or of token ids, not empty")


def _all_strings(values: list[Any]) -> bool:
    return all(type(value) is str and value for value in values)


def _all_token_ids(values: list[Any]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


_SAMPLING: dict[str, Check] = {
    "model": _text,
    "stream": _flag,
    "stream_options": _stream_options,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "n": _whole(1, 128),
    "max_tokens": _whole(1, _MAX_TOKENS),
    "seed": _whole(-(2**63), 2**63 - 1),
    "stop": _stop,
    "logit_bias": _object,
    "user": _string,
}

_CHECKS: dict[str, dict[str, Check]] = {
    "chat": {
        **_SAMPLING,
        "messages": _messages,
        "max_completion_tokens": _whole(1, _MAX_TOKENS),
        "logprobs": _flag,
        "top_logprobs": _whole(0, 20),
        "response_format": _response_format,
        "tools": _tools,
        "tool_choice": _tool_choice,
        "parallel_tool_calls": _flag,
    },
    "completions": {
        **_SAMPLING,
        "prompt": _texts_or_tokens,
        "logprobs": _whole(0, 20),
        "echo": _flag,
        "suffix": _string,
        "best_of": _whole(1, 128),
    },
    "embeddings": {
        "model": _text,
        "input": _texts_or_tokens,
        "encoding_format": _one_of("float", "base64"),
        "dimensions": _whole(1, 1_000_000),
        "user": _string,
    },
}
