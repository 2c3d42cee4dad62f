"""The guide to troubleshooting has a place for every reason that the code can give, and for no other.

Reasons of conditions, models and events are read off the code that writes them. An expression that cannot be read
fails the test, so that none slips by.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from folio_api.table import ModelState
from folio_operator.status import ANSWERING
from folio_serving.conversation import Reason
from folio_serving.errors import SHAPES
from folio_serving.fit import SkipReason
from folio_serving.route import RefusalReason

GUIDE = Path("docs/guide/troubleshooting.md")
REQUESTS = "## Reasons of answers"
POSITION = {"Finding": 2, "Failure": 0, "Problem": 0, "Obstacle": 1, "Transition": 1, "ModelState": -1}
"""Where the reason stands among what each is made of; a ModelState has it by keyword."""
HEALTH = Path("serving/folio_serving/health.py")


class Module:
    """One file, and who is written inside whom."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self.parents = {
            child: parent for parent in ast.walk(self.tree) for child in ast.iter_child_nodes(parent)
        }

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node

    def function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        return next(
            (each for each in self.above(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)),
            None,
        )

    def returns(self, function: str) -> list[ast.expr]:
        """Return what a function of this name returns here."""
        return [
            node.value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Return)
            and node.value is not None
            and getattr(self.function(node), "name", "") == function
        ]


class Reader:
    """Reads the values that an expression can have off the code around it."""

    def __init__(self, modules: list[Module]) -> None:
        self.modules = modules

    def given(self, made: frozenset[str]) -> set[str]:
        """Return the reasons of all that is made."""
        return {reason for module in self.modules for each in self._said(module, made) for reason in each}

    def _said(self, module: Module, made: frozenset[str]) -> Iterator[set[str]]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in made:
                yield from (self.values(each, module) for each in _arguments(node, POSITION[node.func.id]))
            elif isinstance(node, ast.Dict):  # model_copy(update={"reason": ...})
                yield from (
                    self.values(value, module)
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant) and key.value == "reason" and _is_update(node, module)
                )

    def values(self, node: ast.expr, module: Module) -> set[str]:
        match node:
            case ast.Constant(value=str(text)):
                return {text} - {""}
            case ast.IfExp():
                return self.values(node.body, module) | self.values(node.orelse, module)
            case ast.Attribute(attr="reason") | ast.Subscript():
                return set()  # handed on: it is read where it comes from
            case ast.Attribute(attr="state"):
                states = get_args(ModelState.model_fields["state"].annotation)
                return set(states) - set(ANSWERING)  # one that answers needs no reason
            case ast.Call(func=ast.Name(id="next"), args=[_, default]):
                return self.values(default, module)
            case ast.Starred(value=ast.Call(func=ast.Name(id=name))):
                return self._first_returned(name, module)
            case ast.Name(id=name):
                return self._named(name, node, module)
        raise AssertionError(f"no reason can be read off: {ast.unparse(node)}")

    def _first_returned(self, function: str, near: Module) -> set[str]:
        """Return the reasons of a function that returns (reason, message): its own module's, else another's."""
        defined = [each for each in (near, *self.modules) if each.returns(function)]
        assert defined, f"{function} returns no reason"
        found: set[str] = set()
        for value in defined[0].returns(function):
            match value:
                case ast.Tuple(elts=[reason, _]):
                    found |= self.values(reason, defined[0])
                case ast.Call(func=ast.Name(id=name)):
                    found |= self._first_returned(name, defined[0])
                case _:
                    raise AssertionError(f"no reason can be read off: {ast.unparse(value)}")
        return found

    def _named(self, name: str, node: ast.expr, module: Module) -> set[str]:
        if checked := self._checked(name, node, module):
            return checked
        function = module.function(node)
        if function is not None:
            own = [value for value in _assigned(function, name) if value is not None]
            if own:
                return {reason for value in own for reason in self.values(value, module)}
            names = [each.arg for each in function.args.args]
            if name in names:
                return self._passed(function.name, names.index(name), module)
        found = [(value, each) for each in self.modules for value in _assigned_in(each.tree.body, name)]
        assert found, f"no reason can be read off: {name}"
        return {reason for value, each in found for reason in self.values(value, each)}

    def _checked(self, name: str, node: ast.expr, module: Module) -> set[str]:
        """Return the members of the list that an `if` around it found the name in."""
        for each in module.above(node):
            match each:
                case ast.If(
                    test=ast.Compare(
                        left=ast.Name(id=left), ops=[ast.In()], comparators=[ast.Name(id=listed)]
                    ),
                    body=body,
                ) if left == name and any(node in ast.walk(part) for part in body):
                    (value,) = _assigned_in(module.tree.body, listed)
                    return set(ast.literal_eval(value))
        return set()

    def _passed(self, function: str, position: int, module: Module) -> set[str]:
        calls = [
            node
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
        ]
        assert calls, f"nobody calls {function}"
        return {reason for call in calls for reason in self.values(call.args[position], module)}


def _arguments(call: ast.Call, position: int) -> list[ast.expr]:
    keyword = [each.value for each in call.keywords if each.arg == "reason"]
    if keyword or position < 0:
        return keyword
    starred = [each for each in call.args[: position + 1] if isinstance(each, ast.Starred)]
    return starred or [call.args[position]]


def _is_update(node: ast.Dict, module: Module) -> bool:
    parent = module.parents[node]
    return isinstance(parent, ast.keyword) and parent.arg == "update"


def _assigned(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[ast.expr]:
    statements = [each for each in ast.walk(function) if isinstance(each, ast.stmt)]
    yield from _assigned_in(statements, name)


def _assigned_in(statements: list[ast.stmt], name: str) -> Iterator[ast.expr]:
    for each in statements:
        for target in each.targets if isinstance(each, ast.Assign) else ():
            if isinstance(target, ast.Name) and target.id == name:
                yield each.value
            elif isinstance(target, ast.Tuple) and isinstance(each.value, ast.Tuple):
                pairs = zip(target.elts, each.value.elts, strict=True)
                yield from (value for part, value in pairs if isinstance(part, ast.Name) and part.id == name)


def given_in_status(repository) -> set[str]:
    operator = [path for path in repository.files if path.parts[:2] == ("operator", "folio_operator")]
    read = [Module(repository.text(path)) for path in operator if path.suffix == ".py"]
    table = Module(repository.text(Path("crds/folio_api/table.py")))
    health = Module(repository.text(HEALTH))
    return Reader([*read, table]).given(frozenset(POSITION)) | Reader([health, table]).given(
        frozenset({"ModelState"})
    )


def explained(repository) -> tuple[set[str], set[str]]:
    """Return the reasons of the status and those of answers that have their place in the guide."""
    status, requests = repository.text(GUIDE).split(REQUESTS)
    headings = re.findall(r"^### (.+)$", status, re.MULTILINE)
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", requests, re.MULTILINE)
    return {name for each in headings for name in each.split(", ")}, set(
        re.findall(r"`(\w+)`", " ".join(rows))
    )


def test_every_reason_of_a_status_has_its_paragraph_and_no_other_has(repository):
    given, (there, _) = given_in_status(repository), explained(repository)

    assert sorted(given - there) == [], f"write what each means into {GUIDE}"
    assert sorted(there - given) == [], f"no code gives these: take them out of {GUIDE}"


def test_every_reason_of_an_answer_has_its_row_and_no_other_has(repository):
    literals = (Reason, SkipReason, RefusalReason)
    given = {"Accepted", *SHAPES, *(each for literal in literals for each in get_args(literal) if each)}
    _, there = explained(repository)

    assert sorted(given - there) == [], f"write what each means into {GUIDE}"
    assert sorted(there - given) == [], f"no code gives these: take them out of {GUIDE}"


def test_a_reason_that_cannot_be_read_off_the_code_is_noticed():
    module = Module("def f(x):\n    return Finding('Ready', 'False', x.upper())\n")

    with pytest.raises(AssertionError, match=r"x\.upper"):
        Reader([module]).given(frozenset({"Finding"}))
