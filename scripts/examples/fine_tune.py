"""MobileNetV2 fine-tuned: the head alone, then all of it, on few labels.

  python scripts/examples/fine_tune.py --workdir=runs/fine
  python scripts/examples/fine_tune.py --from_scratch

One half of scikit-learn's digits, 0 to 4, each turned by 0, 90, 180 and 270
degrees, makes 20 classes; the net that was trained on them is fine-tuned on a
hundred images of 5 to 9, with a new head. --from_scratch trains new weights on
the same images for as many epochs, to compare. --peak_lr is the head's rate.
Sandler et al. 2018, "MobileNetV2".
"""

import os
import pathlib
import sys

# The folder that has cli/; a copy of this script has it beside itself.
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import app, flags

from cli import flag_rules, run_flags
from cli.light import output

FLAGS = flags.FLAGS
_HEAD = "head/.*"
# The body from the input on: what shares a learning rate.
_BLOCKS = "(bn_)?Conv1/.*|expanded_conv.*", r"block_(?P<block>\d+)_.*"


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("batch_size", 25, "size of the global batch [examples]", 1)
  flag_rules.integer("blocks", 6, "kept of the 16 of the net [blocks]", 1, 16)
  flag_rules.integer("labels", 100, "images to tune on [examples]", 1, 450)
  flag_rules.integer("before", 8, "of the net on the old classes [epochs]", 1)
  flag_rules.integer("freeze_epochs", 5, "of the head alone [epochs]", 0)
  flag_rules.number(
    "lr_mult", 10.0, "the head's rate over the first block's [factor]", 1.0
  )
  flags.DEFINE_bool("from_scratch", False, "train new weights, to compare")
  run_flags.define(epochs=15, average="ema:0.9", early_stopping=15)


def check():
  """Rules about several flags; ends the program with one line."""
  for name in ("schedule", "initial_weights", "group", "layer_decay"):
    if FLAGS[name].present:
      flag_rules.stop(f"--{name} has no effect: the recipe makes its own")
  run_flags.check()


def halves():
  """((images, labels) of 0 to 4 in four positions, those of 5 to 9)."""
  import numpy as np
  from sklearn import datasets

  x, y = datasets.load_digits(return_X_y=True)
  order = np.random.default_rng(FLAGS.seed).permutation(len(x))
  x = (x[order] / 16).astype("float32").reshape(-1, 8, 8, 1)
  x, y = x.repeat(4, 1).repeat(4, 2).repeat(3, 3), y[order]
  turned = [np.rot90(x[y < 5], k, (1, 2)) for k in range(4)]
  labels = [y[y < 5] + 5 * k for k in range(4)]
  old = np.concatenate(turned), np.concatenate(labels)
  return old, (x[y > 4], y[y > 4] - 5)


def model_maker(classes, blocks):
  """A callable that makes the first blocks of MobileNetV2, with a head."""
  import keras

  def copy(layer):
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
      config["momentum"] = 0.9  # 0.999 is for runs of many thousand updates
    return type(layer).from_config(config)

  def make_model():
    net = keras.applications.MobileNetV2((32, 32, 3), weights=None)
    names = [
      n.name for n in net.layers if n.name.startswith(f"block_{blocks}_")
    ]
    body = keras.Model(net.input, net.get_layer(names[-1]).output)
    body = keras.models.clone_model(body, clone_function=copy)
    pooled = keras.layers.GlobalAveragePooling2D()(body.output)
    head = keras.layers.Dense(classes, name="head")(pooled)
    return keras.Model(body.input, head)

  return make_model


def make_loop(strategy, classes, name, steps_per_epoch, **more):
  """A `TrainLoop` in a folder of the workdir."""
  import keras

  import trainloop

  options = run_flags.options(steps_per_epoch) | more
  if FLAGS.workdir:
    options["workdir"] = os.path.join(FLAGS.workdir, name)
  return trainloop.TrainLoop(
    model_maker(classes, FLAGS.blocks),
    keras.optimizers.Adam,
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    strategy=strategy,
    **options,
  )


def trained_before(strategy, images, labels):
  """The net of the old classes."""
  import trainloop

  data = trainloop.ArrayData(images, labels, batch_size=64, seed=FLAGS.seed)
  plain = dict.fromkeys(("early_stopping", "reduce_on_plateau", "average"))
  loop = make_loop(strategy, 20, "before", data.steps_per_epoch, **plain)
  recipe = trainloop.recipes.one_cycle(0.005, "fastai")
  run_flags.fit(loop, data, schedule=recipe, epochs=FLAGS.before)
  return loop.model


def work(strategy):
  """Trains on the old classes, then on the new ones."""
  import trainloop

  old, (x, y) = halves()
  k, size, recipes = FLAGS.labels, FLAGS.batch_size, trainloop.recipes
  train = trainloop.ArrayData(x[:k], y[:k], batch_size=size, seed=FLAGS.seed)
  valid = trainloop.ArrayData(x[450:600], y[450:600], batch_size=150)
  peak = 0.01 if FLAGS.peak_lr is None else FLAGS.peak_lr
  if FLAGS.from_scratch:
    loop = make_loop(strategy, 5, "scratch", train.steps_per_epoch)
    epochs = FLAGS.freeze_epochs + FLAGS.epochs
    phases = [(recipes.one_cycle(peak, "fastai"), epochs)]
  else:
    lengths = FLAGS.epochs, FLAGS.freeze_epochs
    tuning = recipes.fine_tune(
      peak, *lengths, FLAGS.lr_mult, head=_HEAD, blocks=_BLOCKS
    )
    before = trained_before(strategy, *old)
    body = trainloop.InitialWeights(before, only=f"(?!{_HEAD}).*")
    more = {"groups": tuning.groups, "initial_weights": body}
    loop = make_loop(strategy, 5, "tuned", train.steps_per_epoch, **more)
    phases = [(phase, phase.epochs) for phase in tuning.phases]
  for phase, length in phases:
    run_flags.fit(loop, train, valid, schedule=phase, epochs=length)
  test = trainloop.ArrayData(x[600:], y[600:], batch_size=300)
  output.line(f"{k} labels, held-out images: {loop.evaluate(test)}")


def main(argv):
  del argv
  check()
  run_flags.run(work)


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
