"""Count stilted phrases in the project's texts and hold each kind of text below its ceiling.

``python -m tools.prose`` is part of ``make lint``. A ceiling is a number of phrases per 1,000 words, kept in
``tools/prose.toml``. It may only fall: a rate above it fails, and so does a rate well below it until ``--update`` has
lowered the ceiling. CONTRIBUTING.md ("Writing") has the style rules.
"""

from __future__ import annotations

import ast
import io
import json
import math
import os
import re
import sys
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from tools.git import git

ROOT = Path(__file__).parents[1]
CEILINGS = ROOT / "tools" / "prose.toml"

#: Phrases per 1,000 words that a rate may be below its ceiling.
SLACK = 0.5
#: Phrases of one kind of text that a failure prints; ``--list`` prints them all.
SHOWN = 20

#: The phrases, by the name under which they are reported.
PHRASES = {
    name: re.compile(rf"\b(?:{pattern})\b".replace(" ", r"\s+"), re.IGNORECASE)
    for name, pattern in {
        "anew": "anew",
        "is told": "(?:is|are|was|were) told",
        "tells": "tells?",
        "what is": "what (?:is|was|are|has|comes?|they|it|there|a|the|one|no|nobody|others?|each)",
        "stands": "stands?",
        "beside": "beside",
        "whoever": "whoever",
        "nobody": "nobody",
        "somebody": "somebody",
        "is to be": "(?:is|are) to be",
        "is looked at": "(?:is|are|was|were) looked at",
        "lets go": "lets? (?:go|through|in)",
        "so many": "so (?:many|long|much)",
        "of its own": "of (?:its|one's|their) own",
        "had back": "had back",
        "in which": "(?:by|in|from|to|with|of) which",
        "where there is": "where there (?:is|are|was|were)",
        "again and again": "again and again|once more|over and over",
        "is said": "(?:is|are|was|were) said",
        "makes of": "(?:makes?|becomes?|became) of",
        "that is no": "(?:that|which|it|they) (?:is|are|was|were) no(?! (?:longer|more))",
    }.items()
}

#: Files that are built from declarations, whose texts are counted where they are declared.
GENERATED = frozenset(
    f"docs/reference/{name}.md"
    for name in (
        "alerts", "ansible-variables", "cli", "environment", "http-api", "metrics", "mqtt-topics", "settings",
    )
)  # fmt: skip

_PYTHON = ("collectors", "sensetig", "grafana", "tests", "tools")
_CONFIGURATION = (".ci", "ansible", "engines", "influxdb", "mosquitto", "systemd", "telegraf", "grafana/provisioning")
_COMMENTED = (".cfg", ".conf", ".flux", ".j2", ".service", ".sh", ".timer", ".toml", ".yaml", ".yml")
_HELP_ARGUMENT = {"Setting": 3, "Field": 3, "Tag": 1, "Measurement": 1}
_DECLARATIONS = frozenset({"Field", "Tag", "Measurement"})
_PANEL_TEXTS = {
    "title": "panel titles",
    **dict.fromkeys(("description", "displayName", "noValue"), "panel texts"),
}
_NO_VERBS = re.compile(
    "a|all|an|and|another|any|at|both|by|each|every|everything|for|from|how|if|in|it|its|let's|more|most|neither|no"
    "|nobody|none|nothing|of|on|one|only|other|since|so|some|such|that|the|their|then|there|these|they|this|those"
    "|until|what|when|where|whether|which|who|whoever|whom|whose|why|with"
)
_VERBS_IN_ED_ING_OR_S = re.compile(
    "bias|bring|canvas|embed|exceed|feed|focus|need|ping|proceed|seed|shed|speed|string|succeed|wing"
)
_CLAUSES = re.compile("how|it|they|there|what|when|whether|who|whoever|whom|why")


class Text(NamedTuple):
    """A piece of prose.

    Args:
        kind: the kind of text, a key of the ceilings file.
        path: the file, relative to the root.
        line: the line where it begins, from 1.
        text: the prose; line breaks are those of the file.
    """

    kind: str
    path: str
    line: int
    text: str


class Hit(NamedTuple):
    """A phrase that was found, with its place and the name of the rule."""

    path: str
    line: int
    rule: str
    phrase: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.phrase}" ({self.rule})'


class Count(NamedTuple):
    """The phrases and the number of words of one kind of text."""

    words: int
    hits: Sequence[Hit]

    @property
    def rate(self) -> float:
        """Phrases per 1,000 words."""
        return 1000 * len(self.hits) / self.words if self.words else 0.0


def imperative(sentence: str) -> bool:
    """Whether the first word can be an imperative. An unknown word gets the benefit of the doubt."""
    first = re.match(r"[A-Za-z][A-Za-z'-]*", sentence)
    if first is None:
        return False
    word = first[0].lower()
    if _NO_VERBS.fullmatch(word):
        return False
    ending = word.endswith(("ed", "ing")) or (word.endswith("s") and not word.endswith("ss"))
    return not ending or _VERBS_IN_ED_ING_OR_S.fullmatch(word) is not None


def _no_clause(title: str) -> bool:
    first = re.match(r"[A-Za-z]+", title)
    return first is None or _CLAUSES.fullmatch(first[0].lower()) is None


#: Kinds of text whose first word has a rule, with what that rule asks for.
OPENINGS: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "Ansible task names": ("begin with an imperative", imperative),
    "command summaries": ("begin with an imperative", imperative),
    "panel titles": ("use a noun phrase", _no_clause),
}


def hits(text: Text) -> Iterator[Hit]:
    """The phrases in a text, code apart, in the order of the rules."""
    prose = _without_code(text.text)
    for name, pattern in PHRASES.items():
        for match in pattern.finditer(prose):
            yield Hit(text.path, text.line + prose.count("\n", 0, match.start()), name, " ".join(match[0].split()))
    rule, holds = OPENINGS.get(text.kind, ("", lambda _: True))
    if not holds(text.text):
        yield Hit(text.path, text.line, rule, " ".join(text.text.split()[:4]))


def count(texts: Iterable[Text]) -> dict[str, Count]:
    """Words and phrases of each kind of text."""
    words: dict[str, int] = defaultdict(int)
    found: dict[str, list[Hit]] = defaultdict(list)
    for text in texts:
        words[text.kind] += len(_without_code(text.text).split())
        found[text.kind].extend(hits(text))
    return {kind: Count(words[kind], sorted(found[kind])) for kind in sorted(words)}


def _without_code(text: str) -> str:
    """The text with each code span replaced by one word; its line breaks stay."""
    return re.sub(r"(`+)[^`]+\1", lambda span: "code" + "\n" * span[0].count("\n"), text)


# --- where texts are -------------------------------------------------------------------------------


def texts(root: Path) -> Iterator[Text]:
    """Every text of the tree at *root*."""
    for kind, name in (("README", "README.md"), ("CONTRIBUTING", "CONTRIBUTING.md"), ("CHANGELOG", "CHANGELOG.md")):
        yield from markdown(kind, name, (root / name).read_text(encoding="utf-8"))
    for path in _files(root, ("docs",), (".md",)):
        if path not in GENERATED:
            yield from markdown("docs", path, (root / path).read_text(encoding="utf-8"))
    for path in _files(root, _PYTHON, (".py",)):
        yield from python(path, (root / path).read_text(encoding="utf-8"))
    for path in _files(root, ("grafana/dashboards",), (".json",)):
        yield from dashboard(path, (root / path).read_text(encoding="utf-8"))
    for path in _files(root, ("ansible",), (".yml",)):
        source = (root / path).read_text(encoding="utf-8")
        yield from tasks(path, source)
        yield from yaml_texts("Ansible messages", "msg|fail_msg|success_msg", path, source)
    for path in _files(root, ("grafana/provisioning/alerting",), (".yaml",)):
        source = (root / path).read_text(encoding="utf-8")
        yield from yaml_texts("alert texts", "title|summary|description", path, source)
    for path in _files(root, ("ansible",), (".md",)):
        yield from markdown("docs", path, (root / path).read_text(encoding="utf-8"))
    for path in ["Makefile", "pyproject.toml", *_files(root, _CONFIGURATION, _COMMENTED)]:
        yield from configuration(path, (root / path).read_text(encoding="utf-8"))


def _files(root: Path, folders: Iterable[str], endings: tuple[str, ...]) -> Iterator[str]:
    for folder in folders:
        for parent, folders_in_it, names in os.walk(root / folder):
            folders_in_it[:] = sorted(name for name in folders_in_it if not name.startswith((".", "__")))
            for name in sorted(names):
                if name.endswith(endings):
                    yield (Path(parent) / name).relative_to(root).as_posix()


def markdown(kind: str, path: str, source: str) -> Iterator[Text]:
    """The paragraphs of a Markdown file, without blocks of code and HTML comments."""
    blank = re.compile(r"^([ \t]*)(```|~~~).*?^\1\2[ \t]*$|<!--.*?-->", re.MULTILINE | re.DOTALL)
    prose = blank.sub(lambda block: "\n" * block[0].count("\n"), source)
    prose = re.sub(r"\]\([^)\s]*\)", "]", prose)  # a link's address is no prose
    yield from _paragraphs(kind, path, prose)


def _paragraphs(kind: str, path: str, prose: str) -> Iterator[Text]:
    line = 1
    for part in re.split(r"(\n\s*\n)", prose):
        if part.strip():
            yield Text(kind, path, line, part)
        line += part.count("\n")


def dashboard(path: str, source: str) -> Iterator[Text]:
    """The titles, descriptions and labels in a dashboard's JSON, which has one key a line."""
    property_id = ""
    for number, line in enumerate(source.splitlines(), 1):
        found = re.match(r'\s*"(\w+)": "(.*)",?$', line)
        if found is None:
            continue
        key = property_id if found[1] == "value" else found[1]  # an override has its property's name and value in turn
        property_id = found[2] if found[1] == "id" else ""
        if key in _PANEL_TEXTS and found[2]:
            yield Text(_PANEL_TEXTS[key], path, number, json.loads(f'"{found[2]}"').replace("\n", " "))


def tasks(path: str, source: str) -> Iterator[Text]:
    """The names of plays, tasks and handlers in a file of Ansible."""
    for number, line in enumerate(source.splitlines(), 1):
        found = re.match(r"\s*- name: (.+)$", line)
        if found and " " in found[1]:
            name = found[1].strip("\"'")
            yield Text("Ansible task names", path, number, name.split(" | ")[-1])


def yaml_texts(kind: str, keys: str, path: str, source: str) -> Iterator[Text]:
    """The texts of some keys in a YAML file; a value that a template puts in counts as one word.

    Args:
        kind, path: of the texts.
        keys: a regular expression for the keys.
        source: the file.
    """
    for found in re.finditer(rf"^( *)(?:{keys}): (.*(?:\n\1 +.*)*)", source, re.MULTILINE):
        template = re.compile(r"\{\{.*?\}\}", re.DOTALL)
        text = template.sub(lambda value: "VALUE" + "\n" * value[0].count("\n"), found[2])
        yield Text(kind, path, source.count("\n", 0, found.start()) + 1, text)


def configuration(path: str, source: str) -> Iterator[Text]:
    """The comments of a file that marks them with ``#``."""
    rows = enumerate(source.splitlines(), 1)
    comments = [(number, found[1]) for number, line in rows if (found := re.match(r"\s*#+(?!!)\s?(.*)$", line))]
    yield from _joined("configuration comments", path, comments)


def _joined(kind: str, path: str, comments: Sequence[tuple[int, str]]) -> Iterator[Text]:
    """Comments on consecutive lines, as one text."""
    block: list[str] = []
    start = 0
    for number, comment in comments:
        if block and number != start + len(block):
            yield Text(kind, path, start, "\n".join(block))
            block = []
        if not block:
            start = number
        block.append(comment)
    if block:
        yield Text(kind, path, start, "\n".join(block))


def python(path: str, source: str) -> Iterator[Text]:
    """The texts of a Python file: docstrings, comments, help, messages of exceptions and names of tests."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _documented(path, node)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from _strings("error messages", path, node.exc.args)
        elif isinstance(node, ast.Call):
            yield from _called(path, node)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [
        (token.start[0], token.string.lstrip("#: "))
        for token in tokens
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(?:type:|noqa|pragma)", token.string)
    ]
    yield from _joined("comments", path, comments)


def _documented(path: str, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Text]:
    name = "" if isinstance(node, ast.Module) else node.name
    if path.startswith("tests/") and name.startswith("test_"):
        yield Text("test names", path, getattr(node, "lineno", 1), name.replace("_", " "))
    if not ast.get_docstring(node, clean=False):
        return
    statement = node.body[0]
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Constant)
    whole = str(statement.value.value)
    summary, rest = whole, ""
    kind = "docstrings"
    if isinstance(node, ast.FunctionDef) and any(map(_makes_command, node.decorator_list)):
        summary, _, rest = whole.partition("\n\n")
        kind = "command summaries"
    elif isinstance(node, ast.Module) and re.fullmatch(r"collectors/(?!_)\w+(?:\.py|/__init__\.py)", path):
        summary, _, rest = whole.partition("\n")
        kind = "collector summaries"
    yield Text(kind, path, statement.lineno, summary)
    if rest.strip():
        rest_kind = "command help" if kind == "command summaries" else "docstrings"
        yield Text(rest_kind, path, statement.lineno + summary.count("\n") + 1, rest)


def _makes_command(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr in ("command", "group")


def _called(path: str, node: ast.Call) -> Iterator[Text]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    kind = "declarations" if name in _DECLARATIONS else "command help"
    position = _HELP_ARGUMENT.get(name)
    if position is not None and len(node.args) > position:
        yield from _strings(kind, path, [node.args[position]])
    yield from _strings(kind, path, [keyword.value for keyword in node.keywords if keyword.arg == "help"])
    if name == "error" and path.startswith("collectors/"):
        yield from _strings("error messages", path, node.args)


def _strings(kind: str, path: str, nodes: Sequence[ast.expr]) -> Iterator[Text]:
    """The texts in expressions; a value that is put in counts as one word."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(kind, path, node.lineno, node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "VALUE" for part in node.values]
            yield Text(kind, path, node.lineno, "".join(map(str, parts)))
        elif isinstance(node, ast.BinOp):
            yield from _strings(kind, path, [node.left, node.right])
        elif isinstance(node, ast.IfExp):
            yield from _strings(kind, path, [node.body, node.orelse])


# --- the ceilings ----------------------------------------------------------------------------------


def complaints(
    counts: Mapping[str, Count], ceilings: Mapping[str, float], changed: Collection[tuple[str, int]] = ()
) -> Iterator[str]:
    """Each rate above its ceiling or well below it, and each kind of text without a ceiling.

    Args:
        counts: of the tree.
        ceilings: phrases per 1,000 words, by the kind of text.
        changed: paths and lines of the latest change, whose phrases come first.
    """
    for kind, counted in counts.items():
        ceiling = ceilings.get(kind)
        if ceiling is None:
            yield f"{kind}: there is no ceiling; add one to {CEILINGS.relative_to(ROOT)}"
        elif counted.rate > ceiling:
            newest_first = sorted(counted.hits, key=lambda hit: (hit.path, hit.line) not in changed)
            yield from map(str, newest_first[:SHOWN])
            more = len(counted.hits) - SHOWN
            if more > 0:
                yield f'... and {more} more; python -m tools.prose --list "{kind}" prints them all'
            yield f"{kind}: {counted.rate:.2f} phrases per 1,000 words; at most {ceiling:g}"
        elif counted.rate < ceiling - SLACK:
            yield (
                f"{kind}: {counted.rate:.2f} phrases per 1,000 words, below the ceiling of {ceiling:g}; "
                "lower it: python -m tools.prose --update"
            )


def changed_lines(root: Path) -> set[tuple[str, int]]:
    """Paths and lines of the uncommitted change at *root*, or of the last commit if there is none."""
    diff = git(root, "diff", "--unified=0", "HEAD") or git(root, "diff", "--unified=0", "HEAD~1") or ""
    lines, path = set(), ""
    for line in diff.splitlines():
        hunk = re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line)
        if line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/")
        elif hunk:
            start, number = int(hunk[1]), int(hunk[2] or 1)
            lines |= {(path, each) for each in range(start, start + number)}
    return lines


def lowered(document: str, counts: Mapping[str, Count]) -> str:
    """The ceilings file with each ceiling lowered to its rate, rounded up to a tenth; none is raised."""

    def line(found: re.Match[str]) -> str:
        counted = counts.get(found["kind"])
        if counted is None:
            return found[0]
        return f'"{found["kind"]}" = {min(float(found["ceiling"]), math.ceil(10 * counted.rate) / 10):.1f}'

    return re.sub(r'^"(?P<kind>[^"]+)" = (?P<ceiling>[\d.]+)$', line, document, flags=re.MULTILINE)


def table(counts: Mapping[str, Count]) -> Iterator[str]:
    """Words, phrases and rates as a table in Markdown."""
    yield "| kind of text | words | phrases | per 1,000 words |"
    yield "| --- | ---: | ---: | ---: |"
    for kind, counted in counts.items():
        yield f"| {kind} | {counted.words} | {len(counted.hits)} | {counted.rate:.1f} |"


@click.command()
@click.option("--list", "listed", metavar="KIND", help='Print every phrase of a kind of text, or of "all".')
@click.option("--table", "tabulated", is_flag=True, help="Print words, phrases and rates as a table.")
@click.option("--update", is_flag=True, help="Lower the ceilings to today's rates.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT,
    help="Read another tree.",
)
def main(listed: str | None, tabulated: bool, update: bool, root: Path) -> None:
    """Check the project's texts for stilted phrases."""
    counts = count(texts(root))
    if listed is not None:
        if listed not in (*counts, "all"):
            raise click.BadParameter(f"{listed!r} is no kind of text; there are {', '.join(counts)}")
        for kind, counted in counts.items():
            if listed in (kind, "all"):
                click.echo("\n".join(map(str, counted.hits)))
        return
    if tabulated:
        click.echo("\n".join(table(counts)))
        return
    document = CEILINGS.read_text(encoding="utf-8")
    if update:
        document = lowered(document, counts)
        CEILINGS.write_text(document, encoding="utf-8")
    found = list(complaints(counts, tomllib.loads(document)["ceilings"], changed_lines(root)))
    if found:
        click.echo("\n".join(found), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
