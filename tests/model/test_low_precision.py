"""Layers and defaults of Keras that a loop would not train rightly."""

import keras
import pytest

from trainloop.model import precision


@pytest.fixture
def floatx():
  yield keras.config.set_floatx
  keras.config.set_floatx("float32")


@pytest.mark.parametrize("name", ["float64", "float16", "bfloat16"])
def test_another_default_type_is_refused_in_one_line(floatx, name):
  plain = precision.Numerics()
  floatx(name)
  for call in (precision.Numerics, lambda: plain.check_model(None)):
    with pytest.raises(ValueError, match="set_floatx") as caught:
      call()
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
def test_layers_in_float16_need_the_loss_scale(policy):
  layers = [keras.layers.Dense(2), keras.layers.Dense(1, dtype=policy)]
  model = keras.Sequential([keras.Input((3,)), *layers])
  with pytest.raises(ValueError, match=r"mixed_precision.*scales the loss"):
    precision.Numerics().check_model(model)


@pytest.mark.parametrize("policy", ["float32", "bfloat16", "mixed_bfloat16"])
def test_other_layers_need_none(policy):
  layer = keras.layers.Dense(1, dtype=policy)
  model = keras.Sequential([keras.Input((3,)), layer])
  precision.Numerics().check_model(model)
