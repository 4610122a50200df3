"""One fit, resolved: what it trains on, how long, and by what schedule."""

import dataclasses
import typing

import kernels
from trainloop.compiled.histograms import Histograms
from trainloop.compiled.table import Table
from trainloop.compiled.window import Window
from trainloop.fit.window_length import Limits
from trainloop.workdir.fit_entry import Terms


class Inspection(typing.NamedTuple):
  """How histograms see an update.

  Attributes:
    window: the compiled `Window` of one update that feeds `histograms`.
    histograms: the `Histograms`, read after it.
  """

  window: Window
  histograms: Histograms


@dataclasses.dataclass(frozen=True)
class FitRequest:
  """A fit as it was asked for, with all defaults resolved and all checked.

  It does not say where the fit begins: a `FitPlan` does, which the workdir
  remembers.

  Attributes:
    source: data source of training.
    validation: that of validation, or None.
    schedule: the `kernels.Schedule`.
    schedule_step: the schedule's own step at which the fit begins, if it is a
      new one; None where the schedule of the fit before goes on.
    terms: the `Terms`: its lengths, and what must be equal for it to go on.
    not_compared: in words, what of it may differ then unseen; "" for nothing.
    limits: the `Limits` of its windows.
    window: the compiled `Window` that trains.
    table: the `Table` of the schedule, which it is given.
    inspection: the `Inspection` of its histograms; None for none.
  """

  source: typing.Any
  validation: typing.Any
  schedule: kernels.Schedule
  schedule_step: int | None
  terms: Terms
  not_compared: str
  limits: Limits
  window: Window
  table: Table
  inspection: Inspection | None = None
