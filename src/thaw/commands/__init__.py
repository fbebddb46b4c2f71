"""The commands behind the entry points: compose a configuration, hand over to the library."""
