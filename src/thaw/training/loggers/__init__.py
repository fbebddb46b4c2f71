"""What a run writes to its loggers, whichever they are: an adapter for each of Lightning's."""
