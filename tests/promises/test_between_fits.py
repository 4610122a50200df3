"""What a script changes between two fits, and that script started again."""

import functools

import pytest

from support import interruption, small

CHANGES = {
  "weights": lambda loop: loop.model.set_weights(
    [value * 0 + 0.5 for value in loop.model.get_weights()]
  ),
  "one_variable": lambda loop: loop.model.variables[0].assign_add(
    loop.model.variables[0] * 0 + 1
  ),
  "slots": lambda loop: [
    slot.assign(slot * 0 + 2) for slot in loop.optimizer.variables[2:]
  ],
}


def script(workdir, change):
  """Two fits with a change between them; the state at the end."""
  loop = small.loop(workdir=workdir, compile="graph")
  loop.fit(small.data(), 2)
  CHANGES[change](loop)
  loop.fit(small.data(), 2)
  return small.state_of(loop)


@pytest.mark.parametrize("change", list(CHANGES))
def test_the_end_is_the_same_again(tmp_path, change):
  """After the script has finished, and after it was cut off in either fit."""
  want = script(tmp_path / "whole", change)
  assert script(tmp_path / "whole", change) == want, "started again"
  for name, windows in {"first": 1, "second": 3}.items():
    workdir = tmp_path / name
    run = functools.partial(script, workdir, change)
    interruption.cut_before(windows, run)
    assert script(workdir, change) == want, f"cut off in the {name} fit"
    assert script(workdir, change) == want, f"and again, {name}"
