"""What the documents say of the configuration is so."""

from __future__ import annotations

import re
import tomllib

import pytest

from collectors.core.registry import catalogue
from tests.golden import ROOT

SNIPPETS = ROOT / "telegraf" / "telegraf.d"


@pytest.mark.parametrize("name", [each for each in catalogue() if (SNIPPETS / f"{each}.conf").is_file()])
def test_a_snippet_has_one_form_for_exec_unless_its_collector_follows_events(name: str) -> None:
    snippet = (SNIPPETS / f"{name}.conf").read_text(encoding="utf-8")
    # What follows events has no form for exec, and what metrics go through has none either.
    follows = re.search(r'^\s*signal = "none"|^\[\[processors\.execd\]\]', snippet, re.MULTILINE) is not None
    active, *others = re.findall(r"^(?:# )?\[\[(?:inputs|processors)\.execd?\]\]", snippet, re.MULTILINE)
    if follows:
        assert active in ("[[inputs.execd]]", "[[processors.execd]]")
        assert others == []
    else:
        # A collector that stays is also shown as a fresh process; one that is a fresh process already needs no second.
        assert (active, others) in (("[[inputs.execd]]", ["# [[inputs.exec]]"]), ("[[inputs.exec]]", []))


def test_the_documents_give_telegrafs_buffer_the_size_that_it_has() -> None:
    configuration = tomllib.loads((ROOT / "telegraf" / "telegraf.conf").read_text(encoding="utf-8"))
    size = f"{configuration['agent']['metric_buffer_limit']:,}"
    for document in ("README.md", "docs/telegraf.md"):
        assert size in (ROOT / document).read_text(encoding="utf-8"), document
