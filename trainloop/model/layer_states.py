"""What layers carry from batch to batch beside the model's variables.

Keras' recurrent layers with `stateful=True` hold it outside of
`model.variables`: so it must be looked for to be saved and put back.
"""

import keras


def of(model):
  """The tf.Variables of a model's layer states, each once."""
  own = {id(v.value) for v in model.variables}
  states = {}
  for layer in _stateful(model):
    for state in keras.tree.flatten(layer.states):
      if state is not None and id(state.value) not in own:
        states[id(state.value)] = state.value
  return list(states.values())


def reset(model):
  """Lets every such layer start from zero."""
  for layer in _stateful(model):
    layer.reset_state()


def _stateful(model):
  # Private: the public `layers` leave out those inside of layers.
  layers = model._flatten_layers(include_self=False)
  return [
    layer
    for layer in layers
    if getattr(layer, "stateful", False) and hasattr(layer, "states")
  ]
