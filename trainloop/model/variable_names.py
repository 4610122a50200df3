"""Names of all variables that a checkpoint holds, the same in each process.

Keras gives a variable a path, as `sequential_2/dense_7/kernel`, and counts in
it the layers that the process has made. Here the layers of one name are
counted anew from the model's first variable on, the model's and optimizer's
own names are left out, and what is the run's own is named by the attributes
that lead to it: `dense/kernel`, `dense_1/kernel_momentum`,
`judge/best_step`.
"""

import collections
import re

import tensorflow as tf

# Keras' name of a variable that was given none; it counts these, too.
_UNNAMED = "variable"


def groups(model, carried, optimizer, metrics, copies, state):
  """All variables that training moves, by name.

  Args:
    model: the keras.Model, built.
    carried: tf.Variables of its layers' states, see `layer_states`.
    optimizer: the Keras optimizer, built.
    metrics: keras.Variables of the metrics.
    copies: tf.Variables that stand for these, as many; or None.
    state: the run's own tf.Module.

  Returns:
    {"model", "optimizer", "metrics", "state": {name: tf.Variable}}.
  """
  weights = model.variables
  names = of_weights(model)
  names += [f"layer_states/{i}" for i in range(len(carried))]
  values = [*(v.value for v in weights), *carried]
  owners = {v.path: name for v, name in zip(weights, names, strict=False)}
  slots = _slots(optimizer, owners)
  counted = _Paths()
  totals = [counted.of(v.path) for v in metrics]
  copies = [v.value for v in metrics] if copies is None else copies
  return {
    "model": _unique(names, values),
    "optimizer": _unique(slots, [v.value for v in optimizer.variables]),
    "metrics": _unique(totals, copies),
    "state": of_module(state),
  }


def of_weights(model):
  """Names of a built model's variables, a list in their order."""
  paths = _Paths(model.name)
  return [paths.of(v.path) for v in model.variables]


def of_module(module):
  """{path of attributes: tf.Variable} of a tf.Module, each variable once."""
  view = tf.train.TrackableView(module)
  found, seen = {}, set()

  def walk(node, path):
    for name, child in sorted(view.children(node).items(), key=_by_number):
      if id(child) in seen:
        continue
      seen.add(id(child))
      if isinstance(child, tf.Variable):
        found[f"{path}{name}"] = child
      else:
        walk(child, f"{path}{name}/")

  walk(module, "")
  return found


def _by_number(item):
  """Sorts attributes by name, and the entries of a list by their place."""
  name = item[0]
  return (int(name), "") if name.isdecimal() else (-1, name)


def _slots(optimizer, owners):
  """Names of an optimizer's variables, in their order.

  Keras calls a slot `optimizer/path_of_the_weight_slot`: the path, with `_`
  for `/`, becomes the weight's own name.

  Args:
    optimizer: the Keras optimizer.
    owners: {path of a weight: its name}.
  """
  prefixes = {f"{p.replace('/', '_')}_": name for p, name in owners.items()}
  longest = sorted(prefixes, key=len, reverse=True)
  paths, names = _Paths(optimizer.name), []
  for variable in optimizer.variables:
    *folders, leaf = paths.of(variable.path).split("/")
    prefix = next((p for p in longest if leaf.startswith(p)), None)
    if prefix is not None:
      leaf = f"{prefixes[prefix]}_{leaf[len(prefix) :]}"
    names.append("/".join([*folders, leaf]))
  return names


def _unique(names, variables):
  """{name: variable}; where names repeat, the later ones are numbered."""
  times, found = collections.Counter(), {}
  for name, variable in zip(names, variables, strict=True):
    found[f"{name}:{times[name]}" if times[name] else name] = variable
    times[name] += 1
  return found


class _Paths:
  """Paths of Keras' without what depends on the process.

  Args:
    owner: name of the object whose variables they are, left out; or "".
  """

  def __init__(self, owner=""):
    self._owner = f"{owner}/" if owner else ""
    self._counted = {}

  def of(self, path):
    """A path, its layers of one name counted as they first come."""
    *layers, leaf = path.removeprefix(self._owner).split("/")
    if re.fullmatch(rf"{_UNNAMED}(_\d+)?", leaf):
      leaf = self._anew(leaf)
    return "/".join([*map(self._anew, layers), leaf])

  def _anew(self, name):
    base = re.sub(r"_\d+$", "", name)
    places = self._counted.setdefault(base, {})
    place = places.setdefault(name, len(places))
    return f"{base}_{place}" if place else base
