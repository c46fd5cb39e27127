"""The rules, pure: no I/O, clock, randomness or logging; `now`, ids and jitter are arguments (a contract checks it)."""
