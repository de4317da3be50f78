"""The source of a published package, read but never run: what its classes offer, and how ours use them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sensetig.engines import cache

#: For the download, with the tools that it is built with.
_SECONDS = 180


class Unobtainable(Exception):
    """The package cannot be had here; the message says why."""


def archive(name: str, version: str) -> Path:
    """The package's source distribution, from the cache or by pip. Raises Unobtainable."""
    folder = cache.top(os.environ) / "sources"
    path = folder / f"{name}-{version}.tar.gz"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "1", "--no-deps", "--no-binary", name]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), f"{name}=={version}"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unobtainable(f"{name} {version} could not be fetched within {_SECONDS} s") from None
    if not path.is_file():
        lines = done.stderr.strip().splitlines()
        raise Unobtainable(f"{name} {version} could not be fetched: {lines[-1] if lines else done.returncode}")
    return path


class Function(NamedTuple):
    """The parameters of a function.

    Args:
        positional: names of parameters that can be passed by position, without ``self``.
        required: those without a default.
        keyword_only: names of the keyword-only parameters.
        any_keyword: whether it accepts arbitrary keywords.
    """

    positional: tuple[str, ...]
    required: tuple[str, ...]
    keyword_only: tuple[str, ...]
    any_keyword: bool

    def refusal(self, count: int, keywords: tuple[str, ...]) -> str:
        """The reason why it rejects *count* positional arguments with these keywords; empty if it accepts them."""
        if count > len(self.positional):
            return f"takes {len(self.positional)} positional arguments, not {count}"
        unknown = set(keywords) - set(self.positional[count:]) - set(self.keyword_only)
        if unknown and not self.any_keyword:
            return f"has no parameter {', '.join(sorted(unknown))}"
        missing = set(self.required) - set(self.positional[:count]) - set(keywords)
        return f"lacks {', '.join(sorted(missing))}" if missing else ""


class Class(NamedTuple):
    """A class in the source: the names of its bases, its methods, and its other attributes."""

    bases: tuple[str, ...]
    methods: Mapping[str, Function]
    attributes: frozenset[str]


class Package:
    """The Python files below the package's folder in an archive."""

    def __init__(self, path: Path, name: str) -> None:
        self.texts: dict[str, str] = {}
        with tarfile.open(path) as archived:
            for member in archived.getmembers():
                inner = member.name.partition("/")[2]
                file = archived.extractfile(member) if inner.startswith(f"{name}/") and inner.endswith(".py") else None
                if file is not None:
                    self.texts[inner] = file.read().decode()
        self.trees = {path: ast.parse(text) for path, text in self.texts.items()}

    def offers(self, path: str, name: str) -> bool:
        """Whether a module binds that name: a class or a function, or something imported."""
        for node in ast.walk(self.trees[path]):
            if isinstance(node, ast.ImportFrom | ast.Import) and any(
                (each.asname or each.name) == name for each in node.names
            ):
                return True
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return True
        return False

    def look_up(self, path: str, name: str) -> Class:
        """A class with all that it inherits within the package."""
        found = classes(self.trees[path])[name]
        methods, attributes = dict(found.methods), set(found.attributes)
        for base in found.bases:
            for other, tree in self.trees.items():
                if base in classes(tree):
                    inherited = self.look_up(other, base)
                    methods = {**inherited.methods, **methods}
                    attributes |= inherited.attributes
        return Class(found.bases, methods, frozenset(attributes))

    def words(self, path: str, function: str) -> set[str]:
        """The texts within a function."""
        for node in ast.walk(self.trees[path]):
            if isinstance(node, ast.FunctionDef) and node.name == function:
                return {
                    each.value
                    for each in ast.walk(node)
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
        raise KeyError(function)


def classes(tree: ast.AST) -> dict[str, Class]:
    """The classes of a module."""
    return {node.name: _class(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _class(node: ast.ClassDef) -> Class:
    methods: dict[str, Function] = {}
    attributes: set[str] = set()
    for each in node.body:
        if isinstance(each, ast.FunctionDef):
            decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in each.decorator_list}
            if "overload" in decorators:
                continue
            if decorators & {"property", "setter"}:
                attributes.add(each.name)
            else:
                methods[each.name] = _function(each, bound="staticmethod" not in decorators)
            attributes |= set(_own(each))
        elif isinstance(each, ast.Assign):
            attributes |= {target.id for target in each.targets if isinstance(target, ast.Name)}
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            attributes.add(each.target.id)
    bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
    return Class(bases, methods, frozenset(attributes))


def _own(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
            continue
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            yield node.attr


def _function(node: ast.FunctionDef, *, bound: bool) -> Function:
    arguments = node.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)][int(bound) :]
    required = names[: len(names) - len(arguments.defaults)] if arguments.defaults else names
    keyword_only = tuple(each.arg for each in arguments.kwonlyargs)
    return Function(tuple(names), tuple(required), keyword_only, arguments.kwarg is not None)


class Use(NamedTuple):
    """Where the text of ours takes an attribute of one of theirs.

    Args:
        owner: the class that it is of.
        name: the attribute.
        call: number of positional arguments and the keywords, where it is called.
        line: where, in our text.
    """

    owner: str
    name: str
    call: tuple[int, tuple[str, ...]] | None
    line: int


def uses(tree: ast.AST, receivers: Mapping[str, str]) -> list[Use]:
    """Every attribute that is taken of an expression, by the class that the expression is known to be of."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = receivers.get(ast.unparse(node.value))
        if owner is None:
            continue
        call = calls.get(id(node))
        made = None
        if call is not None:
            made = len(call.args), tuple(each.arg for each in call.keywords if each.arg is not None)
        found.append(Use(owner, node.attr, made, node.lineno))
    return found
