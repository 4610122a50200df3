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
  parts = {
    "kind": type(model).__name__,
    "trainable": model.trainable,
    "dtype": model.dtype_policy.name,
  }
  made_of = isinstance(model, keras.Sequential) or _is_functional(model)
  if not made_of:
    config = describe.config(model, path)
    parts |= {k: v for k, v in config.items() if k not in parts}
  elif _is_functional(model):
    parts |= _graph(model, describe, path)
  parts |= describe.own(model, path)
  if hasattr(model, "adapt"):
    parts["state"] = _state(model, describe, path)
  inside = {id(one): (one, where) for one, where in _inside(model, path)}
  layers = [of(one, describe, where) for one, where in inside.values()]
  return {**parts, "layers": layers} if layers else parts


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

  def place_of(value):
    history = getattr(value, "_keras_history", None)
    if history is None:
      return value
    return [calls.get((id(history[0]), history[1])), history[2]]

  steps = []
  for (one, _), (operation, node) in nodes.items():
    called = None if node.is_input else node.arguments
    parts = [] if called is None else [called.args, called.kwargs]
    parts = keras.tree.map_structure(place_of, parts)
    if not isinstance(operation, keras.layers.Layer):
      parts.append(type(operation).__name__)
      parts.append(describe.config(operation, f"{path}.graph"))
    steps.append([place.get(one), *parts])
  ends = [place_of(one) for one in (*model.inputs, *model.outputs)]
  return {"graph": describe.of([steps, ends], f"{path}.graph")}


def _nodes(model):
  """{(id of an operation, number of a call): (operation, its `Node`)} of all
  that outputs depend on, what comes first first."""
  reached, todo = {}, list(reversed(model.outputs))
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
        if (id(one._keras_history[0]), one._keras_history[1]) not in reached
      ]
    )
    if missing and key not in reached:
      todo += missing
      continue
    reached.setdefault(key, (operation, node))
    todo.pop()
  return reached


def _state(layer, describe, path):
  """What a preprocessing layer has learnt from data, or was given."""
  arrays = [v.numpy() for v in layer.weights]
  state = {"weights": f"crc32 {description.crc32(arrays):08x}"}
  for name in ("bin_boundaries", "input_mean", "input_variance"):
    if getattr(layer, name, None) is not None:
      state[name] = describe.of(getattr(layer, name), f"{path}.{name}")
  if hasattr(layer, "get_vocabulary"):
    words = list(map(str, layer.get_vocabulary()))
    state["vocabulary"] = describe.of(words, f"{path}.vocabulary")
  return state
