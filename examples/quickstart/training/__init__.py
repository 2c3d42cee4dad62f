"""How the quickstart's own models were trained; nothing here runs in the demo."""
