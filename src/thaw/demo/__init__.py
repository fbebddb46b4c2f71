"""The page of ``demo.py``: drawn, uploaded and generated images of one run, in a browser."""
