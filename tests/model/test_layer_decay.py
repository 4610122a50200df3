"""Blocks of models, their factors, and patterns that stay short."""

import re

import keras
import numpy as np
import pytest

import trainloop
from trainloop.model import groups as groups_lib


@pytest.fixture(scope="module")
def body():
  return keras.applications.MobileNetV2(
    (32, 32, 3), alpha=0.35, include_top=False, weights=None, pooling="avg"
  )


@pytest.fixture(scope="module")
def net(body):
  """A head on a body that is one layer of it."""
  image = keras.Input((32, 32, 3))
  return keras.Model(image, keras.layers.Dense(5, name="head")(body(image)))


def members(groups, model):
  """{name of a variable: its factor}; refuses patterns of two or of none."""
  names = groups_lib.spellings(model)[0]
  found = {}
  for member in groups_lib.Groups(groups, model).members:
    found |= {names[i]: member.group.lr for i in member.places}
  assert sorted(found) == sorted(names)
  return found


def test_normalizations_belong_to_the_layer_before(body):
  groups = trainloop.layer_decay(body, 0.9)
  convolutions = [n for n in body.layers if hasattr(n, "kernel")]
  assert len(groups) == len(convolutions) == 52
  want = [0.9 ** (51 - i) for i in range(52)]
  assert [group.lr for group in groups.values()] == want
  factors = members(groups, body)
  assert factors["Conv1/kernel"] == factors["bn_Conv1/beta"] == want[0]
  assert factors["block_16_project_BN/gamma"] == want[-2]
  assert all(len(pattern) < 30 for pattern in groups)


def test_a_normalization_that_comes_first_and_weights_of_no_layer():
  keras.utils.clear_session()

  class Net(keras.Model):
    def __init__(self):
      super().__init__()
      self.norm = keras.layers.LayerNormalization(name="norm")
      self.body = keras.layers.Dense(3, name="body")
      self.head = keras.layers.Dense(2, name="head")
      self.place = self.add_weight(shape=(3, 3), name="place")

    def call(self, x):
      return self.head(self.body(self.norm(x) @ self.place))

  net = Net()
  net(np.zeros((1, 3), "float32"))
  factors = members(trainloop.layer_decay(net, 0.5), net)
  first = {name for name, factor in factors.items() if factor == 0.5}
  names = ["place", "norm/gamma", "norm/beta", "body/kernel", "body/bias"]
  assert first == set(names)


def test_a_body_that_is_one_layer_is_one_short_pattern(net):
  groups = trainloop.layer_decay(net, 0.25)
  assert [group.lr for group in groups.values()] == [0.25, 1.0]
  assert list(groups) == ["Conv.*|b.*|expanded_conv_.*", "head/.*"]
  assert members(groups, net)["block_9_expand/kernel"] == 0.25


def test_named_blocks_and_the_first_ones_factor(net):
  blocks = [
    "(bn_)?Conv1/.*|expanded_conv.*",
    r"block_(?P<block>\d+)_.*",
    "Conv_1.*",
    "head/.*",
  ]
  groups = trainloop.layer_decay(net, first=0.01, blocks=blocks)
  assert list(groups)[1:18] == [f"block_{i}_.*" for i in range(1, 17)] + [
    "Conv_1.*"
  ]
  # fastai's even_mults(0.01, 1, 19)
  want = [0.01 * 100 ** (i / 18) for i in range(19)]
  found = [group.lr for group in groups.values()]
  np.testing.assert_allclose(found, want, rtol=1e-12)
  assert found[0] == 0.01 and found[-1] == 1.0
  members(groups, net)


def test_a_head_of_several_layers_is_one_block():
  names = ("a", "b", "c", "top", "out")
  layers = [keras.layers.Dense(2, name=name) for name in names]
  net = keras.Sequential([keras.layers.Input((2,)), *layers])
  groups = trainloop.layer_decay(net, first=0.04, head="(top|out)/.*")
  assert list(groups) == ["a/.*", "b/.*", "c/.*", "top/.*|out/.*"]
  want = [0.04, 0.04 ** (2 / 3), 0.04 ** (1 / 3), 1.0]
  np.testing.assert_allclose([g.lr for g in groups.values()], want)
  only = trainloop.layer_decay(net, first=0.04, head=".*")
  assert only == {".*": trainloop.Group(lr=1.0)}


def test_patterns_tell_names_apart_that_begin_alike():
  names = ("d", "d_1", "d_10", "d_1x", "e+")
  layers = [keras.layers.Dense(2, name=name) for name in names]
  net = keras.Sequential([keras.layers.Input((2,)), *layers])
  groups = trainloop.layer_decay(net, 0.5)
  patterns = [re.escape(name) + "/.*" for name in names]
  assert list(groups) == patterns
  groups = trainloop.layer_decay(net, 0.5, blocks=[".*kernel", ".*bias"])
  factors = members(groups, net)
  assert {n: f for n, f in factors.items() if f != 1} == {
    f"{name}/kernel": 0.5 for name in names
  }


def unbuilt():
  return keras.Sequential([keras.layers.Dense(2)], name="unbuilt")


BAD = {
  "a function": ({"model": unbuilt, "rate": 0.5}, "`model` must be a built"),
  "an unbuilt model": ({"model": unbuilt(), "rate": 0.5}, "got 'unbuilt'"),
  "its name": ({"model": "unbuilt", "rate": 0.5}, "got 'str'"),
  "no rate": ({}, "`rate` must be given, or `first`, and not both; got None"),
  "both": ({"rate": 0.5, "first": 0.1}, "and not both; got 0.5"),
  "a first of 0": ({"first": 0.0}, "`first` must be a number in (0, 1]"),
  "a rate of 2": ({"rate": 2}, "`rate` must be a number in (0, 1]"),
  "a minimum": ({"rate": 1, "minimum": 2}, "`minimum` must be a number in"),
  "one block": ({"rate": 1, "blocks": ".*"}, "`blocks` must be a list of"),
  "a block of none": (
    {"rate": 1, "blocks": [".*", "head.*"]},
    "`blocks` must be patterns of trainable variables that those before leave",
  ),
  "a variable of no block": (
    {"rate": 1, "blocks": [".*kernel"]},
    "(head/bias is in none); got ['.*kernel']",
  ),
  "a head of none": ({"rate": 1, "head": "tail"}, "`head` must be a pattern"),
  "no expression": ({"rate": 1, "head": "("}, "`head` must be a regular"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name):
  given, text = BAD[name]
  layers = [keras.layers.Input((2,)), keras.layers.Dense(2, name="head")]
  given = {"model": keras.Sequential(layers), **given}
  with pytest.raises(ValueError) as error:
    trainloop.layer_decay(**given)
  assert text in str(error.value) and "\n" not in str(error.value)
