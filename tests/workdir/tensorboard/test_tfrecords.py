"""Records are found again behind damage."""

import numpy as np
import pytest
import tensorflow as tf

from trainloop.workdir.tensorboard import tfrecords

RECORDS = [bytes([i]) * size for i, size in enumerate((3, 0, 500, 40, 7))]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
  path = tmp_path_factory.mktemp("records") / "file"
  with tf.io.TFRecordWriter(str(path)) as writer:
    for record in RECORDS:
      writer.write(record)
  return path.read_bytes()


def test_crc32c_of_its_definition():
  assert tfrecords.crc32c(b"123456789") == 0xE3069283


def test_a_whole_file(content):
  assert tfrecords.salvage(content) == RECORDS
  assert tfrecords.salvage(b"") == []


def test_each_flipped_byte_costs_its_own_record_alone(content):
  starts = np.cumsum([0, *(len(record) + 16 for record in RECORDS)])
  for i in range(len(content)):
    damaged = bytearray(content)
    damaged[i] ^= 0x10
    hit = int(np.searchsorted(starts, i, side="right")) - 1
    want = [None if k == hit else r for k, r in enumerate(RECORDS)]
    assert tfrecords.salvage(bytes(damaged)) == want, i


def test_each_length_that_a_file_is_cut_to(content):
  starts = np.cumsum([0, *(len(record) + 16 for record in RECORDS)])
  for size in range(len(content)):
    whole = int(np.searchsorted(starts, size, side="right")) - 1
    torn = [None] * int(size > starts[whole])
    assert tfrecords.salvage(content[:size]) == RECORDS[:whole] + torn, size


@pytest.mark.parametrize("size", [1, 5000, (1 << 20) + 3, 5 << 20])
def test_records_behind_a_stretch_of_anything(content, size):
  noise = np.random.default_rng(size).bytes(size)
  want = [*RECORDS, None, *RECORDS]
  assert tfrecords.salvage(content + noise + content) == want
