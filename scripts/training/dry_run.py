"""What --dry_run shows: every duration in steps, and the plan."""

import trainloop
from cli import flag_rules, schedule_flags
from cli.light import output
from kernels import combined
from trainloop.workdir import dry_run

_OWN = ("validate_every", "checkpoint_every", "histograms_every")


def run(flags, schedule, steps_per_epoch, optimizer):
  """Prints the resolved durations; writes the plan into a workdir.

  Args:
    flags: the parsed flags of train.py.
    schedule: a `kernels.Schedule`.
    steps_per_epoch: updates of an epoch.
    optimizer: the Keras optimizer, whose own momentum may be planned.
  """
  total = steps_per_epoch * flags.epochs
  binding = trainloop.model.scheduled_optimizer.Binding(optimizer)
  binding.check_names(getattr(schedule, "names", ()))
  for name in (*schedule_flags.durations_used(), *_OWN):
    text = flags[name].value
    if text:
      steps = [
        trainloop.base.durations.to_steps(name, part, steps_per_epoch, total)
        for part in flag_rules.split(text)
      ]
      output.line(f"{name}: {text} = {','.join(map(str, steps))} steps")
  for name, kernel in combined.others_of(schedule).items():
    output.line(f"{name}: {kernel}")
  if flags.workdir is None:
    return
  plan = dry_run.write(flags.workdir, schedule, total, binding.momentum)
  if plan is None:
    output.line(f"plan: not written, {flags.workdir} holds a run already")
    return
  output.line(f"plan: see it with tensorboard --logdir={flags.workdir}")
  if plan.left_out:
    output.line(plan.note(total))
