"""thaw: config-driven experiments with diffusion models, hot and cold."""

__version__ = "0.1.0"
