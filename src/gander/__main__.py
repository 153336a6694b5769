"""``python -m gander``: the command line."""

from gander.cli import main

main()
