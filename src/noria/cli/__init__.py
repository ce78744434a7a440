"""The command line: each command parses, calls one function, and shows its result as text or `--json`."""
