"""`make bench-operator`."""

from bench.operator.run import main

main()
