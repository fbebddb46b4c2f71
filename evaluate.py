"""Score a run's checkpoint: ``python evaluate.py run=outputs/DATE/RUN``."""

from thaw.commands.start import run

if __name__ == "__main__":
    run("evaluate")
