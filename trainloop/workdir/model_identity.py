"""What a model is: its layers, their options, how they are connected.

Names of layers are left out: they count the objects of a process.
"""

import keras

from trainloop.workdir import description


def of(model, describe, path="model"):
  """A model, or a layer, as JSON types.

  Args:
    model: a keras.Model or a layer, built.
    describe: a `Description`, which learns what is not compared.
    path: where it stands.

  Returns:
    {"kind", "trainable", "dtype", the options of its config, "code" and
    "values" of a user's class, "state" of an adapted layer, "layers" in it}.
  """
  found = {
    "kind": type(model).__name__,
    "trainable": model.trainable,
    "dtype": model.dtype_policy.name,
  }
  made_of = isinstance(model, keras.Sequential) or _is_functional(model)
  if not made_of:
    config = describe.config(model, path)
    found |= {k: v for k, v in config.items() if k not in found}
  elif _is_functional(model):
    found |= _graph(model, describe, path)
  found |= describe.own(model, path)
  if hasattr(model, "adapt"):
    found["state"] = _state(model, describe, path)
  inside = {id(one): (one, where) for one, where in _inside(model, path)}
  layers = [of(one, describe, where) for one, where in inside.values()]
  return {**found, "layers": layers} if layers else found


def frozen(model):
  """Positions of the weights that are not trained, among all of them."""
  return [i for i, v in enumerate(model.weights) if not v.trainable]


def _inside(layer, path):
  """(layer, path) of the layers directly in one."""
  if isinstance(layer, keras.Model):
    return [(one, f"{path}.layers[{i}]") for i, one in enumerate(layer.layers)]
  names = {id(v): n for n, v in vars(layer).items() if not n.startswith("_")}
  # Private: nothing public lists the layers in a layer.
  parts = layer._flatten_layers(include_self=False, recursive=False)
  return [
    (one, f"{path}.{names.get(id(one), f'layers[{i}]')}")
    for i, one in enumerate(parts)
  ]


def _is_functional(model):
  """Whether it was made of inputs and outputs."""
  return isinstance(model, keras.Model) and hasattr(model, "operations")


def _graph(model, describe, path):
  """Who is called with what: [[operation, its call, arguments], ...].

  An operation stands for its position, a tensor for [operation, call, which of
  its outputs]; what is no layer, as keras.ops.add, says what it is.
  """
  operations = model.operations
  place = {id(one): i for i, one in enumerate(operations)}
  nodes = _nodes(model)
  calls = {key: i for i, key in enumerate(nodes)}

  def shown(value):
    history = getattr(value, "_keras_history", None)
    if history is None:
      return value
    return [calls.get((id(history[0]), history[1])), history[2]]

  found = []
  for (one, _), (operation, node) in nodes.items():
    given = None if node.is_input else node.arguments
    parts = [] if given is None else [given.args, given.kwargs]
    parts = keras.tree.map_structure(shown, parts)
    if not isinstance(operation, keras.layers.Layer):
      parts.append(type(operation).__name__)
      parts.append(describe.config(operation, f"{path}.graph"))
    found.append([place.get(one), *parts])
  ends = [shown(one) for one in (*model.inputs, *model.outputs)]
  return {"graph": describe.of([found, ends], f"{path}.graph")}


def _nodes(model):
  """{(id of an operation, number of a call): (operation, its `Node`)} of all
  that outputs depend on, what comes first first."""
  found, todo = {}, list(reversed(model.outputs))
  while todo:
    # Private: nothing public says of a tensor where it comes from.
    operation, number, _ = todo[-1]._keras_history
    node = operation._inbound_nodes[number]
    key = (id(operation), number)
    missing = (
      []
      if node.is_input
      else [
        one
        for one in reversed(node.input_tensors)
        if (id(one._keras_history[0]), one._keras_history[1]) not in found
      ]
    )
    if missing and key not in found:
      todo += missing
      continue
    found.setdefault(key, (operation, node))
    todo.pop()
  return found


def _state(layer, describe, path):
  """What a preprocessing layer has learnt from data, or was given."""
  arrays = [v.numpy() for v in layer.weights]
  found = {"weights": f"crc32 {description.crc32(arrays):08x}"}
  for name in ("bin_boundaries", "input_mean", "input_variance"):
    if getattr(layer, name, None) is not None:
      found[name] = describe.of(getattr(layer, name), f"{path}.{name}")
  if hasattr(layer, "get_vocabulary"):
    words = list(map(str, layer.get_vocabulary()))
    found["vocabulary"] = describe.of(words, f"{path}.vocabulary")
  return found
