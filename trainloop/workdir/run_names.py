"""Every name that a run gives to something in its workdir, exactly.

What has another name is the user's, wherever it stands: it is never opened,
cut or removed.
"""

import os
import re
import typing

LOCK, JOURNAL, CHECKPOINTS = ".lock", "rows.f32", "checkpoints"
RESULT, MODEL, WEIGHTS = "result.json", "model.keras", "model.weights.h5"
SAVED_MODEL, CLASSES = "saved_model", "classes.txt"
RUNS = ("train", "validation", "plan")
DRY = ".dry_run"
DATA, INDEX = ".data-00000-of-00001", ".index"
PART = "part"
# What results are made in before they get their names.
RESULTS_PART = ".results.part"
# What a damaged file is made again in.
MENDED_PART = ".mended.part"

_NUMBER, _STEP = "[1-9][0-9]*", "(0|[1-9][0-9]*)"
_RUN = (
  rf"(train|validation|plan|plan_from_{_STEP}|fit_{_NUMBER}(_from_{_STEP})?)"
)
# Seconds, host, process, nanoseconds. Other writers' names end otherwise.
_EVENTS = r"events\.out\.tfevents\.[0-9]{10,}\.[^/]+\.[0-9]+\.[0-9]{19}"
_SUFFIX = r"(\.index|\.data-00000-of-00001)"
_RESULT = r"(result\.json|classes\.txt|model\.keras|model\.weights\.h5)"
_PROFILES = r"train/plugins/profile"
_PROFILE = rf"{_PROFILES}/[0-9]{{4}}(_[0-9]{{2}}){{5}}"
_VARIABLES = r"variables/variables\.(index|data-[0-9]{5}-of-[0-9]{5})"
_SAVED = rf"(saved_model\.pb|fingerprint\.pb|{_VARIABLES}|assets/[^/]+)"
_FOLDERS = re.compile(
  rf"{_RUN}|checkpoints|train/plugins|{_PROFILES}|{_PROFILE}"
  r"|(\.results\.part/)?saved_model(/variables|/assets)?|\.results\.part"
)
_FILES = re.compile(
  rf"\.lock|rows\.f32|\.mended\.part|{_RUN}/{_EVENTS}(\.dry_run)?"
  rf"|checkpoints/ckpt-{_NUMBER}{_SUFFIX}"
  # TensorFlow writes into the last ones, and renames them.
  rf"|checkpoints/part{_SUFFIX}(\.tempstate[0-9]+)?"
  rf"|{_PROFILE}/[^/]+\.xplane\.pb"
  rf"|(\.results\.part/)?({_RESULT}|saved_model/{_SAVED})"
)
_SERIAL = re.compile(rf"ckpt-({_NUMBER})({re.escape(INDEX)}|{re.escape(DATA)})")
_PARTS = re.compile(rf"part{_SUFFIX}(\.tempstate[0-9]+)?")
_FOREIGN = re.compile(rf"{_RUN}/events\.out\.tfevents\..*", re.DOTALL)


class Named(typing.NamedTuple):
  """Something that has a name of a run's: a path below the workdir, and
  whether that names a folder."""

  path: str
  is_folder: bool


def is_run(name):
  """Whether a folder of the workdir is a run of TensorBoard's."""
  return re.fullmatch(_RUN, name) is not None


def is_events(path):
  """Whether a path below the workdir names a run's event file."""
  return re.fullmatch(rf"{_RUN}/{_EVENTS}(\.dry_run)?", path) is not None


def is_dry(path):
  """Whether an event file is a dry run's, which the run itself replaces."""
  return path.endswith(DRY)


def are_others_events(path):
  """Whether TensorBoard would show an event file of others as the run's."""
  return not is_events(path) and _FOREIGN.fullmatch(path) is not None


def serial(name, suffix=INDEX):
  """The number of the checkpoint that a file is of; None if of none."""
  match = _SERIAL.fullmatch(name)
  return int(match[1]) if match and match[2] == suffix else None


def serial_of(path):
  """The number of the checkpoint that a path's index is of, or None."""
  folder, name = os.path.split(path)
  return serial(name) if folder == CHECKPOINTS else None


def stays(path):
  """Whether a folder stays where a run is removed: TensorBoard and the next
  run know it."""
  return path == CHECKPOINTS or path in RUNS


def is_part(name):
  """Whether a file in the folder of checkpoints is one of a save that goes
  on."""
  return _PARTS.fullmatch(name) is not None


def is_left(path):
  """Whether a run leaves it only where it is killed: made, but not named."""
  folder, name = os.path.split(path)
  part = folder == CHECKPOINTS and is_part(name)
  return part or path == MENDED_PART or is_below(path, RESULTS_PART)


def is_below(path, folder):
  """Whether a path is a folder, or in it; "" for any."""
  return not folder or path == folder or path.startswith(folder + "/")


def walk(workdir):
  """All that has a name of a run's: `Named`, a folder before what is in it.

  Links are listed and not followed.
  """
  yield from _walk(workdir, "")


def _walk(workdir, folder):
  for name in sorted(listed(os.path.join(workdir, folder))):
    path = os.path.join(folder, name)
    if _FILES.fullmatch(path):
      yield Named(path, False)
    elif _FOLDERS.fullmatch(path):
      yield Named(path, True)
      full = os.path.join(workdir, path)
      if os.path.isdir(full) and not os.path.islink(full):
        yield from _walk(workdir, path)


def unnamed(workdir):
  """Paths of what stands in a workdir, and in the folders of a run in it,
  under names that are not a run's."""
  named = dict(walk(workdir))
  folders = ["", *(path for path, is_folder in named.items() if is_folder)]
  paths = [
    os.path.join(folder, name)
    for folder in folders
    for name in listed(os.path.join(workdir, folder))
  ]
  return sorted(path for path in paths if path not in named)


def events(workdir):
  """Paths below the workdir of a run's event files."""
  below = []
  for run in filter(is_run, listed(workdir)):
    folder = os.path.join(workdir, run)
    paths = (f"{run}/{name}" for name in listed(folder))
    below += filter(is_events, paths)
  return sorted(below)


def others(workdir):
  """Paths below the workdir of event files that a run would stand beside."""
  below = []
  for run in filter(is_run, listed(workdir)):
    paths = (f"{run}/{n}" for n in listed(os.path.join(workdir, run)))
    below += filter(are_others_events, paths)
  return sorted(below)


def listed(folder):
  """Names in a folder; none if it is missing."""
  try:
    return os.listdir(folder)
  except (FileNotFoundError, NotADirectoryError):
    return []
