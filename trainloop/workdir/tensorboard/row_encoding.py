"""How rows become events: many at once, in TensorBoard's own wire format.

A row becomes one serialised Event: wall_time (field 1, double), step (field 2,
varint), summary (field 5) with a Value (tag, simple_value) a column. All rows
whose step has equally many varint bytes share one layout, so NumPy fills a
byte matrix; protobuf's Python objects would cost 20 us a row instead of 1.
"""

import numpy as np


def encode(times, steps, tags, table):
  """Serialised Events, one a row.

  Args:
    times: float64 (n,), wall times in seconds.
    steps: int64 (n,), rising, >= 0.
    tags: names of the columns.
    table: float32 (n, len(tags)).

  Yields:
    bytes of each Event, in order.
  """
  summary, floats = _summary(tags)
  start = 0
  while start < len(steps):
    size = _varint_size(int(steps[start]))
    stop = int(np.searchsorted(steps, 1 << (7 * size)))
    part = slice(start, stop)
    yield from _block(
      times[part], steps[part], size, table[part], summary, floats
    )
    start = stop


def without(tag, tags, table):
  """(tags, table) without one column, where that holds nothing but NaN.

  Args:
    tag: the column's, as of a momentum that an optimizer need not have.
    tags, table: see `encode`.
  """
  places = [
    i
    for i, name in enumerate(tags)
    if name != tag or not np.isnan(table[:, i]).all()
  ]
  return [tags[i] for i in places], table[:, places]


def _block(times, steps, size, table, summary, floats):
  head = b"\x09" + bytes(8) + b"\x10" + bytes(size)
  middle = b"\x2a" + _varint(len(summary))
  layout = np.frombuffer(head + middle + summary, np.uint8)
  events = np.tile(layout, (len(steps), 1))
  events[:, 1:9] = _bytes(times, "<f8", 8)
  for i in range(size):
    more = 0x80 if i < size - 1 else 0
    events[:, 10 + i] = ((steps >> (7 * i)) & 0x7F) | more
  offset = len(head) + len(middle)
  for column, at in enumerate(floats):
    values = _bytes(table[:, column], "<f4", 4)
    events[:, offset + at : offset + at + 4] = values
  width, flat = layout.size, events.tobytes()
  for i in range(0, len(flat), width):
    yield flat[i : i + width]


def _summary(tags):
  """A Summary's bytes with zeros for the floats, and where those stand."""
  summary, floats = b"", []
  for tag in tags:
    name = tag.encode()
    value = b"\x0a" + _varint(len(name)) + name + b"\x15" + bytes(4)
    summary += b"\x0a" + _varint(len(value)) + value
    floats.append(len(summary) - 4)
  return summary, floats


def _bytes(values, kind, size):
  return np.ascontiguousarray(values, kind).view(np.uint8).reshape(-1, size)


def _varint(value):
  size = _varint_size(value)
  return bytes(
    ((value >> (7 * i)) & 0x7F) | (0x80 if i < size - 1 else 0)
    for i in range(size)
  )


def _varint_size(value):
  return max(1, -(-value.bit_length() // 7))
