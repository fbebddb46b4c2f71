"""Play with a run in a browser: ``python demo.py run=zoo/best_cold``."""

from thaw.commands.start import run

if __name__ == "__main__":
    run("demo")
