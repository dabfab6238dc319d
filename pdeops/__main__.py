"""`python -m pdeops` is `pdeops`."""

from .cli import main

if __name__ == "__main__":  # spawned workers import this file, and must not start over
    main()
