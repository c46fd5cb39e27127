"""Runs Segment's own server-side SDKs, each in a process of its own as a shop's back end would."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NODE_MODULES = HERE.parent.parent / "node_modules"
# `make test` installs the older generation there from requirements/sdk-older.txt.
OLDER_PYTHON_SDK = Path(sys.prefix) / "sdk-older"

Call = dict[str, Any]


@dataclass(frozen=True)
class Client:
    """One generation of one SDK: the program that makes the calls, and the version that it has to say it is."""

    name: str
    version: str
    program: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)

    def send(self, host: str, write_key: str, calls: Sequence[Call], **options: object) -> list[str]:
        """Makes the calls, asserts that the SDK knows of no error and gives the message ids it chose, in order."""
        order = {"host": host, "writeKey": write_key, "options": options, "calls": list(calls)}
        done = subprocess.run(
            self.program,
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **self.env},
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {done.stderr}"
        said = json.loads(done.stdout)
        assert said["version"] == self.version, said["version"]
        assert said["errors"] == [], said["errors"]
        sent = list(said["sent"])
        assert len(set(sent)) == len(calls), sent
        return sent


PYTHON_PROGRAM = (sys.executable, str(HERE / "calls_python.py"))
PYTHON = Client("segment-analytics-python", "2.4.0", PYTHON_PROGRAM)
PYTHON_OLDER = Client(
    "segment-analytics-python, older", "2.3.4", PYTHON_PROGRAM, env={"PYTHONPATH": str(OLDER_PYTHON_SDK)}
)
NODE = Client("@segment/analytics-node", "3.1.0", ("node", str(HERE / "calls_node.mjs")))
NODE_LEGACY = Client("analytics-node", "6.2.0", ("node", str(HERE / "calls_node_legacy.cjs")))
