"""Documents to an index, and an index to answers with their sources."""

import os

# Lance warns on standard error that a new table does not exist yet; it reads this when it is imported.
os.environ.setdefault("LANCE_LOG", "error")
