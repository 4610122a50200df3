"""What --dry_run shows: every duration in steps, and the plan."""

from cli import flag_rules, schedule_flags
from cli.light import output
from kernels import combined
from trainloop.base import durations
from trainloop.model import effects
from trainloop.model.groups import Groups
from trainloop.model.scheduled_optimizer import Binding
from trainloop.workdir import dry_run, planned

_OWN = ("validate_every", "checkpoint_every", "histograms_every")


def bound(optimizer, schedule, groups, make):
  """The `Binding` of an optimizer, which knows the groups of a model.

  Args:
    optimizer: a Keras optimizer.
    schedule: a `kernels.Schedule`.
    groups: what `TrainLoop` would get; the model is made only where there are
      some.
    make: a function that makes the model, built.

  Raises:
    ArgumentError: if they do not fit each other.
  """
  binding = Binding(optimizer)
  _, beside = combined.parts_of(schedule)
  binding.check_names(beside)
  if groups:
    model = make()
    binding.bind(beside, Groups(groups, model, optimizer.weight_decay))
    effects.check(binding, model, beside)
  return binding


def run(flags, schedule, steps_per_epoch, binding):
  """Prints the resolved durations and the plan; writes it into a workdir.

  Args:
    flags: the parsed flags of train.py.
    schedule: a `kernels.Schedule`.
    steps_per_epoch: updates of an epoch.
    binding: what `bound` gave.
  """
  total = steps_per_epoch * flags.epochs
  for name in (*schedule_flags.durations_used(), *_OWN):
    text = flags[name].value
    if text:
      steps = [
        durations.to_steps(name, part, steps_per_epoch, total)
        for part in flag_rules.split(text)
      ]
      output.line(f"{name}: {text} = {','.join(map(str, steps))} steps")
  for name, kernel in combined.parts_of(schedule)[1].items():
    output.line(f"{name}: {kernel}")
  options = (schedule, 0, total, binding.momentum, binding.groups)
  for line in _aligned(planned.table(planned.curve(*options))):
    output.line(line)
  if flags.workdir is not None:
    _write(flags.workdir, schedule, total, binding)


def _write(workdir, schedule, total, binding):
  plan = dry_run.write(
    workdir, schedule, total, binding.momentum, binding.groups
  )
  if plan is None:
    output.line(f"plan: not written, {workdir} holds a run already")
    return
  output.line(f"plan: see it with tensorboard --logdir={workdir}")
  if plan.left_out:
    output.line(plan.note(total))


def _aligned(rows):
  """The lines of a table of texts."""
  sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return [
    "  ".join(c.ljust(n) for c, n in zip(row, sizes, strict=True)).rstrip()
    for row in rows
  ]
