"""The door through real HTTP: uvicorn on the loopback in front of a real log, read back by a real reader."""
