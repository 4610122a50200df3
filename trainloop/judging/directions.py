"""Whether less or more of a metric is better.

Asked of the metric itself first, as Keras' own callbacks do, and of its name
only where the metric does not say.
"""

import re

import keras

from kernels import checks

# Words of a metric's name that tell whether more (_MAX) or less (_MIN) is
# better. A name with none of them, or with some of both, needs a `mode`.
_MAX = (
  "accuracy",
  "acc",
  "auc",
  "correlation",
  "dice",
  "f1",
  "fbeta",
  "iou",
  "precision",
  "r2",
  "recall",
  "sensitivity",
  "similarity",
  "specificity",
)
_MIN = (
  "crossentropy",
  "divergence",
  "error",
  "hinge",
  "huber",
  "logcosh",
  "loss",
  "mae",
  "mape",
  "mse",
  "msle",
  "perplexity",
  "poisson",
  "rmse",
)
# Counts, of which Keras does not say it.
_COUNTS = {
  keras.metrics.TruePositives: 1,
  keras.metrics.TrueNegatives: 1,
  keras.metrics.FalsePositives: -1,
  keras.metrics.FalseNegatives: -1,
}


def of_metrics(names, metrics):
  """Directions of metrics that say it themselves, whatever they are called.

  Args:
    names: of the results, as "loss", "roc", "output_roc", "roc_1", "f1_0".
    metrics: the keras.metrics.Metric objects that give them.

  Returns:
    {name: -1 where less is better, 1 where more is}; without those unknown.
  """
  said = {}
  for metric in metrics:
    for one in getattr(metric, "metrics", None) or [metric]:
      said.setdefault(one.name, set()).add(_of_metric(one))
  found = {name: _result_direction(name, said) for name in names}
  return {name: sign for name, sign in found.items() if sign}


def _of_metric(metric):
  """-1 or 1 as a metric says it, 0 where it does not.

  `_direction` is private; no public name says it. `test_directions.py` holds
  what it is for each of Keras' metrics, and notices if it moves.
  """
  told = {"up": 1, "down": -1}.get(getattr(metric, "_direction", None), 0)
  kinds = [sign for kind, sign in _COUNTS.items() if isinstance(metric, kind)]
  return told or next(iter(kinds), 0)


def _result_direction(name, said):
  """The direction of a result; 0 where its metric gives none or is ambiguous.

  A result has the name of its metric, perhaps with the model's output before
  it ("out_acc"), and with a number behind it where several metrics have one
  name, or where a metric has one value a class ("acc_1").

  Args:
    name: the result's.
    said: {name of a metric: set of the directions of metrics of that name}.
  """
  for called in (name, re.sub(r"_\d+$", "", name)):
    ends = [m for m in said if called == m or called.endswith(f"_{m}")]
    if ends:
      signs = said[max(ends, key=len)]
      return next(iter(signs)) if len(signs) == 1 else 0
  return 0


def direction(monitor, mode, signs=None):
  """-1 where less is better, 1 where more is.

  Args:
    monitor: name of a metric, with or without "val_".
    mode: "min", "max" or "auto".
    signs: what `of_metrics` gave, or None.

  Returns:
    -1 or 1.

  Raises:
    ValueError: if "auto" does not know the metric.
  """
  if mode != "auto":
    return {"min": -1, "max": 1}[mode]
  name = monitor.removeprefix("val_")
  if signs and name in signs:
    return signs[name]
  words = name.replace("-", "_").split("_")
  if words[-1] == "loss":
    return -1
  guesses = {-1 for word in words if word in _MIN}
  guesses |= {1 for word in words if word in _MAX}
  if any(word in name for word in ("error", "crossentropy")):
    guesses.add(-1)
  if len(guesses) != 1:
    rule = f"'min' or 'max', because nothing says which {monitor} wants"
    checks.fail("mode", mode, rule)
  return guesses.pop()
