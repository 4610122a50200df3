"""Draws schedules without training: in the terminal, and as a PNG.

  python scripts/plot_schedule.py --schedule=cosine_restarts --cycle_mult=2
  python scripts/plot_schedule.py --compare=torch,fastai,ktrain,optax \\
      --axis=log --output=one_cycle.png

Takes the schedule flags of train.py. --compare lays several over each other:
1cycle presets, or schedules by name, which share the other flags.
"""

from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
from absl import app, flags

from cli import exits, flag_rules, schedule_flags, schedule_makers, verbosity
from cli.light import output

FLAGS = flags.FLAGS


def define_flags():
  """Defines all flags of the script."""
  schedule_flags.define()
  flag_rules.integer("epochs", 20, "passes over the training data [epochs]", 1)
  flag_rules.integer("steps_per_epoch", 100, "updates of an epoch [steps]", 1)
  choices = (*schedule_flags.PRESETS, *schedule_flags.PARTS)
  flag_rules.names("compare", "", "what to lay over each other", choices)
  flags.DEFINE_enum(
    "axis", "linear", ("linear", "log"), "scale of the axis of learning rates"
  )
  flags.DEFINE_string("output", None, "PNG to write; unset: terminal only")
  flag_rules.show_in_help()


def main(argv):
  del argv
  compared = flag_rules.split(FLAGS.compare)
  schedule_flags.check(compared)
  flag_rules.check_output()
  with exits.worded():
    with verbosity.startup():
      import tensorflow as tf

      from trainloop.display import schedule_pictures

      tf.config.list_logical_devices()
    steps = FLAGS.epochs * FLAGS.steps_per_epoch
    schedules = _schedules(compared, steps)
    output.line(schedule_pictures.text(schedules, steps, FLAGS.axis))
    if FLAGS.output is not None:
      schedule_pictures.save(FLAGS.output, schedules, steps, FLAGS.axis)
      output.line(f"wrote {FLAGS.output}")


def _schedules(compared, steps):
  """{name: schedule}: the one of --schedule, or those of --compare."""
  peak = 0.1 if FLAGS.peak_lr is None else FLAGS.peak_lr
  schedules = {}
  for name in compared or [FLAGS.schedule]:
    preset = name in schedule_flags.PRESETS
    if compared:  # neither flag is given then
      FLAGS.set_default("schedule", "one_cycle" if preset else name)
    if preset:
      FLAGS.set_default("preset", name)
    made = schedule_makers.make(peak, FLAGS.steps_per_epoch, steps)
    schedules[name] = made
  return schedules


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
