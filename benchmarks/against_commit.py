"""A step of train.py beside that of another commit: before and after a change, in one run.

``python benchmarks/against_commit.py COMMIT [override ...]``
"""

import runpy
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import ROOT
from turns import Round, ratio, train

ROUNDS = 15
IN = "--in"


def run_there(checkout: str, arguments: list[str]) -> None:
    """Run the train.py of another checkout, with its own package."""
    sys.path.insert(0, f"{checkout}/src")
    script = f"{checkout}/train.py"
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def main(commit: str, overrides: list[str]) -> None:
    """Print milliseconds a step of each, and the ratio."""
    now = train("data=mnist_5k", *overrides)
    with tempfile.TemporaryDirectory() as temporary:
        checkout = f"{temporary}/checkout"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", checkout, commit], check=True)
        try:
            then = ["benchmarks/against_commit.py", IN, checkout, *now[1:]]
            with Round({"now": now, commit: then}, Path(temporary)) as contenders:
                contenders.warm_up()
                found = contenders.seconds(ROUNDS)
        finally:
            subprocess.run([*git, "remove", "--force", checkout], check=True)
    for name, spent in found.items():
        middle = 1000 * statistics.median(spent)
        print(f"{name:12s} {middle:8.2f} ms a step, {ratio(found, name, commit)}")


if __name__ == "__main__":
    if sys.argv[1] == IN:
        run_there(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1], sys.argv[2:])
