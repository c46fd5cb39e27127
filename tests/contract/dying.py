"""A program that kills itself right before or right after the n-th step it takes, n being its second argument."""

DYING = """
import os, signal, sys
from pathlib import Path

left = int(sys.argv[2])

def dies(really):
    def call(*given, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = really(*given, **named)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

def die_at(place, *names):
    for name in names:
        setattr(place, name, dies(getattr(place, name)))
"""
"""Comes before the program, which says by `die_at(MODULE, NAMES)` which calls are steps."""
