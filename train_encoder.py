"""Train the encoder that scores are computed on: ``python train_encoder.py data=fashion_mnist``."""

from thaw.commands.start import run

if __name__ == "__main__":
    run("train_encoder")
