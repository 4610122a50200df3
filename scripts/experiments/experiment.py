"""What an experiment is, and what its runs leave."""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Outcome:
  """One run of an experiment.

  Attributes:
    measures: {name: float}, what is compared with the published figures.
    curves: {name: list of floats}, one value an epoch, or a step of a sweep.
    notes: {name: JSON value}, what else is worth keeping.
  """

  measures: dict
  curves: dict
  notes: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Experiment:
  """A published experiment.

  Attributes:
    title: what it is, one line.
    published: {measure: figure} as published; None where none is.
    run: function of (seed, data folder, quick) that gives an `Outcome`.
    seeds: runs by default.
    figure: the curve its picture shows: "val_accuracy", ...; "" for sweeps,
      whose curves are "NAME learning_rate", "NAME loss" and "NAME loss_change".
    remark: what a reader of the table must know.
  """

  title: str
  published: dict
  run: typing.Callable
  seeds: int
  figure: str
  remark: str = ""


def outcome(loop, history, measures, **notes):
  """The `Outcome` of a fit, with its epochs as curves."""
  curves = {k: [float(v) for v in values] for k, values in
            history.epochs.items()}  # fmt: skip
  notes = {
    "stop_reason": history.stop_reason,
    "updates": loop.global_step,
    "engine": loop.engine.name,
    **notes,
  }
  return Outcome(measures, curves, notes)
