"""A final model that can't be written: one line, and nothing half made."""

import os

import pytest
import tensorflow as tf

from training import export

_FULL = tf.errors.ResourceExhaustedError(None, None, "disk full\nat x", {})


@pytest.mark.parametrize("error", [_FULL, MemoryError(), OSError("disk full")])
@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_it_is_an_error_of_the_system_and_leaves_nothing(tmp_path, kind, error):
  class Model:
    def save(self, path, **_):
      raise error

    export = save_weights = save

  with pytest.raises(OSError) as caught:
    export.write(str(tmp_path), Model(), kind)
  assert str(caught.value) and "\n" not in str(caught.value)
  assert os.listdir(tmp_path) == []
