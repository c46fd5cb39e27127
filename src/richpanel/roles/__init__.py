"""The roles of a server, each wired together from the stages: what `app.py` runs in a process of its own."""
