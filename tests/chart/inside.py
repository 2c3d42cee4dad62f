"""Run inside a container: who it is, where it can write, what could install or compile, and how long imports take.

The arguments are the modules to import.
"""

import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from importlib.machinery import PathFinder
from pathlib import Path

FOLDERS = ("/", "/tmp", "/etc", "/home", "/opt/folio", "/usr/local", "/var/tmp")
INSTALLERS = ("pip", "setuptools", "wheel")
PATH = tuple(sys.path)
"""Before any import: setuptools puts what it carries along on the path, a wheel of its own among it."""
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


found = {
    "uid": os.getuid(),
    "writable": [folder for folder in FOLDERS if is_writable(folder)],
    # Past the finder of setuptools, which switches its distutils off for whoever looks for pip; torch needs them.
    "installers": [name for name in INSTALLERS if PathFinder.find_spec(name, PATH)],
    "compilers": [name for name in COMPILERS if shutil.which(name)],
    "import_seconds": {module: import_seconds(module) for module in sys.argv[1:]},
}
print("\n" + json.dumps(found))  # a line of its own, whatever the modules said
