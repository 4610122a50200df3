"""Checkpoint files in a folder: written whole or not at all, listed, removed.

A checkpoint is a pair of TensorFlow's bundle files, `ckpt-N.data-...` and
`ckpt-N.index`; it exists once its index has its final name. Every tensor in it
carries a CRC that reading checks.
"""

import os
import re
import shutil

import tensorflow as tf

DATA, INDEX = ".data-00000-of-00001", ".index"
_PART = "part"
# What writing raises on a full, slow to answer, or broken disk.
DISK_TROUBLE = (OSError, tf.errors.OpError)


class CheckpointFiles:
  """The checkpoints of one folder, numbered from 1.

  Args:
    folder: made by `make`.
    keep: how many stay, int >= 1.
  """

  def __init__(self, folder, keep):
    self._folder = folder
    self._keep = keep

  def make(self):
    """Makes the folder if it is missing."""
    os.makedirs(self._folder, exist_ok=True)

  def serials(self):
    """Numbers of the checkpoints that are there, ascending."""
    if not os.path.isdir(self._folder):
      return []
    names = os.listdir(self._folder)
    matches = (re.fullmatch(r"ckpt-(\d+)\.index", name) for name in names)
    return sorted(int(match[1]) for match in matches if match)

  def write(self, serial, tensors):
    """Commits a checkpoint; then removes the oldest beyond `keep`.

    Args:
      serial: its number; one that is there already is replaced.
      tensors: {name: tensor}.

    Raises:
      OSError, tf.errors.OpError: if the disk does not take it; what was there
        is there still, and no part of the new one.
    """
    part, final = self._path(_PART), self._path(f"ckpt-{serial}")
    try:
      self._write_part(part, tensors)
      self._publish(part, final, DATA)
      self._publish(part, final, INDEX)  # from here on it exists
    except DISK_TROUBLE:
      self.discard()
      raise
    sync(self._folder)
    known = self.serials()
    older = [one for one in known if one <= serial][: -self._keep]
    # Newer ones could not be read, or the run would have gone on from them.
    for one in older + [one for one in known if one > serial]:
      self.remove(one)

  def _write_part(self, part, tensors):
    tf.raw_ops.SaveV2(
      prefix=part,
      tensor_names=list(tensors),
      shape_and_slices=[""] * len(tensors),
      tensors=list(tensors.values()),
    )
    for suffix in (DATA, INDEX):
      sync(part + suffix)

  def _publish(self, part, final, suffix):
    os.replace(part + suffix, final + suffix)

  def read(self, serial, dtypes):
    """Tensors of a checkpoint; their CRCs are checked.

    Args:
      serial: its number.
      dtypes: {name: dtype} of those to read.

    Returns:
      {name: tensor}.

    Raises:
      Exception: of many kinds, if it is damaged or lacks one of them.
    """
    with tf.device("CPU:0"):
      found = tf.raw_ops.RestoreV2(
        prefix=self._path(f"ckpt-{serial}"),
        tensor_names=list(dtypes),
        shape_and_slices=[""] * len(dtypes),
        dtypes=list(dtypes.values()),
      )
    return dict(zip(dtypes, found, strict=True))

  def discard(self):
    """Removes what an interrupted save left."""
    kept = self.serials()
    for name in os.listdir(self._folder) if os.path.isdir(self._folder) else ():
      match = re.match(r"ckpt-(\d+)", name)
      if name.startswith(_PART) or (match and int(match[1]) not in kept):
        path = self._path(name)
        if os.path.isdir(path) and not os.path.islink(path):
          shutil.rmtree(path)
        else:
          os.remove(path)

  def remove(self, serial):
    """Removes a checkpoint."""
    path = self._path(f"ckpt-{serial}")
    os.remove(path + INDEX)  # first: then it is no more
    if os.path.lexists(path + DATA):
      os.remove(path + DATA)

  def _path(self, name):
    return os.path.join(self._folder, name)


def reason(error):
  """What an error of the disk or of TensorFlow says, in some words."""
  text = " ".join(str(error).split()) or type(error).__name__
  text = re.sub(r"^\{\{function_node \S+ ?|\s*\[Op:\w+\].*", "", text)
  return text[-120:]


def sync(path):
  """Waits until a file's, or a folder's, content is on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
