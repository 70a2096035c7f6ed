"""`python -m deployments.cli` is the console script."""

from deployments.cli.main import main

main()
