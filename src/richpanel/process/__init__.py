"""Turns the log into state: a batch is folded by core.pipeline and stored in one transaction with its position."""
