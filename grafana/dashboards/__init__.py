"""The dashboards, built from rows: ``python -m grafana.dashboards`` writes the JSON that Grafana loads."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

with warnings.catch_warnings():
    # The SDK would rather have the second schema; Grafana's file provisioning takes the classic one everywhere.
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard
    import grafana_foundation_sdk.builders.stat  # noqa: F401 - imported for the warnings that they give once

#: The folder of the generated JSON.
FOLDER = Path(__file__).parent


def fresh() -> dict[str, str]:
    """Each dashboard's file name and the text that belongs in it."""
    from grafana.dashboards.lib import boards

    rows, marks, choices = boards.found(), boards.found_marks(), boards.found_choices()
    keys = {board.key for board in boards.BOARDS}
    if strays := {row.board for row in rows} - keys:
        raise ValueError(
            f"rows name the boards {', '.join(sorted(strays))}, but there are only {', '.join(sorted(keys))}"
        )
    return {
        f"{board.key}.json": json.dumps(
            boards.build(board, (row for row in rows if row.board == board.key), marks, choices),
            cls=JSONEncoder,
            ensure_ascii=False,
            indent=2,
            sort_keys=True,
        )
        + "\n"
        for board in boards.BOARDS
    }
