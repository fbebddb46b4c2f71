"""Figures and reports from finished runs."""
