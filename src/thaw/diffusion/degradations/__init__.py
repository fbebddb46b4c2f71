"""Degradations D(x_0, t, noise): what the forward process does to an image."""
