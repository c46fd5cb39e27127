"""The figures of `make bench`: each beside a reference measured in the same run."""
