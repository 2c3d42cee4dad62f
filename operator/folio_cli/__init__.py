"""`folio`: one command over both planes."""
