"""The verbs of the command `richpanel`, a file each; `cli.py` lists them."""
