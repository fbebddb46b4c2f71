"""Private names of other libraries that thaw uses, a module for each library.

Beside each stands the public way that is missing. tests/test_privates.py says which one an upgrade
has taken away.
"""
