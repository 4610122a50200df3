"""ArrayData.split: Keras' last fraction, or drawn, in all or a class."""

import numpy as np
import pytest

import trainloop


def data(y=None, examples=10, **options):
  x = np.arange(examples, dtype="float32")[:, None]
  y = np.arange(examples) if y is None else y
  weight = np.linspace(1, 2, examples)
  return trainloop.ArrayData(x, y, weight, batch_size=4, **options)


def parts(*args, **options):
  own = data(seed=5, drop_remainder=False)
  return own.split(*args, **options)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.33, 0.5, 0.89])
def test_without_a_seed_the_last_are_held_out_as_in_keras(fraction):
  train, held = parts(fraction)
  at = int(np.floor(10 * (1.0 - fraction)))  # Keras' train_validation_split
  assert train.arrays[1].tolist() == list(range(at))
  assert held.arrays[1].tolist() == list(range(at, 10))
  for one in (train, held):
    np.testing.assert_array_equal(one.arrays[0][:, 0], one.arrays[1])
    assert one.num_examples == len(one.arrays[2])
    assert (one.batch_size, one.seed, one.drop_remainder) == (4, 5, False)


def test_a_seed_draws_them():
  train, held = parts(0.3, seed=1)
  again, _ = parts(0.3, seed=1)
  other, _ = parts(0.3, seed=2)
  found = [*train.arrays[1], *held.arrays[1]]
  assert sorted(found) == list(range(10)) and found != sorted(found)
  assert train.arrays[1].tolist() == again.arrays[1].tolist()
  assert train.arrays[1].tolist() != other.arrays[1].tolist()


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("seed", [None, 3])
def test_stratified_each_class_is_held_out(seed, one_hot):
  y = np.repeat([0, 1, 2], [80, 16, 4])
  own = data(np.eye(3)[y] if one_hot else y, 100)
  train, held = own.split(0.25, seed=seed, stratify=True)

  def counts(part):
    labels = part.arrays[1]
    return np.bincount(labels.argmax(1) if one_hot else labels).tolist()

  assert counts(train) == [60, 12, 3] and counts(held) == [20, 4, 1]


def test_small_classes_add_up_and_lose_no_last_example():
  y = np.repeat(np.arange(100), 2)
  train, held = data(y, 200).split(0.2, seed=1, stratify=True)
  assert (train.num_examples, held.num_examples) == (160, 40)
  assert set(np.bincount(train.arrays[1])) <= {1, 2}
  y = np.array([0] * 9 + [1])
  train, held = data(y).split(0.2, stratify=True)
  assert sorted(train.arrays[1]) == [0] * 7 + [1]
  assert held.arrays[1].tolist() == [0, 0]


@pytest.mark.parametrize(
  "options,text",
  [
    ({"fraction": 0}, "`fraction` must be a number in (0, 1)"),
    ({"fraction": 1.0}, "`fraction` must be a number in (0, 1)"),
    ({"fraction": float("nan")}, "`fraction` must be a number in (0, 1)"),
    ({"fraction": 0.95}, "examples on both sides, of 10"),
    ({"fraction": 0.5, "seed": -1}, "`seed` must be"),
    ({"fraction": 0.5, "stratify": 1}, "`stratify` must be"),
  ],
)
def test_bad_input(options, text):
  with pytest.raises(ValueError) as error:
    data().split(options.pop("fraction"), **options)
  assert text in str(error.value)


def test_numbers_are_not_stratified():
  own = data(np.linspace(0, 1, 10))
  with pytest.raises(ValueError, match="`stratify` must be for labels"):
    own.split(0.5, stratify=True)
