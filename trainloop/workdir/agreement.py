"""Whether a fit is the one that a workdir remembers, and what may differ."""

import json

from kernels import checks
from trainloop.base import code_identity, strict_json

EXISTING = ("continue", "refuse", "overwrite", "replan")
# What a plan is; the rest makes another run.
_PLAN = ("schedule", "epochs", "validate_steps", "checkpoint_steps")
# What is only looked at: no bit depends on it, so it may change at any time.
_SHOWN = ("histograms_steps",)
_KINDS = ("kind", "kernel")  # keys that say what a dict describes
_LONGEST = 200  # characters that an error shows
_ABLE = 'existing="overwrite" or another workdir'
_ABLE_PLAN = 'existing="overwrite", another workdir or replan'


def plain(asked):
  """As JSON reads it back; what JSON has no type for becomes its repr."""
  return json.loads(strict_json.dumps(asked, default=repr))


def changes(was, asked):
  """{name: (old, new)} of what differs; of dicts, only what differs inside."""
  found = {}
  for name in {**was, **asked}:
    old, new = was.get(name), asked.get(name)
    if old != new:
      if isinstance(old, dict) and isinstance(new, dict):
        keys = [k for k in {**old, **new} if old.get(k) != new.get(k)]
        old, new = ({k: d.get(k) for k in keys} for d in (old, new))
      found[name] = (old, new)
  return found


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
  found = (difference(*one) for one in inside)
  return next(filter(None, found), None)


def _is_nested(value):
  """Whether it is a list whose entries are to be compared one by one."""
  return isinstance(value, list) and any(
    isinstance(one, (dict, list)) for one in value
  )


def check(workdir, was, asked, replan):
  """Refuses to go on with a fit that was another one.

  Args:
    workdir: the run's folder, for the error.
    was, asked: fingerprints, from `plain`.
    replan: whether another schedule and length are taken.

  Raises:
    ValueError: naming the value that differs, old and new.
  """
  for name in {**was, **asked}:
    if name in _SHOWN or (replan and name in _PLAN):
      continue
    found = difference(was.get(name), asked.get(name), name)
    if found is not None:
      path, old, new = found
      rule = f"{_brief(old)}, as in the run that {workdir} holds"
      able = _ABLE_PLAN if name in _PLAN else _ABLE
      checks.fail(path, new, f"{rule} (another run needs {able})")


def _brief(value):
  """A value's repr, its middle left out where that is long."""
  text = repr(value)
  return text if len(text) <= _LONGEST else f"{text[:150]} ... {text[-20:]}"


def epoch_of(fits, step):
  """The epoch, from 1, that ends with `step` updates; None within one."""
  begun, asked = fits[-1]["begun"], fits[-1]["asked"]
  done, rest = divmod(step - begun["start"], asked["steps_per_epoch"])
  return None if rest else begun["first_epoch"] + done or None


def show(entry, asked):
  """Gives a fit's entry what is to be looked at from here on."""
  for name in _SHOWN:
    entry["asked"].pop(name, None)
    if name in asked:
      entry["asked"][name] = asked[name]


def replan(entry, asked, step):
  """Gives a fit's entry another plan from a step on.

  Args:
    entry: what the workdir remembers of the fit; changed.
    asked: the new fingerprint, from `plain`.
    step: the present global step.

  Returns:
    What is new, in words; "" if nothing is.

  Raises:
    ValueError: if the run is already beyond the new length.
  """
  found = changes(entry["asked"], asked)
  if not found:
    return ""
  start, per_epoch = entry["begun"]["start"], asked["steps_per_epoch"]
  if step > start + asked["epochs"] * per_epoch:
    least = -(-(step - start) // per_epoch)
    rule = f"at least {least}, because {step - start} steps of it are done"
    checks.fail("epochs", asked["epochs"], rule)
  entry["asked"] = asked
  completed = entry["history"]["stop_reason"] == "completed"
  entry["done"] = entry["done"] and not completed
  told = [f"{name}: {old!r} -> {new!r}" for name, (old, new) in found.items()]
  return f"replanned from step {step}: " + "; ".join(told)
