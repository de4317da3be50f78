"""The prose check finds each stilted phrase with its place, and holds each kind of text below its ceiling."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools import prose
from tools.prose import CEILINGS, ROOT, Count, Hit, Text, complaints, count, hits, lowered

PHRASES = {
    "anew": "It starts anew.",
    "is told": "The error is told once.",
    "tells": "Telegraf tells the collector.",
    "what is": "Print what is missing.",
    "stands": "The token stands in a file.",
    "beside": "A file beside it.",
    "whoever": "Whoever asks gets an answer.",
    "nobody": "Nobody reads it.",
    "somebody": "Until somebody looks.",
    "is to be": "The file is to be read.",
    "is looked at": "The log is looked at.",
    "lets go": "The collector lets go of the device.",
    "so many": "It waits for so many seconds.",
    "of its own": "A folder of its own.",
    "had back": "A lost file cannot be had back.",
    "in which": "The folder in which it is.",
    "where there is": "Empty where there is none.",
    "again and again": "It fails again and again.",
    "is said": "The error is said once.",
    "makes of": "The value that it makes of a text.",
    "that is no": "A file that is no backup.",
}


def found(kind: str, text: str) -> list[str]:
    return [hit.rule for hit in hits(Text(kind, "a.md", 1, text))]


def test_every_rule_has_an_example() -> None:
    assert sorted(PHRASES) == sorted(prose.PHRASES)


@pytest.mark.parametrize("rule", PHRASES)
def test_phrase_is_found(rule: str) -> None:
    assert found("docs", PHRASES[rule]) == [rule]


def test_plain_sentence_passes() -> None:
    assert found("docs", "Telegraf retries and reports the error. Standing alone, a tell-tale is no hit.") == ["tells"]
    assert found("docs", "Telegraf retries, and reports the error with its path.") == []


def test_phrase_is_found_across_a_line_break_at_its_line() -> None:
    (hit,) = hits(Text("docs", "a.md", 7, "The first line.\nThe error is\ntold once."))
    assert hit == Hit("a.md", 8, "is told", "is told")
    assert str(hit) == 'a.md:8: "is told" (is told)'


def test_code_spans_are_skipped() -> None:
    assert found("docs", "Use `stand beside` or ``anew``.") == []


@pytest.mark.parametrize("kind", ["Ansible task names", "command summaries"])
@pytest.mark.parametrize("text", ["The package is there", "Restarted Telegraf", "Checks the token", "What is left"])
def test_names_of_actions_begin_with_an_imperative(kind: str, text: str) -> None:
    assert "begin with an imperative" in found(kind, text)


@pytest.mark.parametrize("text", ["Restart Telegraf", "Process the queue", "Feed the watchdog", "Verify the key"])
def test_imperatives_pass(text: str) -> None:
    assert found("Ansible task names", text) == []


def test_panel_title_is_no_clause() -> None:
    assert found("panel titles", "How warm it was") == ["use a noun phrase"]
    assert found("panel titles", "Throttling now") == []


def kinds_and_lines(texts: list[Text]) -> list[tuple[str, int, str]]:
    return [(text.kind, text.line, text.text) for text in texts]


def test_markdown_without_code_comments_and_addresses() -> None:
    source = "# Title\n\n```sh\nanew\n```\n\n<!-- anew -->\n\n[A link](what-is.md) here.\n"
    texts = list(prose.markdown("docs", "a.md", source))
    assert kinds_and_lines(texts) == [("docs", 1, "# Title"), ("docs", 9, "[A link] here.\n")]


def test_indented_block_of_code_is_skipped() -> None:
    source = "1. One:\n\n   ```sh\n   anew\n   ```\n\n2. Two\n"
    assert [text.line for text in prose.markdown("docs", "a.md", source)] == [1, 7]


def test_python_texts_have_their_kinds_and_lines() -> None:
    source = '''"""Module."""

import click

# One comment
# in two lines.
SETTING = Setting("name", str, "", "Help of a setting.")  # noqa: X
FIELD = Field("name", int, "", "Help of a field.")


@click.command()
@click.option("--x", help="Help of an option.")
def command() -> None:
    """Show it.

    At length.
    """
    raise ValueError(f"{SETTING} is wrong" + "; mend it")
'''
    assert sorted(kinds_and_lines(list(prose.python("sensetig/x.py", source)))) == [
        ("command help", 7, "Help of a setting."),
        ("command help", 12, "Help of an option."),
        ("command help", 15, "    At length.\n    "),
        ("command summaries", 14, "Show it."),
        ("comments", 5, "One comment\nin two lines."),
        ("declarations", 8, "Help of a field."),
        ("docstrings", 1, "Module."),
        ("error messages", 18, "; mend it"),
        ("error messages", 18, "VALUE is wrong"),
    ]


def test_collector_summary_is_the_first_line_of_its_module() -> None:
    texts = list(prose.python("collectors/x/__init__.py", '"""Summary.\n\nMore.\n"""\n'))
    assert kinds_and_lines(texts) == [("collector summaries", 1, "Summary."), ("docstrings", 2, "\nMore.\n")]
    assert [text.kind for text in prose.python("collectors/x/y.py", '"""Part."""\n')] == ["docstrings"]


def test_collector_error_is_a_message() -> None:
    texts = list(prose.python("collectors/x.py", 'report.error("The bus is busy")\n'))
    assert kinds_and_lines(texts) == [("error messages", 1, "The bus is busy")]


def test_names_of_tests_are_read_as_sentences() -> None:
    texts = list(prose.python("tests/unit/test_x.py", "def test_it_stands() -> None: ...\ndef helper() -> None: ...\n"))
    assert kinds_and_lines(texts) == [("test names", 1, "test it stands")]


def test_dashboard_texts() -> None:
    source = """{
  "title": "Air",
  "description": "Says \\"what\\".",
  "noValue": "",
  "type": "row",
  "id": "displayName",
  "value": "State",
  "id": "unit",
  "value": "celsius"
}
"""
    assert kinds_and_lines(list(prose.dashboard("a.json", source))) == [
        ("panel titles", 2, "Air"),
        ("panel texts", 3, 'Says "what".'),
        ("panel texts", 7, "State"),
    ]


def test_texts_in_yaml_go_on_over_indented_lines() -> None:
    source = "- one:\n    msg: >-\n      {{ path }} is\n      told.\n    quiet: true\n    msg: Short\n"
    texts = list(prose.yaml_texts("Ansible messages", "msg", "a.yml", source))
    assert kinds_and_lines(texts) == [
        ("Ansible messages", 2, ">-\n      VALUE is\n      told."),
        ("Ansible messages", 6, "Short"),
    ]
    assert [str(hit) for hit in hits(texts[0])] == ['a.yml:3: "is told" (is told)']


def test_ansible_names() -> None:
    source = "- name: Install Telegraf\n  vars:\n    - name: telegraf\n- name: upgrade | Stop it\n"
    assert kinds_and_lines(list(prose.tasks("a.yml", source))) == [
        ("Ansible task names", 1, "Install Telegraf"),
        ("Ansible task names", 4, "Stop it"),
    ]


def test_configuration_comments_on_consecutive_lines_are_one_text() -> None:
    source = "#!/bin/sh\n# One\n# text.\nkey = 1\n## Another.\n"
    assert kinds_and_lines(list(prose.configuration("a.conf", source))) == [
        ("configuration comments", 2, "One\ntext."),
        ("configuration comments", 5, "Another."),
    ]


def counted(phrases: int, words: int = 1000) -> Count:
    return Count(words, [Hit("a.md", line, "anew", "anew") for line in range(1, phrases + 1)])


def test_rate_above_its_ceiling_fails_with_each_place() -> None:
    found = list(complaints({"docs": counted(3)}, {"docs": 2.9}))
    assert found[0] == 'a.md:1: "anew" (anew)'
    assert found[-1] == "docs: 3.00 phrases per 1,000 words; at most 2.9"


def test_long_list_is_cut_and_says_how_to_see_it_whole() -> None:
    found = list(complaints({"docs": counted(25)}, {"docs": 0.0}))
    assert len(found) == prose.SHOWN + 2
    assert found[-2] == '... and 5 more; python -m tools.prose --list "docs" prints them all'


def test_phrases_of_the_latest_change_come_first() -> None:
    found = list(complaints({"docs": counted(25)}, {"docs": 0.0}, {("a.md", 24)}))
    assert found[:2] == ['a.md:24: "anew" (anew)', 'a.md:1: "anew" (anew)']


def test_latest_change_is_the_uncommitted_one_or_the_last_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    for text in ("one\ntwo\n", "one\nnew\ntwo\n"):
        (tmp_path / "a.md").write_text(text, encoding="utf-8")
        git("add", "a.md")
        git("commit", "--quiet", "--message", "Change it")
    assert prose.changed_lines(tmp_path) == {("a.md", 2)}
    (tmp_path / "a.md").write_text("one\nnew\ntwo\nthree\nfour\n", encoding="utf-8")
    assert prose.changed_lines(tmp_path) == {("a.md", 4), ("a.md", 5)}


def test_latest_change_outside_a_repository_is_empty(tmp_path: Path) -> None:
    assert prose.changed_lines(tmp_path / "nowhere") == set()


def test_rate_at_its_ceiling_passes() -> None:
    assert list(complaints({"docs": counted(3)}, {"docs": 3.0})) == []
    assert list(complaints({"docs": counted(3)}, {"docs": 3.5})) == []


def test_rate_well_below_its_ceiling_asks_to_lower_it() -> None:
    (asked,) = complaints({"docs": counted(3)}, {"docs": 3.6})
    assert asked == (
        "docs: 3.00 phrases per 1,000 words, below the ceiling of 3.6; lower it: python -m tools.prose --update"
    )


def test_kind_without_a_ceiling_fails() -> None:
    assert list(complaints({"docs": counted(0)}, {})) == ["docs: there is no ceiling; add one to tools/prose.toml"]


def test_update_lowers_and_never_raises() -> None:
    document = '# Head.\n[ceilings]\n"docs" = 5.0\n"help" = 2.0\n"gone" = 1.0\n\n[commits]\nbase = "abc"\n'
    assert lowered(document, {"docs": counted(301, 100_000), "help": counted(3)}) == document.replace("5.0", "3.1")


def test_every_kind_of_text_of_the_project_has_a_ceiling_within_its_target() -> None:
    ceilings = tomllib.loads(CEILINGS.read_text(encoding="utf-8"))["ceilings"]
    assert sorted(ceilings) == sorted(count(prose.texts(ROOT)))
    targets = {"docs": 2, "README": 2, "docstrings": 3, "comments": 3}  # all others have none
    assert {kind: ceiling for kind, ceiling in ceilings.items() if ceiling > targets.get(kind, 0)} == {}


def test_command_lists_a_kind_of_another_tree(tmp_path: Path) -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml"):
        (tmp_path / name).write_text("Nobody.\n", encoding="utf-8")
    done = CliRunner().invoke(prose.main, ["--root", str(tmp_path), "--list", "README"])
    assert (done.exit_code, done.output) == (0, 'README.md:1: "Nobody" (nobody)\n')
    done = CliRunner().invoke(prose.main, ["--root", str(tmp_path), "--list", "poems"])
    assert "'poems' is no kind of text; there are CHANGELOG, CONTRIBUTING, README" in done.output
    assert done.exit_code == 2
