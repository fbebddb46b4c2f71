"""What a phase has found, in $OUT/results.json."""

import json
import os
from pathlib import Path
from typing import Any

OUT = Path(os.environ["OUT"])


def keep(phase: str, found: dict[str, Any]) -> None:
    """Replace what is known of a phase; that of others stays."""
    path = OUT / "results.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | {phase: found}, indent=1))
