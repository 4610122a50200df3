"""Makes the folders of scripts/, one folder up, importable."""

import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))
