"""Train a diffusion model: ``python train.py --help``."""

from thaw.commands.start import run

if __name__ == "__main__":
    run("train")
