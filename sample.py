"""Sample images from a run: ``python sample.py run=outputs/DATE/RUN``."""

from thaw.commands.start import run

if __name__ == "__main__":
    run("sample")
