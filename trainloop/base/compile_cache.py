"""XLA's compiled programs, kept for the next process of this machine.

TensorFlow can read programs from a folder and write them there, but a damaged
entry, a full disk or a file in the folder's place then ends the run. So it gets
a folder of the process's own, in memory where there is such a place, with links
to what is whole in the store; what it adds is copied into the store.
It needs no TensorFlow: scripts load it before that is imported.
"""

import atexit
import contextlib
import fcntl
import glob
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import re
import shutil
import tempfile
import threading

LIMIT = 256 << 20  # bytes of a store; all of them are read at a start
VARIABLE = "TRAINLOOP_COMPILE_CACHE"
_FLAG = "--tf_xla_persistent_cache_directory"
# With those for a GPU nothing was tried.
_DEVICES = "--tf_xla_persistent_cache_device_types=CPU"
_OWN = "trainloop-xla-"
_OURS = re.compile(rf"{_FLAG}=\S*/{_OWN}\S*|{re.escape(_DEVICES)}")
_ENTRY = re.compile(r"(xla_compile_cache__\w+\.pb)\.([0-9a-f]{64})")
_PART = ".part"
_ROOM = 128 << 20  # bytes free where TensorFlow writes
_PERIOD = 1.0  # seconds between looks for new programs
# What makes XLA compile another program of the same graph.
_VARIABLES = (
  "XLA_FLAGS",
  "TF_ENABLE_ONEDNN_OPTS",
  "TF_NUM_INTRAOP_THREADS",
  "OMP_NUM_THREADS",
)
_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly")


def default_folder():
  """The folder where nothing says another: `VARIABLE`, or the user's cache."""
  home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  own = os.path.join(home, "trainloop", "xla")
  return os.environ.get(VARIABLE) or own


def compile_cache(folder=None):
  """Keeps what XLA compiles for a CPU in a folder, and takes it from there.

  Call it right behind the imports, or before: TensorFlow reads its flags with
  its first tensor, variable or setting, and later calls do nothing. Programs
  are those of one TensorFlow, processor and set of XLA flags: others are never
  run. No bit of a run depends on the folder: what is damaged there is
  compiled again, and where the folder can't be used there is no cache. At most
  256 MiB stay, the last used ones. A cache that TF_XLA_FLAGS names wins.

  Args:
    folder: its path; None for that of TRAINLOOP_COMPILE_CACHE, or
      trainloop/xla in the user's cache folder; "none" for no cache.

  Returns:
    Why there is no cache, one line; "" if there is one.
  """
  folder = folder or default_folder()
  if folder == "none":
    return "it is switched off"
  flags = _OURS.sub("", os.environ.get("TF_XLA_FLAGS", "")).strip()
  if _FLAG in flags:
    return "TF_XLA_FLAGS names another"
  if flags and not flags.startswith("-"):
    return "TF_XLA_FLAGS names a file of flags"
  try:
    store = pathlib.Path(os.path.abspath(folder), _key(flags))
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    _evict(store.parent)
    place = _place()
    _link(store, place)
  except (OSError, importlib.metadata.PackageNotFoundError) as error:
    return str(error)
  parts = (flags, f"{_FLAG}={place}", _DEVICES)
  os.environ["TF_XLA_FLAGS"] = " ".join(parts).strip()
  _watch(store, place)
  return ""


def _key(flags):
  """The name of the store of programs that may run here."""
  version = _version()
  package = importlib.util.find_spec("tensorflow")  # looks, and runs nothing
  paths = glob.glob(
    os.path.join(package.submodule_search_locations[0], "libtensorflow*")
  )
  builds = sorted(os.path.getsize(path) for path in paths)
  variables = [os.environ.get(name) for name in _VARIABLES]
  # XLA cuts its loops for so many cores.
  cores = (
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
  )
  parts = (version, builds, _processor(), cores, os.cpu_count(), flags)
  text = repr((*parts, variables))
  return f"tf{version}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _version():
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      return importlib.metadata.version(package)
  raise importlib.metadata.PackageNotFoundError("tensorflow")


def _processor():
  """What tells this processor from others that run other programs."""
  names = ("vendor_id", "cpu family", "model", "model name", "flags")
  names = (*names, "stepping", "Features", "CPU implementer", "CPU part")
  try:
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
  except OSError:  # no Linux: the machine by its name
    return (*platform.uname(), platform.processor())
  lines = [line.partition(":") for line in text.splitlines()]
  return sorted({(a.strip(), b) for a, _, b in lines if a.strip() in names})


def _evict(folder):
  """Removes the programs that were used longest ago, beyond `LIMIT`."""
  used = []
  for path in folder.glob("tf*-*/*"):
    if path.name.endswith(_PART) or _ENTRY.fullmatch(path.name):
      with contextlib.suppress(OSError):
        stat = path.lstat()
        used.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
  size = sum(one[1] for one in used)
  for _, own, path in sorted(used):
    if size <= LIMIT:
      return
    with contextlib.suppress(OSError):
      path.unlink()
      size -= own


def _place():
  """A new folder that TensorFlow reads and writes; those of the dead go."""
  roots = ["/dev/shm", tempfile.gettempdir()]
  for root in roots:
    for path in glob.glob(os.path.join(root, f"{_OWN}{os.getuid()}-*")):
      if _lock(path) is not None:
        shutil.rmtree(path, ignore_errors=True)
  for root in roots:
    with contextlib.suppress(OSError):
      if shutil.disk_usage(root).free < _ROOM or re.search(r"[\s'\"]", root):
        continue
      path = tempfile.mkdtemp(prefix=f"{_OWN}{os.getuid()}-", dir=root)
      _locks.append(_lock(path))
      return pathlib.Path(path)
  raise OSError(f"no room in {' or '.join(roots)}")


_locks = []  # of this process's folders; held until it ends


def _lock(path):
  """The lock of a process's folder, a file descriptor; None if it is held."""
  try:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
  except OSError:
    return None
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    os.close(file)
    return None
  return file


def _link(store, place):
  """Shows TensorFlow the programs of the store that are whole."""
  for path in store.iterdir():
    match = _ENTRY.fullmatch(path.name)
    if match is None or (place / match[1]).is_symlink():
      continue
    digest = None
    with contextlib.suppress(OSError):
      digest = hashlib.sha256(_read(path)).hexdigest()
    if digest == match[2]:
      (place / match[1]).symlink_to(path)
    else:
      with contextlib.suppress(OSError):
        path.unlink()


def _read(path):
  """The bytes of a file, whose time of use stays as it was."""
  flags = os.O_RDONLY | os.O_NOFOLLOW
  try:
    file = os.open(path, flags | getattr(os, "O_NOATIME", 0))
  except PermissionError:  # another user's
    file = os.open(path, flags)
  with open(file, "rb") as stream:
    return stream.read()


def _watch(store, place):
  """Copies new programs into the store until the process ends."""
  process, stop = os.getpid(), threading.Event()

  def look():
    before = None
    while not stop.wait(_PERIOD):
      with contextlib.suppress(OSError):
        now = place.stat().st_mtime_ns
        if now != before:
          _publish(store, place)
        before = now

  def end():
    stop.set()
    if os.getpid() == process:  # not a fork's
      with contextlib.suppress(OSError):
        _publish(store, place)
      shutil.rmtree(place, ignore_errors=True)

  atexit.register(end)
  threading.Thread(target=look, name="compile cache", daemon=True).start()


_publishing = threading.Lock()


def _publish(store, place):
  """Copies the programs that TensorFlow has added, each whole or not at all."""
  with _publishing:
    for path in place.iterdir():
      if path.suffix != ".pb" or path.is_symlink():
        continue  # TensorFlow's unfinished ones have another suffix
      data = path.read_bytes()
      kept = store / f"{path.name}.{hashlib.sha256(data).hexdigest()}"
      if not kept.exists():
        part = store / f"{os.getpid()}-{path.name}{_PART}"
        try:
          part.write_bytes(data)
          part.replace(kept)
        except OSError:
          with contextlib.suppress(OSError):
            part.unlink()
          raise
      link = place / f"{path.name}.link"
      link.symlink_to(kept)
      link.replace(path)  # memory holds no second copy
