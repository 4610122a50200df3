"""How the fits of a loop are recorded and guarded: checked once, then fixed."""

import dataclasses
import typing

from kernels import checks
from trainloop.base import durations
from trainloop.fit import nonfinite_policy
from trainloop.workdir import agreement, claims
from trainloop.workdir.tensorboard import logged
from trainloop.workdir.tensorboard.extras import Extras


@dataclasses.dataclass(frozen=True)
class Options:
  """What the fits of a loop share; each field as `TrainLoop` takes it.

  Attributes:
    workdir: the run's folder as a str, or None.
    existing, log_every, keep: as there.
    every: {"validate": duration, "checkpoint": duration}, and "histograms"
      where they are asked for.
    guard: "raise", "skip" or a `Rewind`.
    extras: the `Extras` that TensorBoard shows.
  """

  workdir: str | None
  existing: str
  every: dict
  keep: int
  guard: typing.Any
  log_every: int | str
  extras: Extras

  @property
  def saves(self):
    """Whether the run has a workdir, which all workers know alike."""
    return self.workdir is not None

  @property
  def compared(self):
    """{argument: value} that must be the same for a run to go on."""
    return {"log_every": self.log_every, "on_nonfinite": repr(self.guard)}

  @property
  def recording(self):
    """The options of `records.open_records`."""
    names = ("log_every", "keep", "existing")
    return {name: getattr(self, name) for name in names}


def check(
  workdir,
  existing,
  validate_every,
  checkpoint_every,
  keep,
  on_nonfinite,
  log_every,
  extras,
):
  """The `Options` of a loop, from arguments of `TrainLoop` and its `Extras`.

  Raises:
    ValueError: if an argument breaks its rule.
  """
  durations.parse("validate_every", validate_every)
  durations.parse("checkpoint_every", checkpoint_every)
  workdir = claims.path_of(workdir)
  every = {"validate": validate_every, "checkpoint": checkpoint_every}
  if extras.histograms_every is not None:
    every["histograms"] = extras.histograms_every
  return Options(
    workdir=workdir,
    existing=checks.choice("existing", existing, agreement.EXISTING),
    every=every,
    keep=checks.integer("keep", keep, 1),
    guard=nonfinite_policy.resolve(on_nonfinite, workdir),
    log_every=logged.check(log_every),
    extras=extras,
  )
