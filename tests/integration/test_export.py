"""A trained model without this library: read in a process of its own."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small
from training import export

_READER = """
import sys
import keras, numpy as np, tensorflow as tf
folder, names = sys.argv[1], sys.argv[2:]
x = np.load(folder + "/x.npy")
for name in names:
  model = keras.models.load_model(f"{folder}/{name}/model.keras")
  served = tf.saved_model.load(f"{folder}/{name}/saved_model")
  np.save(f"{folder}/{name}/keras.npy", model.predict(x, verbose=0))
  np.save(f"{folder}/{name}/served.npy", served.serve(x).numpy())
assert not {"trainloop", "kernels"} & set(sys.modules)
"""


def precise():
  return keras.Sequential(
    [
      keras.layers.Input((8,)),
      keras.layers.Dense(6, activation="relu"),
      keras.layers.BatchNormalization(),
      keras.layers.Dense(3, activation="softmax", dtype="float32"),
    ]
  )


def own_step(model, x, y, training):
  losses = keras.losses.sparse_categorical_crossentropy(
    y, model(x, training=training)
  )
  return {"loss": losses, "square": tf.square(losses)}


LOOPS = {
  "plain": {},
  "low": {"mixed_precision": "bfloat16"},
  "step": {"loss": None, "metrics": None, "step": own_step},
}


@pytest.fixture(scope="module")
def read_back(tmp_path_factory):
  """{name: (predicted by the loop's model, by Keras', by TensorFlow's)}."""
  folder, found = tmp_path_factory.mktemp("exported"), {}
  x = small.arrays(20)[0]
  np.save(folder / "x.npy", x)
  for name, options in LOOPS.items():
    loop = small.loop(precise, **options)
    loop.fit(small.data(), 1)
    (folder / name).mkdir()
    written = export.write(str(folder / name), loop.model, "both")
    assert written == ["model.keras", "saved_model"]
    found[name] = loop.model.predict(x, verbose=0)
  done = subprocess.run(
    [sys.executable, "-c", _READER, str(folder), *LOOPS],
    capture_output=True,
    text=True,
    timeout=240,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return {
    name: (ours, *(np.load(folder / name / f"{way}.npy")
                   for way in ("keras", "served")))
    for name, ours in found.items()
  }  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_it_predicts_the_same_elsewhere(name, read_back):
  ours, by_keras, by_tensorflow = read_back[name]
  np.testing.assert_array_equal(by_keras, ours)
  # Another program, which may round otherwise; bfloat16 has 8 bits.
  close = 2e-2 if name == "low" else 1e-5
  np.testing.assert_allclose(by_tensorflow, ours, rtol=close, atol=close)


def test_what_cannot_be_described_leaves_its_weights(tmp_path, capsys):
  class Own(keras.Model):
    def __init__(self, width):
      super().__init__()
      self.dense = keras.layers.Dense(width)

    def call(self, x):
      return self.dense(x)

  loop = small.loop(Own(3), loss="mse", metrics=None)
  data = trainloop.ArrayData(np.ones((8, 2)), np.ones((8, 3)), batch_size=4)
  loop.fit(data, 1)
  assert export.write(str(tmp_path), loop.model, "keras") == [
    "model.weights.h5"
  ]
  assert "warning: model.keras not saved" in capsys.readouterr().out
  assert [path.name for path in tmp_path.iterdir()] == ["model.weights.h5"]
