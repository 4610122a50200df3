"""Identities of fits compared: what differs, and what of that may."""

import json

from kernels import checks
from trainloop.base import code_identity, strict_json

EXISTING = ("continue", "refuse", "overwrite", "replan")
# Values that existing="replan" may change; any other change is refused.
_PLAN = ("schedule", "epochs", "validate_steps", "checkpoint_steps")
# Values that only say what is displayed: no bit of the run depends on them.
DISPLAY_ONLY = ("histograms_steps",)
_KINDS = ("kind", "kernel")  # keys that say what a dict describes
_LONGEST = 200  # characters that an error shows
_ABLE = 'existing="overwrite" or another workdir'
_ABLE_PLAN = 'existing="overwrite", another workdir or replan'


def plain(value):
  """As JSON reads it back; what JSON has no type for becomes its repr."""
  return json.loads(strict_json.dumps(value, default=repr))


def changes(old, new):
  """{name: (old, new)} of what differs between two identities.

  Of dicts, only what differs inside.
  """
  pairs = {}
  for name in {**old, **new}:
    a, b = old.get(name), new.get(name)
    if a != b:
      if isinstance(a, dict) and isinstance(b, dict):
        keys = [k for k in {**a, **b} if a.get(k) != b.get(k)]
        a, b = ({k: d.get(k) for k in keys} for d in (a, b))
      pairs[name] = (a, b)
  return pairs


def difference(old, new, path):
  """The first place where two JSON values differ; None if none does.

  A value that is None is like one that is missing. Two things of other kinds
  differ as a whole.

  Args:
    old, new: what was, and what is.
    path: where they stand.

  Returns:
    (path, old, new), as "model.layers[2].rate", 0.5, 0.3.
  """
  if isinstance(old, dict) and isinstance(new, dict):
    kinds = [[d.get(k) for k in _KINDS] for d in (old, new)]
    if kinds[0] != kinds[1]:
      return (path, *(next(filter(None, kind), None) for kind in kinds))
    keys = {**old, **new}
    inside = [(old.get(k), new.get(k), f"{path}.{k}") for k in keys]
  elif _is_nested(old) and _is_nested(new):
    pairs = zip(old, new, strict=False)
    inside = [(*pair, f"{path}[{i}]") for i, pair in enumerate(pairs)]
    if len(old) != len(new):
      inside.append((f"{len(old)} entries", f"{len(new)} entries", path))
  elif old == new or not code_identity.comparable(old, new):
    return None
  else:
    return path, old, new
  differences = (difference(*one) for one in inside)
  return next(filter(None, differences), None)


def _is_nested(value):
  """Whether it is a list whose entries are to be compared one by one."""
  return isinstance(value, list) and any(
    isinstance(one, (dict, list)) for one in value
  )


def check(workdir, old, new, replans):
  """Refuses to go on with a fit that was another one.

  Args:
    workdir: the run's folder, for the error.
    old, new: identities, from `plain`.
    replans: whether another schedule and length are taken.

  Raises:
    ValueError: naming the value that differs, old and new.
  """
  for name in {**old, **new}:
    if name in DISPLAY_ONLY or (replans and name in _PLAN):
      continue
    first = difference(old.get(name), new.get(name), name)
    if first is not None:
      path, was, now = first
      rule = f"{_brief(was)}, as in the run that {workdir} holds"
      able = _ABLE_PLAN if name in _PLAN else _ABLE
      checks.fail(path, now, f"{rule} (another run needs {able})")


def _brief(value):
  """A value's repr, its middle left out where that is long."""
  text = repr(value)
  return text if len(text) <= _LONGEST else f"{text[:150]} ... {text[-20:]}"
