"""A TensorFlow training loop, written out, scheduled in graph.

  import kernels, trainloop
  train = trainloop.ArrayData(x, y, batch_size=128, seed=0)
  valid = trainloop.ArrayData(x_val, y_val, batch_size=1000, shuffle=False)
  loop = trainloop.TrainLoop(
    model, keras.optimizers.SGD(0.1, momentum=0.9),
    "sparse_categorical_crossentropy", metrics=["accuracy"],
    schedule=kernels.OneCycle(0.1, total_steps=5 * train.steps_per_epoch),
    early_stopping=trainloop.EarlyStopping("val_loss", patience=3))
  history = loop.fit(train, epochs=5, validation=valid)
  history.rows["learning_rate"]      # what each update used, float32

Each update's learning rate and momentum come from a schedule kernel inside the
compiled graph; n updates run in one call, and each leaves a row.
"""

from trainloop import recipes
from trainloop.base.compile_cache import compile_cache
from trainloop.data.sharded import ShardedData
from trainloop.data.source import ArrayData
from trainloop.devices.cluster import Cluster
from trainloop.devices.links import MissingPeerError, PeerError
from trainloop.devices.strategies import strategy_for
from trainloop.fit.nonfinite_policy import Rewind
from trainloop.fit.signals import StopOnSignals
from trainloop.judging.options import EarlyStopping, ReduceOnPlateau
from trainloop.loop import TrainLoop
from trainloop.model.averaging import EMA, CycleAverage, ScheduleFree
from trainloop.model.bounds import ValueRangeError
from trainloop.model.groups import Group
from trainloop.model.layer_decay import layer_decay
from trainloop.model.optimizer_parts import Part
from trainloop.recipes import Recipe
from trainloop.sweep.sweep import (
  Sweep,
  compare_learning_rates,
  sweep_learning_rate,
)
from trainloop.workdir.history import History, NonFiniteError
from trainloop.workdir.initial_weights import InitialWeights

__all__ = [
  "EMA",
  "ArrayData",
  "Cluster",
  "CycleAverage",
  "EarlyStopping",
  "Group",
  "History",
  "InitialWeights",
  "MissingPeerError",
  "NonFiniteError",
  "Part",
  "PeerError",
  "Recipe",
  "ReduceOnPlateau",
  "Rewind",
  "ScheduleFree",
  "ShardedData",
  "StopOnSignals",
  "Sweep",
  "TrainLoop",
  "ValueRangeError",
  "compare_learning_rates",
  "compile_cache",
  "layer_decay",
  "recipes",
  "strategy_for",
  "sweep_learning_rate",
]
