"""Whether a fit is the one that a workdir remembers, and what may differ."""

import json

from kernels import checks

EXISTING = ("continue", "refuse", "overwrite", "replan")
# What a plan is; the rest makes another run.
_PLAN = ("schedule", "epochs", "validate_steps", "checkpoint_steps")
# What is only looked at: no bit depends on it, so it may change at any time.
_SHOWN = ("histograms_steps",)


def plain(asked):
  """As JSON reads it back; what JSON has no type for becomes its repr."""
  return json.loads(json.dumps(asked, default=repr))


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


def check(workdir, was, asked, replan):
  """Refuses to go on with a fit that was another one.

  Args:
    workdir: the run's folder, for the error.
    was, asked: fingerprints, from `plain`.
    replan: whether another schedule and length are taken.

  Raises:
    ValueError: naming old and new.
  """
  for name, (old, new) in changes(was, asked).items():
    if name not in _SHOWN and not (replan and name in _PLAN):
      rule = f"{old!r}, as in the run that {workdir} holds"
      able = " or replan" if name in _PLAN else ""
      rule = f"{rule} (another run needs another workdir{able})"
      checks.fail(name, new, rule)


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
