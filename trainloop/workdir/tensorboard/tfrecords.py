"""TFRecords of a file that is damaged: those that are whole, and the gaps.

A record is its length (uint64), the length's masked CRC-32C, the data, and the
data's masked CRC-32C, little-endian. TensorFlow's reader stops at the first
that does not hold; this one goes on behind it.
"""

import struct

import numpy as np

_HEAD, _TAIL = 12, 4
_LENGTH = struct.Struct("<QI")
# Bytes looked through at a time for the next record.
_BLOCK = 1 << 20


def salvage(content):
  """The records of a file's content, in order.

  Args:
    content: bytes.

  Returns:
    A list of bytes, one a record; None for each place where something is not
    as a record must be, at the end too.
  """
  found, at = [], 0
  while at < len(content):
    stop = _end(content, at)
    if stop is None:
      at = _next_head(content, at + 1)
      found.append(None)
      continue
    data = content[at + _HEAD : stop - _TAIL]
    (crc,) = struct.unpack("<I", content[stop - _TAIL : stop])
    found.append(data if _masked(crc32c(data)) == crc else None)
    at = stop
  return found


def _end(content, at):
  """Where the record at some place ends, by its head; None without one."""
  head = content[at : at + _HEAD]
  if len(head) < _HEAD:
    return None
  length, crc = _LENGTH.unpack(head)
  stop = at + _HEAD + length + _TAIL
  whole = stop <= len(content) and _masked(crc32c(head[:8])) == crc
  return stop if whole else None


def _next_head(content, at):
  """The first place from `at` on that has a whole head; or the end."""
  while at + _HEAD <= len(content):
    block = np.frombuffer(content, np.uint8)[at : at + _BLOCK + _HEAD]
    heads = np.lib.stride_tricks.sliding_window_view(block, _HEAD)
    crcs = _mask(_crcs(heads[:, :8])).astype("<u4")
    wanted = np.ascontiguousarray(heads[:, 8:]).view("<u4")[:, 0]
    for i in np.flatnonzero(crcs == wanted):
      if _end(content, at + int(i)) is not None:
        return at + int(i)
    at += len(heads)
  return len(content)


def _table():
  """The CRC-32C of each byte: polynomial 0x1EDC6F41, reflected."""
  values = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    values = (values >> 1) ^ np.where(values & 1, np.uint32(0x82F63B78), 0)
  return values.astype(np.uint32)


_TABLE = _table()
_BYTES = _TABLE.tolist()


def crc32c(data):
  """The CRC-32C of some bytes, some 0.1 us a byte."""
  crc = 0xFFFFFFFF
  for byte in data:
    crc = _BYTES[(crc ^ byte) & 0xFF] ^ (crc >> 8)
  return crc ^ 0xFFFFFFFF


def _crcs(rows):
  """That of each row of a uint8 matrix, uint32."""
  crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
  for column in rows.T:
    crc = _TABLE[(crc ^ column) & 0xFF] ^ (crc >> 8)
  return ~crc


def _masked(crc):
  return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _mask(crcs):
  """`_masked` of a uint32 array, whose sums wrap around."""
  return ((crcs >> 15) | (crcs << 17)) + np.uint32(0xA282EAD8)
