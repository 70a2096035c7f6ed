"""`python -m benchmarks.api`."""

from benchmarks.api.run import main

main()
