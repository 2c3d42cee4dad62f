"""Prints what the distribution and one of its extras need, for pip to install before Folio itself.

Sources change often, and an engine of gigabytes must not be installed again each time.

    python requirements.py EXTRA
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
print("\n".join([*project["dependencies"], *project["optional-dependencies"][sys.argv[1]]]))
