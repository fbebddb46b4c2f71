"""Samplers: from x_T back to x_0 through what a restorer predicts."""
