"""A line fitted with one example a batch, so that NumPy can do the same."""

import keras
import numpy as np

import trainloop
from support import small

STEPS = 24


def fitted(optimizer, schedule, steps=STEPS, **options):
  """Trains y = w x with one example a batch; returns (loop, x, y)."""
  rng = np.random.default_rng(3)
  x = rng.normal(size=(steps, 4)).astype(np.float32)
  y = x @ rng.normal(size=(4, 1)).astype(np.float32)
  layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
  net = keras.Sequential([keras.layers.Input((4,)), layer])
  options = {"loss": "mse", "metrics": None, **options}
  loop = small.loop(net, optimizer, schedule=schedule, **options)
  data = trainloop.ArrayData(x, y, batch_size=1, shuffle=False)
  loop.fit(data, 1)
  return loop, x.astype(np.float64), y.astype(np.float64)
