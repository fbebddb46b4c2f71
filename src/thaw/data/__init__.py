"""Data modules and where images come from."""
