"""Import a trained model of the study's: ``python import_weights.py FILE.pth out=FOLDER``."""

from thaw.commands.start import run

if __name__ == "__main__":
    run("import_weights")
