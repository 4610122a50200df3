"""What all fits of a loop share on the host."""

import dataclasses
import threading

from trainloop.display.terminal import Progress
from trainloop.fit.callables import Callables
from trainloop.fit.options import Options
from trainloop.fit.window_length import WindowLength


@dataclasses.dataclass(frozen=True)
class Host:
  """What stands on the host between the windows, the same for all fits.

  Attributes:
    options: the loop's `Options`.
    window_length: how many updates the next window gets.
    progress: what is shown in the terminal.
    callables: the caller's own, called at windows' and epochs' ends.
    stop: set where the running fit, or the next, is to end after its window.
  """

  options: Options
  window_length: WindowLength
  progress: Progress
  callables: Callables
  stop: threading.Event
