"""Priors: where a trajectory starts when an image is generated without a real one."""
