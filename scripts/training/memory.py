"""How much memory is left for this process."""

import os

_CGROUP = "/sys/fs/cgroup/memory."


def available():
  """Bytes that can be had: of the machine, and of the container in it."""
  page = os.sysconf("SC_PAGE_SIZE")
  room = [_of_the_machine() or os.sysconf("SC_PHYS_PAGES") * page]
  limit, used = (_number(_CGROUP + name) for name in ("max", "current"))
  if limit is not None:
    room.append(max(0, limit - (used or 0)))
  return min(room)


def text(size):
  """A number of bytes as a person reads it."""
  return f"{size / 2**30:.3g} GiB"


def _of_the_machine():
  """What Linux says could be had without swapping; None elsewhere."""
  try:
    with open("/proc/meminfo", encoding="ascii") as file:
      lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) * 1024
  except (OSError, KeyError, ValueError):
    return None


def _number(path):
  """The number in a file; None for "max", or without the file."""
  try:
    with open(path, encoding="ascii") as file:
      return int(file.read())
  except (OSError, ValueError):
    return None
