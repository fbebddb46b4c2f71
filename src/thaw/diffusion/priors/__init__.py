"""Priors: where a trajectory starts when an image is made from nothing."""

from thaw.diffusion.priors.base import Prior
from thaw.diffusion.priors.empirical import Empirical
from thaw.diffusion.priors.normal import Normal

# Older checkpoints name the last two by this module.
__all__ = ["Empirical", "Normal", "Prior"]
