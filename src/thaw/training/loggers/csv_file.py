"""Lightning's CSV file."""

from pathlib import Path
from typing import Any

from thaw import storage
from thaw.training.loggers.adapter import Adapter


class CSV(Adapter):
    """Scalars and configuration as text, beside thaw's own ``metrics.csv``."""

    @classmethod
    def prepare(cls, logger: Any, name: str, resumed_at: int | None) -> None:
        # Lightning starts its file anew: it gets the rows up to the checkpoint again.
        path = Path(logger.log_dir) / "metrics.csv"
        is_there = resumed_at is not None and path.is_file()
        rows = storage.read_rows(path) if is_there else []
        path.unlink(missing_ok=True)
        path.with_name("hparams.yaml").unlink(missing_ok=True)
        for row in rows:
            values = {key: value for key, value in row.items() if value and key != "step"}
            if resumed_at is not None and int(row["step"]) <= resumed_at:
                logger.experiment.log_metrics(values, int(row["step"]))
        if rows:
            logger.save()
