"""thaw from Python: compose, train, load a run and use it. ``import thaw`` has its names."""
