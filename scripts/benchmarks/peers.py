"""Other libraries, where they can be imported: JAX, PyTorch, Orbit.

Each trains the same layers on the same batches with the same constants; a
layer that has no words here raises `NotWritten`.
"""

import keras
import numpy as np
import tensorflow as tf

from benchmarks.keras_runners import MOMENTUM, RATE, optimizer, pipeline
from benchmarks.measure import NotWritten


def layers_of(task, kinds):
  """The layers of a task's model.

  Args:
    task: a `Task`.
    kinds: names of the layer classes that the caller can translate.

  Raises:
    NotWritten: if there is another.
  """
  model = task.make()
  if not isinstance(model, keras.Sequential):
    raise NotWritten("a model that is no row of layers")
  for layer in model.layers:
    if type(layer).__name__ not in kinds:
      raise NotWritten(type(layer).__name__)
  return model.layers


def _is_relu(layer):
  """Whether relu follows; a softmax at the end is part of the loss."""
  return getattr(layer, "activation", None) is keras.activations.relu


class JaxScan:
  """JAX: `lax.scan` over the updates, jitted; data resident.

  Args:
    task: a `Task`.
  """

  engine = "xla"

  def __init__(self, task):
    import jax
    import jax.numpy as jnp

    kinds = ("Dense", "Embedding", "GlobalAveragePooling1D", "Flatten")
    layers = layers_of(task, kinds)
    self._data = jnp.asarray(task.x), jnp.asarray(task.y)
    self._order = jnp.asarray(task.order(task.many))
    self.unit = len(self._order)
    weights = [
      [jnp.asarray(w) for w in layer.get_weights()] for layer in layers
    ]
    self._carry = weights, jax.tree_util.tree_map(jnp.zeros_like, weights)

    def forward(weights, x):
      for layer, own in zip(layers, weights, strict=True):
        kind = type(layer).__name__
        if kind == "Dense":
          x = x @ own[0] + own[1]
        elif kind == "Embedding":
          x = own[0][x]
        elif kind == "Flatten":
          x = x.reshape(len(x), -1)
        else:
          x = x.mean(axis=1)
        x = jax.nn.relu(x) if _is_relu(layer) else x
      return x

    def loss(weights, x, y):
      chances = jax.nn.log_softmax(forward(weights, x))
      return -jnp.take_along_axis(chances, y[:, None], axis=1).mean()

    def updates(carry, x, y, order):
      def update(carry, batch):
        weights, velocity = carry
        value, slope = jax.value_and_grad(loss)(weights, x[batch], y[batch])
        velocity = jax.tree_util.tree_map(
          lambda v, g: MOMENTUM * v - RATE * g, velocity, slope
        )
        weights = jax.tree_util.tree_map(jnp.add, weights, velocity)
        return (weights, velocity), value

      return jax.lax.scan(update, carry, order)

    self._updates, self._wait = jax.jit(updates), jax.block_until_ready

  def run(self, updates):
    """So many updates, a call for each unit."""
    for _ in range(updates // self.unit):
      self._carry, losses = self._updates(self._carry, *self._data, self._order)
    self._wait((self._carry, losses))


class Torch:
  """PyTorch, eager: the loop as its tutorials write it; data resident.

  Args:
    task: a `Task`.
  """

  engine = "eager"
  unit = 10

  def __init__(self, task):
    import torch

    torch.manual_seed(0)
    x = np.moveaxis(task.x, -1, 1) if task.x.ndim == 4 else task.x
    self._x = torch.from_numpy(np.ascontiguousarray(x))
    self._y = torch.from_numpy(task.y).long()
    self._order = torch.from_numpy(task.order(task.many)).long()
    self._net = torch.nn.Sequential(*_torch_layers(torch, task))
    self._loss = torch.nn.CrossEntropyLoss()
    self._optimizer = torch.optim.SGD(
      self._net.parameters(), lr=RATE, momentum=MOMENTUM
    )

  def run(self, updates):
    """So many updates."""
    for i in range(updates):
      batch = self._order[i % len(self._order)]
      self._optimizer.zero_grad()
      loss = self._loss(self._net(self._x[batch]), self._y[batch])
      loss.backward()
      self._optimizer.step()
    loss.item()


def _torch_layers(torch, task):
  """The layers of a task's model as PyTorch's."""
  nn = torch.nn

  class Mean(nn.Module):
    """The mean over the words of a text."""

    def forward(self, x):
      return x.mean(dim=1)

  makers = {
    "Dense": lambda layer: nn.Linear(*layer.kernel.shape),
    "Embedding": lambda layer: nn.Embedding(*layer.embeddings.shape),
    "GlobalAveragePooling1D": lambda layer: Mean(),
    "Flatten": lambda layer: nn.Flatten(),
    "Dropout": lambda layer: nn.Dropout(layer.rate),
    "MaxPooling2D": lambda layer: nn.MaxPool2d(layer.pool_size),
    "Conv2D": lambda layer: nn.Conv2d(
      *layer.kernel.shape[2:], tuple(layer.kernel.shape[:2])
    ),
  }
  layers = []
  for layer in layers_of(task, makers):
    layers.append(makers[type(layer).__name__](layer))
    if _is_relu(layer):
      layers.append(nn.ReLU())
  return layers


class Orbit:
  """Orbit's `StandardTrainer`: `tf.while` over a step, from a dataset.

  Args:
    task: a `Task`.
  """

  engine = "graph"

  def __init__(self, task):
    import orbit

    model, opt = task.make(), optimizer()
    opt.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy()

    class Trainer(orbit.StandardTrainer):
      """One update from the next batch."""

      def train_step(self, iterator):
        x, y = next(iterator)
        with tf.GradientTape() as tape:
          value = loss(y, model(x, training=True))
        slope = tape.gradient(value, model.trainable_variables)
        opt.apply(slope, model.trainable_variables)

    self._trainer = Trainer(pipeline(task).repeat())
    self.unit = task.many // 10

  def run(self, updates):
    """So many updates, a call for up to ten units."""
    while updates:
      n = min(updates, 10 * self.unit)
      self._trainer.train(tf.constant(n))
      updates -= n
