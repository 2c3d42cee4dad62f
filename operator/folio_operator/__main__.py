"""`python -m folio_operator`."""

from folio_operator.main import main

main()
