"""What a workdir remembers of one fit: its terms, where it began, how far it
came."""

import dataclasses
import typing

from kernels import checks
from trainloop.base import durations
from trainloop.workdir import agreement
from trainloop.workdir.fit_plan import FitPlan


class Origin(typing.NamedTuple):
  """Where a fit begins.

  Attributes:
    start: global step of its beginning.
    first_epoch: epochs of the run before it.
    schedule_start: global step at which its schedule is at its own step 0.
  """

  start: int
  first_epoch: int
  schedule_start: int


class Lengths(typing.NamedTuple):
  """How long a fit is, and what is due how often in it.

  Attributes:
    epochs: of this fit.
    steps_per_epoch: updates of an epoch.
    validate_steps, checkpoint_steps, histograms_steps: updates between two;
      the last is None where there are no histograms.
  """

  epochs: int
  steps_per_epoch: int
  validate_steps: int
  checkpoint_steps: int
  histograms_steps: int | None = None

  @classmethod
  def of(cls, epochs, steps_per_epoch, every):
    """The `Lengths` of durations.

    Args:
      epochs: of the fit.
      steps_per_epoch: updates of an epoch.
      every: {"validate", "checkpoint": duration}, "histograms" or not.

    Raises:
      ValueError: if a duration comes to less than one step.
    """
    updates = epochs * steps_per_epoch
    steps = {
      f"{name}_steps": durations.to_steps(
        f"{name}_every", duration, steps_per_epoch, updates, 1
      )
      for name, duration in every.items()
    }
    return cls(epochs, steps_per_epoch, **steps)

  @property
  def updates(self):
    """Updates of the whole fit."""
    return self.epochs * self.steps_per_epoch

  def never_due(self):
    """{name of a duration: its updates} of those that are longer than the fit,
    so that what they are for does not come in it."""
    steps = {
      "validate_every": self.validate_steps,
      "checkpoint_every": self.checkpoint_steps,
      "histograms_every": self.histograms_steps or 0,
    }
    return {name: n for name, n in steps.items() if n > self.updates}


@dataclasses.dataclass(frozen=True)
class Terms:
  """What a fit was called with.

  Attributes:
    lengths: its `Lengths`.
    log_every: see `logged.of`.
    engine: name of the engine that compiles it.
    identity: {name: JSON value} of what must be equal for it to go on, the
      above among them; see `identity.of`.
  """

  lengths: Lengths
  log_every: int | str
  engine: str
  identity: dict

  @classmethod
  def from_json(cls, config):
    """The `Terms` that `dataclasses.asdict` and JSON made a dict of."""
    return cls(**{**config, "lengths": Lengths(**config["lengths"])})


@dataclasses.dataclass
class FitEntry:
  """A fit in the log of a workdir.

  Attributes:
    terms: its `Terms`.
    origin: its `Origin`.
    history: what `History.to_config` gave at the last save.
    finished: whether it came to its end.
    session: name of its session on TensorBoard's HParams page; None before
      it has one.
  """

  terms: Terms
  origin: Origin
  history: dict
  finished: bool = False
  session: str | None = None

  def plan(self, **more):
    """The fit's `FitPlan`.

    Args:
      **more: its other fields, which the workdir does not remember.
    """
    origin, lengths = self.origin._asdict(), self.terms.lengths._asdict()
    return FitPlan(**origin, **lengths, **more)

  def epoch_of(self, step):
    """The epoch of the run, from 1, that ends with `step` updates done; None
    within one."""
    each = self.terms.lengths.steps_per_epoch
    done, rest = divmod(step - self.origin.start, each)
    return None if rest else self.origin.first_epoch + done or None

  def update_display(self, terms):
    """Takes over from new terms what is shown only: no bit of the run depends
    on it, so it may change at any time."""
    identity = dict(self.terms.identity)
    for name in agreement.DISPLAY_ONLY:
      identity.pop(name, None)
      if name in terms.identity:
        identity[name] = terms.identity[name]
    lengths = self.terms.lengths._replace(
      histograms_steps=terms.lengths.histograms_steps
    )
    self.terms = dataclasses.replace(
      self.terms, identity=identity, lengths=lengths
    )

  def replan(self, terms, step):
    """Takes another schedule and length from a step on.

    Args:
      terms: the new `Terms`.
      step: updates done, global.

    Returns:
      What is new, in words; "" if nothing is.

    Raises:
      ValueError: if the fit is already beyond the new length.
    """
    changes = agreement.changes(self.terms.identity, terms.identity)
    if not changes:
      return ""
    start, lengths = self.origin.start, terms.lengths
    if step > start + lengths.updates:
      least = -(-(step - start) // lengths.steps_per_epoch)
      rule = f"at least {least}, because {step - start} steps of it are done"
      checks.fail("epochs", lengths.epochs, rule)
    self.terms = terms
    completed = self.history["stop_reason"] == "completed"
    self.finished = self.finished and not completed
    texts = [f"{name}: {old!r} -> {new!r}"
             for name, (old, new) in changes.items()]  # fmt: skip
    return f"replanned from step {step}: " + "; ".join(texts)

  def save_history(self, history):
    """Remembers a `History`, all but its rows."""
    self.history = history.to_config()

  def begin_session(self, name):
    """Names the fit's session on the HParams page."""
    self.session = name

  def finish(self):
    """The fit came to its end."""
    self.finished = True

  def to_json(self):
    """All of it as a dict of JSON types."""
    terms = {**vars(self.terms), "lengths": self.terms.lengths._asdict()}
    return {**vars(self), "terms": terms, "origin": self.origin._asdict()}

  @classmethod
  def from_json(cls, config):
    """The `FitEntry` that `to_json` made a dict of."""
    terms = Terms.from_json(config["terms"])
    origin = Origin(**config["origin"])
    return cls(**{**config, "terms": terms, "origin": origin})
