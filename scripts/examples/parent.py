"""Makes the folders of scripts/, one folder up, importable.

A script that is copied elsewhere takes along the folder cli/.
"""

import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))
