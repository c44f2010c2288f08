"""`python -m atom_dagster` is `atom`."""

from atom_dagster.cli import main

main()
