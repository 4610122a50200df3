"""The flag of the cache of compiled programs, and its start."""

import os

from absl import flags

from cli import flag_rules, light, verbosity

compile_cache = light.compile_cache


def define():
  """Defines the flag."""
  flags.DEFINE_string(
    "compile_cache",
    None,
    "folder that keeps what XLA compiles, for the next process; none: no "
    f"cache; unset: that of {compile_cache.VARIABLE}, or trainloop/xla in the "
    "user's cache folder",
  )


def check():
  """Refuses what can be no folder's path."""
  if flags.FLAGS.compile_cache == "":
    flag_rules.stop("--compile_cache must be a folder's path or none; got ''")


def start():
  """Switches the cache on; before TensorFlow is imported.

  A folder that the flag names and that can't be used is said in one line.
  """
  wanted = flags.FLAGS.compile_cache
  why = compile_cache.compile_cache(wanted)
  if why and wanted not in (None, "none"):
    output = light.output
    output.line(f"warning: no --compile_cache={wanted}: {why}", error=True)
  level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")
  # On each load TensorFlow calls its own tuning flags unknown to the processor,
  # as errors: of level 2, errors alone, these would be all.
  if not why and verbosity.level() < 2 and level == "2":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
