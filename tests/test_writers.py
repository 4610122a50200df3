"""Who may write: files of a workdir are made and removed in one place."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = "trainloop/workdir/run_files.py"
# What else writes, and why it may.
ALLOWED = {
  # A workdir, or a folder in it, that `run_files` checks next.
  "trainloop/workdir/checkpoints/store.py": {"os.makedirs"},
  "trainloop/workdir/tensorboard/event_writer.py": {"os.makedirs"},
  "trainloop/sweep/report.py": {"os.makedirs", "open"},  # in `made`
  # Into files that `run_files` opened or made.
  "trainloop/workdir/row_journal.py": {"open", "os.ftruncate", "os.pwrite"},
  "trainloop/workdir/mending.py": {"TFRecordWriter"},
  "trainloop/workdir/claims.py": {"os.pwrite"},
  "trainloop/workdir/tensorboard/event_file.py": {
    "os.ftruncate",
    "os.makedirs",
    "TFRecordWriter",
  },
  # The cache's own folders, which no run knows.
  "trainloop/base/compile_cache.py": {
    "mkdir",
    "shutil.rmtree",
    "symlink_to",
    "unlink",
    "write_bytes",
  },
  # In a folder that was checked.
  "trainloop/workdir/checkpoints/files.py": {"SaveV2"},
  "trainloop/workdir/profiler.py": {"profiler.experimental.start"},
  # A path that the user names, or `made`.
  "trainloop/display/figures.py": {"savefig"},
  # Into temporary folders, memory and pipes.
  "trainloop/data/iterator_state.py": {"open"},
  "trainloop/data/read_ahead.py": {"np.savez"},
  "trainloop/fit/signals.py": {"os.write"},
  # In `made` and `result`.
  "scripts/training/job.py": {"open"},
  "scripts/benchmarks/report.py": {"open"},
  "scripts/experiments/report.py": {"open"},
  "scripts/experiments/averages.py": {"open", "os.makedirs"},
  "scripts/experiments/run_hashes.py": {"write_text"},
  # Paths that the user names, and that hold nothing of a run.
  "scripts/reproduce.py": {"os.makedirs"},
  "scripts/plot_run.py": {"savefig"},
  "scripts/benchmarks/scaling.py": {"open"},
  "scripts/chaos.py": {"open"},
  "scripts/kills/runs.py": {"os.open", "write_text"},
  "scripts/examples/tfrecord.py": {"TFRecordWriter"},
}
_OS = {
  "chmod", "chown", "copy_file_range", "ftruncate", "link", "makedirs", "mkdir",
  "mkfifo", "posix_fallocate", "pwrite", "pwritev", "remove", "removedirs",
  "rename", "renames", "replace", "rmdir", "sendfile", "symlink", "truncate",
  "unlink", "write", "writev",
}  # fmt: skip
_SHUTIL = {"copy", "copy2", "copyfile", "copytree", "move", "rmtree"}
_ANYWHERE = {
  "SaveV2", "TFRecordWriter", "create_file_writer", "hardlink_to", "memmap",
  "mkdir", "rename", "rmdir", "savefig", "symlink_to", "tofile", "touch",
  "unlink", "write_bytes", "write_text",
}  # fmt: skip
_NUMPY = {"save", "savetxt", "savez", "savez_compressed"}
_CREATES = {"O_CREAT", "O_RDWR", "O_WRONLY", "O_TRUNC", "O_APPEND"}


def writes(path):
  """Names of the calls in a file that write, make or remove something."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Call):
      found |= {named(node)} - {None}
  return found


def named(call):
  text = ast.unparse(call.func)
  owner, _, name = text.rpartition(".")
  if text in ("open", "io.open"):
    return "open" if set("wax+") & set(mode_of(call)) else None
  if text == "os.open":
    flags = {n.attr for n in ast.walk(call) if isinstance(n, ast.Attribute)}
    return text if flags & _CREATES and "devnull" not in flags else None
  known = {"os": _OS, "shutil": _SHUTIL, "np": _NUMPY, "numpy": _NUMPY}
  if name in known.get(owner, ()):
    return text
  if text.endswith("profiler.experimental.start"):
    return "profiler.experimental.start"
  return name if name in _ANYWHERE else None


def mode_of(call):
  """The mode that `open` is given; everything if it can't be read."""
  modes = [*call.args[1:2], *(k.value for k in call.keywords
                              if k.arg == "mode")]  # fmt: skip
  if not modes:
    return "r"
  return modes[0].value if isinstance(modes[0], ast.Constant) else "w"


SOURCES = {
  str(path.relative_to(ROOT)): path
  for folder in ("kernels", "trainloop", "scripts")
  for path in sorted((ROOT / folder).rglob("*.py"))
}


@pytest.mark.parametrize("name", SOURCES)
def test_no_other_file_writes(name):
  if name != PLACE:
    assert writes(SOURCES[name]) == ALLOWED.get(name, set()), name
  assert set(ALLOWED) <= set(SOURCES)


def test_calls_that_write_are_seen(tmp_path):
  path = tmp_path / "code.py"
  lines = {
    "os.remove(p)": "os.remove",
    "open(p, 'wb')": "open",
    "open(p, mode=m)": "open",
    "os.open(p, os.O_RDWR | os.O_CREAT)": "os.open",
    "shutil.rmtree(p)": "shutil.rmtree",
    "tf.io.TFRecordWriter(p)": "TFRecordWriter",
    "pathlib.Path(p).write_text('')": "write_text",
    "np.savez(p, a=1)": "np.savez",
  }
  path.write_text("\n".join(lines))
  assert writes(path) == set(lines.values())
  reads = "open(p)\nopen(p, 'rb')\nos.open(p, os.O_RDONLY)\na.replace(b, c)"
  path.write_text(f"{reads}\nos.open(os.devnull, os.O_WRONLY)")
  assert writes(path) == set()
