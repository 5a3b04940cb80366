"""`python -m promptwire.cli`."""

from promptwire.cli import main

main()
