"""``python -m unhush.cli``: the same as the ``unhush`` command."""

from unhush.cli.main import main

main()
