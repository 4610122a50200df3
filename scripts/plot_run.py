"""Draws a run into a PNG: what was planned and used, and what came of it.

  python scripts/plot_run.py --workdir=runs/first --output=run.png

Learning rate and momentum over the plan, the loss of each update and of each
epoch, and every metric of training and validation. Reads the run's event files,
also while it goes on.
"""

from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import os

from absl import app, flags

from cli import exits, flag_rules, verbosity
from cli.light import output

FLAGS = flags.FLAGS
# Of tags below this the plan has a line, too; not of what a run finds out.
_PLANNED = "hyperparameters/"
_FOUND = ("plateau_scale", "loss_scale")
# Others, the plan and each update's loss, are grey.
_COLORS = {"used": "C0", "train": "C0", "validation": "C1"}
_LEFT_OUT = ("loss", "epoch_loss", "grad_norm", "skipped")


def define_flags():
  """Defines all flags of the script."""
  flags.DEFINE_string(
    "workdir", None, "folder of the run to draw; unset: refused"
  )
  flags.DEFINE_string("output", "run.png", "PNG file to write")
  axes = ("linear", "log")
  flags.DEFINE_enum("axis", "linear", axes, "of learning rate and loss")
  flag_rules.show_in_help()


def main(argv):
  del argv
  flag_rules.check_output()
  if FLAGS.workdir is None:
    flag_rules.stop("--workdir=FOLDER must be given, that of a run")
  if not os.path.isdir(FLAGS.workdir):
    flag_rules.stop(f"--workdir={FLAGS.workdir} is not the folder of a run")
  with exits.worded():
    with verbosity.startup():
      from trainloop.workdir.tensorboard import event_reader

      scalars = event_reader.scalars(FLAGS.workdir)
    if "loss" not in scalars.get("train", {}):
      flag_rules.stop(f"--workdir={FLAGS.workdir} holds no rows of a run yet")
    draw(panels(scalars), FLAGS.output, FLAGS.axis)
    output.line(f"wrote {FLAGS.output}")


def panels(scalars):
  """{name of the y axis: {line: (steps, values)}} of a run.

  Args:
    scalars: what `event_reader.scalars` gives.
  """
  train, valid = scalars["train"], scalars.get("validation", {})
  lines_of = {}
  for tag in _hyperparameters(train):
    lines = {run: tags[tag] for run, tags in sorted(scalars.items())
             if run.startswith("plan") and tag in tags}  # fmt: skip
    lines |= {"used": train[tag]} if tag in train else {}
    name = tag.removeprefix(_PLANNED).replace("_", " ")
    lines_of[name.replace("/", "\n", 1)] = lines
  lines_of["loss"] = {
    "an update": train["loss"],
    "train": train.get("epoch_loss"),
    "validation": valid.get("loss"),
  }
  names = [t for t in {**train, **valid} if "/" not in t]
  for name in [name for name in names if name not in _LEFT_OUT]:
    lines_of[name] = {"train": train.get(name), "validation": valid.get(name)}
  lines_of = {
    name: {line: points for line, points in lines.items() if points}
    for name, lines in lines_of.items()
  }
  return {name: lines for name, lines in lines_of.items() if lines}


def _hyperparameters(train):
  """Tags of run `train` that are planned, the learning rate and momentum
  first."""
  tags = [tag for tag in train if tag.startswith(_PLANNED)]
  tags = [tag for tag in tags if tag.removeprefix(_PLANNED) not in _FOUND]
  first = [f"{_PLANNED}learning_rate", f"{_PLANNED}momentum"]
  return [t for t in first if t in tags] + [t for t in tags if t not in first]


def draw(lines_of, path, axis):
  """Draws panels over each other into a PNG; see `panels`."""
  from trainloop.display import figures

  figure, axes = figures.blank(list(lines_of), "step")
  for each, (name, lines) in zip(axes, lines_of.items(), strict=True):
    for line, (steps, values) in lines.items():
      look = {
        "color": _COLORS.get(line, "0.6"),
        "linewidth": 3.0 if line.startswith("plan") else 1.2,
        "marker": "." if len(steps) < 60 else "",
      }
      each.plot(steps, values, label=line, **look)
    each.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if name in ("learning rate", "loss"):
      each.set_yscale(axis)
  figure.savefig(path, dpi=120, format="png")


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
