"""Makes the modules of scripts/, one folder up, importable.

A script that is copied elsewhere takes along what it imports from there:
run_flags.py, flag_rules.py, schedule_flags.py, schedule_makers.py,
judging_flags.py, device_flags.py, quiet.py and csv_table.py.
"""

import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))
