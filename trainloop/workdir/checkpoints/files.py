"""Checkpoint files in a folder: written whole or not at all, listed, removed.

A checkpoint is a pair of TensorFlow's bundle files, `ckpt-N.data-...` and
`ckpt-N.index`; it exists once its index has its final name. Every tensor in it
carries a CRC that reading checks.
"""

import contextlib
import os
import re

import tensorflow as tf

from trainloop.workdir import run_files, run_names
from trainloop.workdir.run_names import DATA, INDEX, PART

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
    run_files.folder(self._folder)

  def serials(self):
    """Numbers of the checkpoints that are there, ascending."""
    numbers = map(run_names.serial, run_names.listed(self._folder))
    return sorted(serial for serial in numbers if serial is not None)

  def write(self, serial, tensors):
    """Commits a checkpoint; then removes the oldest beyond `keep`.

    Args:
      serial: its number; one that is there already is replaced.
      tensors: {name: tensor}.

    Raises:
      OSError, tf.errors.OpError: if the disk does not take it; what was there
        is there still, and no part of the new one.
    """
    part, final = self._path(PART), self._path(f"ckpt-{serial}")
    try:
      # Newer ones could not be read, or the run would have gone on from them.
      for one in self.serials():
        if one > serial:
          self.remove(one)
      self._write_part(part, tensors)
      self._publish(part, final, DATA)
      self._publish(part, final, INDEX)  # from here on it exists
    except DISK_TROUBLE:
      with contextlib.suppress(OSError):  # the next one is written over it
        self.discard()
      raise
    run_files.sync(self._folder)
    self.tidy()

  def tidy(self):
    """Removes the oldest beyond `keep` and what removals left. All that stays
    is committed, so what can't be removed may wait for the next time."""
    with contextlib.suppress(OSError):
      for one in self.serials()[: -self._keep]:
        self.remove(one)
      self.discard()

  def _write_part(self, part, tensors):
    tf.raw_ops.SaveV2(
      prefix=part,
      tensor_names=list(tensors),
      shape_and_slices=[""] * len(tensors),
      tensors=list(tensors.values()),
    )
    for suffix in (DATA, INDEX):
      run_files.sync(part + suffix)

  def _publish(self, part, final, suffix):
    run_files.replace(part + suffix, final + suffix)

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
      values = tf.raw_ops.RestoreV2(
        prefix=self._path(f"ckpt-{serial}"),
        tensor_names=list(dtypes),
        shape_and_slices=[""] * len(dtypes),
        dtypes=list(dtypes.values()),
      )
    return dict(zip(dtypes, values, strict=True))

  def lacks(self, serial, name):
    """Whether a checkpoint can be read and holds no tensor of that name."""
    try:
      reader = tf.train.load_checkpoint(self._path(f"ckpt-{serial}"))
      return not reader.has_tensor(name)
    except Exception:  # damage has many kinds
      return False

  def discard(self):
    """Removes what an interrupted save left."""
    there = self.serials()
    for name in run_names.listed(self._folder):
      serial = run_names.serial(name, DATA)
      alone = serial is not None and serial not in there
      if run_names.is_part(name) or alone:
        run_files.remove(self._path(name))

  def remove(self, serial):
    """Removes a checkpoint."""
    path = self._path(f"ckpt-{serial}")
    run_files.remove(path + INDEX)  # first: then it is no more
    run_files.remove(path + DATA)

  def _path(self, name):
    return os.path.join(self._folder, name)


def reason(error):
  """What an error of the disk or of TensorFlow says, in some words."""
  text = " ".join(str(error).split()) or type(error).__name__
  text = re.sub(r"^\{\{function_node \S+ ?|\s*\[Op:\w+\].*", "", text)
  return text[-120:]
