"""Report on finished runs: ``python report.py --help``."""

from thaw.commands.start import run

if __name__ == "__main__":
    run("report")
