"""The command line: parse, call the node, print, exit code. It knows nothing but ``unhush.node``."""
