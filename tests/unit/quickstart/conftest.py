"""The quickstart is no installed package: its folder is put on the path, as `python -m` run there does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "quickstart"))
