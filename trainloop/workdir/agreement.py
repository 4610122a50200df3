"""Identities of fits compared: what differs, and what of that may."""

import json
import typing

from kernels import checks
from kernels.combined import MOMENTUM
from trainloop.base import code_identity, strict_json

EXISTING = ("continue", "refuse", "overwrite", "replan")
# Values that existing="replan" may change; any other change is refused.
_PLAN = ("schedule", "schedules", "epochs", "validate_steps")
_PLAN += ("checkpoint_steps",)
# Dicts of a user's whose keys say which columns rows have: those must stay.
# That of momentum is always there.
_NAMED = ("schedules", "groups")
# Values that only say what is displayed: no bit of the run depends on them.
DISPLAY_ONLY = ("histograms_steps",)
# Known by a checksum; where the weights were is there for the error.
_BY_CHECKSUM = "initial_weights"
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
    form = "{}[{!r}]" if path in _NAMED else "{}.{}"
    inside = [(old.get(k), new.get(k), form.format(path, k)) for k in keys]
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


def check(workdir, old, new, replans, last=True, unfinished=False):
  """Refuses to go on with a fit that was another one.

  Args:
    workdir: the run's folder, for the error.
    old, new: identities, from `plain`.
    replans: whether another schedule and length are taken.
    last: whether it is the run's last fit, which alone may take them.
    unfinished: whether it was stopped, so that this call would go on with it.

  Raises:
    ValueError: naming the value that differs, old and new.
  """
  names = [n for n in {**old, **new} if n not in DISPLAY_ONLY]
  found = [_first(n, old.get(n), new.get(n)) for n in names]
  found = [one for one in found if one is not None]
  plans = last and all(one.in_plan for one in found)
  if not found or (plans and replans):
    return
  first = next((one for one in found if not replans or not one.in_plan), None)
  path, was, now, _ = first or found[0]
  rule = f"{_brief(was)}, as in the run that {workdir} holds"
  if unfinished:
    rule += ", whose fit was stopped and goes on first"
  able = _ABLE_PLAN if plans else _ABLE
  checks.fail(path, now, f"{rule} (another run needs {able})")


class _Difference(typing.NamedTuple):
  """One value that differs: where, and whether replan may change it."""

  path: str
  old: typing.Any
  new: typing.Any
  in_plan: bool


def _first(name, old, new):
  """The first `_Difference` of a value; None if there is none."""
  if name in _NAMED:
    was, now = (sorted(value or ()) for value in (old, new))
    if was != now:
      moved = set(was) ^ set(now) == {MOMENTUM}
      in_plan = name in _PLAN and moved
      return _Difference(name, was or None, now or None, in_plan)
  if name == _BY_CHECKSUM and _checksum(old) == _checksum(new):
    return None
  found = difference(old, new, name)
  return None if found is None else _Difference(*found, name in _PLAN)


def _checksum(text):
  """The checksum of weights, without where they were."""
  return text and text.partition(" ")[0]


def _brief(value):
  """A value's repr, its middle left out where that is long."""
  text = repr(value)
  return text if len(text) <= _LONGEST else f"{text[:150]} ... {text[-20:]}"
