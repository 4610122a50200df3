"""How a loop paces, records and guards its fits: checked once, then fixed."""

import dataclasses
import typing

from kernels import checks
from trainloop import agreement, durations, guards, make


@dataclasses.dataclass(frozen=True)
class Options:
  """What the fits of a loop share; each field as `TrainLoop` takes it.

  Attributes:
    workdir: the run's folder as a str, or None.
    existing, log_every, keep: as given.
    every: {"validate": duration, "checkpoint": duration}.
    guard: "raise", "skip" or a `Rewind`.
    hparams: what a user adds to TensorBoard's HParams, and the seed.
  """

  workdir: str | None
  existing: str
  every: dict
  keep: int
  guard: typing.Any
  log_every: int
  hparams: dict

  @property
  def saves(self):
    """Whether the run has a workdir, which all workers know alike."""
    return self.workdir is not None

  @property
  def extra(self):
    """{argument: value} that must be the same for a run to go on."""
    return {"log_every": self.log_every, "on_nonfinite": repr(self.guard)}

  @property
  def kept(self):
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
  hparams,
):
  """The `Options` that `TrainLoop` was given, with checked `hparams`.

  Raises:
    ValueError: if an argument breaks its rule.
  """
  durations.parse("validate_every", validate_every)
  durations.parse("checkpoint_every", checkpoint_every)
  workdir = make.workdir(workdir)
  return Options(
    workdir=workdir,
    existing=checks.choice("existing", existing, agreement.EXISTING),
    every={"validate": validate_every, "checkpoint": checkpoint_every},
    keep=checks.integer("keep", keep, 1),
    guard=guards.resolve(on_nonfinite, workdir),
    log_every=checks.integer("log_every", log_every, 1),
    hparams=hparams,
  )
