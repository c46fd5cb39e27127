"""Keeps what was accepted: the EventLog contract and the engines behind it."""
