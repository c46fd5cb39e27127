"""The command's parts that can be looked at without a process: lines, settings, figures."""
