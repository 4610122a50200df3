"""What TensorBoard's pages say in words: sessions, layout, texts, events."""

import bisect
import time

from trainloop.model import rows as row_lib
from trainloop.workdir import hparams
from trainloop.workdir.tensorboard import panel, plugin_summaries


class Notes:
  """Writes a fit's notes beside its rows.

  Args:
    writer: the run's `EventWriter`.
    page: the fit's `Panel`.
    entry: the fit's `FitEntry`, which knows its session.
  """

  def __init__(self, writer, page, entry):
    self._writer, self._page, self._entry = writer, page, entry

  def start(self, step, session):
    """Layout and texts, and the session that is the fit's from now on."""
    self._entry.begin_session(session)
    page, writer = self._page, self._writer
    started = plugin_summaries.session_start(page.hparams, time.time())
    writer.summary(session, step, started)
    writer.summary("train", step, plugin_summaries.layout(page.layout))
    writer.text(step, "run/command", panel.command())
    writer.text(step, "run/schedule", page.schedule)
    if page.groups:
      writer.text(step, "run/groups", page.groups)
    if page.graph is not None:
      writer.graph(step, page.graph)

  def event(self, step, kind, text):
    """Something that happened at a step."""
    self._writer.text(step, f"events/{kind}", text)

  def histograms(self, step, tables):
    """Histograms at a step; see `Histograms.read`."""
    self._writer.summary("train", step, plugin_summaries.histograms(tables))

  def rows(self, first_step, rows):
    """Tells of the cycles that start among some rows; see `EventWriter`."""
    restarts = self._page.restarts
    i = bisect.bisect_left(restarts, first_step)
    j = bisect.bisect_left(restarts, first_step + len(rows))
    for step in restarts[i:j]:
      rate = rows[step - first_step][row_lib.LEARNING_RATE]
      text = f"a cycle starts at step {step} with learning rate {rate:g}"
      self.event(step, "restart", text)

  def finish(self, step, history):
    """The fit's results, and the end of its session."""
    self.event(step, "stop", f"{history.stop_reason} after {step} steps")
    results = hparams.results(history.epochs, self._page.directions)
    self._writer.scalars(self._entry.session, step - 1, results)
    self.end_session(step, "success")

  def end_session(self, step, status):
    """Ends the session with one of `plugin_summaries.STATUS`."""
    ended = plugin_summaries.session_end(status, time.time())
    self._writer.summary(self._entry.session, step, ended)
