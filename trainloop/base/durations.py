"""Durations become steps here, at the edge, and nowhere else."""

import re

import numpy as np

from kernels import checks

# Updates of a fit: at 25 bytes each, its history fills 13 GB.
MOST_UPDATES = 1 << 29

_RULE = 'a duration such as "3ep", "500st" or "10%"'
_MOST = 1e30  # of any unit: far beyond every run, and times it a float yet
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(ep|st|%)")


def parse(name, text):
  """Splits a duration.

  Args:
    name: what it is called, for the error.
    text: "3ep" (epochs), "500st" (steps) or "10%" (of the run); a bare int
      counts steps.

  Returns:
    (number as float, unit), the unit one of "ep", "st", "%".

  Raises:
    ValueError: if the text is no duration.
  """
  if isinstance(text, (int, np.integer)) and not isinstance(text, bool):
    text = f"{text}st" if 0 <= text < _MOST else text
  match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
  if match is None or float(match[1]) > _MOST:
    checks.fail(name, text, _RULE)
  return float(match[1]), match[2]


def to_steps(name, text, steps_per_epoch, total_steps, minimum=0):
  """A duration in steps, rounded to the nearest step.

  Args:
    name: what it is called, for the error.
    text: see `parse`.
    steps_per_epoch: int >= 1.
    total_steps: steps of the run that "%" refers to.
    minimum: least result allowed.

  Returns:
    An int >= `minimum`.

  Raises:
    ValueError: if the text is no duration or comes to fewer steps.
  """
  number, unit = parse(name, text)
  scale = {"ep": steps_per_epoch, "st": 1, "%": total_steps / 100}[unit]
  steps = round(number * scale)
  if steps < minimum:
    checks.fail(name, text, f"at least {minimum} steps (it comes to {steps})")
  return steps
