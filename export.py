"""Export the weights of a run: ``python export.py run=outputs/DATE/RUN out=FOLDER``."""

from thaw.commands.start import run

if __name__ == "__main__":
    run("export")
