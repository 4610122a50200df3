"""The log of a run: all its fits, as each checkpoint holds it."""

import dataclasses

from kernels import checks
from trainloop.workdir import agreement
from trainloop.workdir.fit_entry import FitEntry

# Of what a checkpoint holds. 5: tensors are named by path, not by position.
VERSION = 5


def check_version(workdir, version):
  """Refuses a checkpoint that another version of this program wrote."""
  if version != VERSION:
    rule = (
      f"{VERSION}: {workdir} is of another version of this program, go on "
      'with that, or take another workdir or existing="overwrite"'
    )
    checks.fail("checkpoint version", version, rule)


@dataclasses.dataclass
class FitLog:
  """What a run did so far.

  Attributes:
    fits: a `FitEntry` each, the last is the present one.
    resumed_from: global steps at which the run went on after an end.
    replans: what `FitEntry.replan` said, a text each.
    seconds: time spent training, over all processes of the run.
  """

  fits: list = dataclasses.field(default_factory=list)
  resumed_from: list = dataclasses.field(default_factory=list)
  replans: list = dataclasses.field(default_factory=list)
  seconds: float = 0.0

  def find(self, index, terms, workdir, replans=False):
    """The entry of the fit at an index; None if the log has none.

    Args:
      index: which fit of the run, from 0.
      terms: the `Terms` that it is called with now.
      workdir: the run's folder, for the error.
      replans: whether the last fit may get another schedule and length.

    Raises:
      ValueError: if the fit was called with other terms, naming the first
        that differs, old and new.
    """
    if index >= len(self.fits):
      return None
    entry, last = self.fits[index], index == len(self.fits) - 1
    old, new = entry.terms.identity, terms.identity
    agreement.check(workdir, old, new, replans, last, not entry.finished)
    return entry

  def spend(self, seconds):
    """Adds to the time spent training."""
    self.seconds += seconds

  def to_json(self):
    """All of it as a dict of JSON types."""
    return {**vars(self), "fits": [entry.to_json() for entry in self.fits]}

  @classmethod
  def from_json(cls, config):
    """The `FitLog` in a dict that holds what `to_json` gave, and more."""
    own = {field.name: config[field.name] for field in dataclasses.fields(cls)}
    return cls(**{**own, "fits": list(map(FitEntry.from_json, own["fits"]))})
