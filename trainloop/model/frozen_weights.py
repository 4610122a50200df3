"""Weights that a pattern matches and that Keras does not train, and why."""

import re

from trainloop.model import variable_names

_MOST = 6  # names that a line shows


def listed(names):
  """Some names in a line, the rest of many as their number."""
  names = list(names)
  rest = len(names) - _MOST
  more = f" and {rest} more" if rest > 0 else ""
  return ", ".join(names[:_MOST]) + more


def why(pattern, model):
  """Why a pattern matches no trainable variable: " (...)", or "" where it
  matches nothing at all.

  Args:
    pattern: a regular expression of paths, as for `groups`.
    model: the built keras.Model.
  """
  frozen, others = matched(pattern, model)
  if frozen:
    text = f"{listed(frozen)} have trainable=False in Keras"
    return f" ({text}: set layer.trainable = True before the loop is made)"
  if others:
    return f" ({listed(others)} are moved by no optimizer)"
  return ""


def matched(pattern, model):
  """Paths that a pattern matches below the model: (of weights in layers with
  trainable=False, of others that are not trained, as statistics)."""
  trained = {id(v) for v in model.trainable_variables}
  resting = {
    id(v)
    for layer in model._flatten_layers()
    if not layer.trainable
    for v in layer.weights
  }
  found = [], []
  named = zip(model.variables, variable_names.of_weights(model), strict=True)
  for variable, counted in named:
    path = variable.path.removeprefix(f"{model.name}/")
    spelt = (path, variable.path, counted)
    if id(variable) in trained:
      continue
    if any(re.fullmatch(pattern, one) for one in spelt):
      found[id(variable) not in resting].append(path)
  return found
