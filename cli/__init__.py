"""The command line: parse, call the node, print, exit code."""
