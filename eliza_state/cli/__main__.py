"""`python -m eliza_state.cli`: the command line without its script."""

from eliza_state.cli import main

main()
