"""Run inside a container: who it is, where it can write, what could install or compile, and how long imports take.

The arguments are the modules to import.
"""

import importlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

FOLDERS = ("/", "/tmp", "/etc", "/home", "/opt/folio", "/usr/local", "/var/tmp")
INSTALLERS = ("pip", "setuptools", "wheel")
COMPILERS = ("cc", "gcc", "g++", "clang", "ld", "make")


def is_writable(folder: str) -> bool:
    try:
        with tempfile.TemporaryFile(dir=Path(folder)):
            return True
    except OSError:
        return False


def import_seconds(module: str) -> float:
    began = time.monotonic()
    importlib.import_module(module)
    return round(time.monotonic() - began, 1)


seconds = {module: import_seconds(module) for module in sys.argv[1:]}
# After the imports: whoever looks for pip switches setuptools' own distutils off, and torch would then not be imported.
found = {
    "uid": os.getuid(),
    "writable": [folder for folder in FOLDERS if is_writable(folder)],
    "installers": [name for name in INSTALLERS if importlib.util.find_spec(name)],
    "compilers": [name for name in COMPILERS if shutil.which(name)],
    "import_seconds": seconds,
}
print("\n" + json.dumps(found))  # a line of its own, whatever the modules said
