"""Encoders and the scores computed over their features."""
