"""Launchers and sweepers of Hydra as thaw has them; Hydra looks for its plugins here."""
