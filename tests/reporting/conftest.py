"""One report for many tests, since drawing takes its time."""

import pytest
from page_support import Page
from report_runs import Report, broken_runs, whole_runs
from reporting_support import HOSTILE

from thaw.reporting.report import Options, write_report


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two whole experiments, one of them of two seeds, and six runs that lack something."""
    folder = tmp_path_factory.mktemp("report")
    marker = folder / "executed"
    runs = whole_runs(folder) | broken_runs(folder, marker)
    page = write_report(
        list(runs.values()), folder / "out", Options(f"Title {HOSTILE}", paper=True)
    )
    return Report(folder / "out", Page(page.read_text(encoding="utf-8")), runs, marker)
