"""Audiences and computed traits are told: each change becomes a message in the log (docs/decisions/0025)."""
