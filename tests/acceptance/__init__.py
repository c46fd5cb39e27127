"""The whole product from outside: the command, its processes, its output and HTTP."""
