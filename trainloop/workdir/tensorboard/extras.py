"""What a user asks TensorBoard to show besides the curves."""

import dataclasses

from kernels import checks
from trainloop.base import durations
from trainloop.workdir import hparams, profiler


@dataclasses.dataclass(frozen=True)
class Extras:
  """What a user asks to see; made by `check`.

  Attributes:
    hparams: {name: number, str or bool}.
    histograms_every: a duration, or None.
    profile: (first, last) global steps, or None.
    graph: whether the model's graph is shown.
  """

  hparams: dict
  histograms_every: str | None = None
  profile: tuple | None = None
  graph: bool = False


def check(workdir, seed, added, histograms_every, profile, graph):
  """The `Extras` of a loop; see `TrainLoop`.

  Raises:
    ValueError: if one breaks its rule, or has no workdir to be written to.
  """
  found = {"seed": seed, **hparams.check(added)}
  if histograms_every is not None:
    durations.parse("histograms_every", histograms_every)
  steps = None if profile is None else profiler.parse(profile)
  graph = checks.boolean("log_graph", graph)
  for name, value in (
    ("histograms_every", histograms_every),
    ("profile", profile),
    ("log_graph", graph or None),
  ):
    if value is not None and workdir is None:
      checks.fail(name, value, "asked for of a loop with a workdir")
  return Extras(found, histograms_every, steps, graph)
