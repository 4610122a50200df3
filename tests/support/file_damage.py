"""Damage to small files, by seed: of any bytes, of .npz files, of tables."""

import io
import random
import re
import struct
import warnings
import zipfile

import numpy as np

_DTYPES = (
  "<f2", "<f8", ">f4", ">f8", "<f16", "<f3", "<i8", ">i8", "<i2", "|i1", "<u4",
  "|u1", "|b1", "<c8", "<M8[s]", "<m8[D]", "|O", "O", "|S12", "<U3", "<U0",
  "|V4", "f4,f4", "4f4", "=f4", "f4", "?", "nonsense", "<U999999999", "é",
)  # fmt: skip
_SHAPES = (
  "(12, 3)", "(3, 12)", "(36,)", "(12, 1, 3)", "()", "(0, 3)", "(12, 0)",
  "(-12, -3)", "(-1,)", "(12, 3.0)", "(True, 36)", "(4, 3)", "(13, 3)",
  "(10**12,)", "(999999999999, 3)", f"({10**30},)", "(1, " * 40 + ")" * 40,
  "[12, 3]", "None", "(2,) * 99", "(12L, 3L)", str((1,) * 70), "'(12, 3)'",
  "(" * 3000, "{}", "(4611686018427387904, 4, 3)",
)  # fmt: skip
_HEADS = (
  "[]", "{", "{'descr': '<f4'}", "{1: 2}", "{[]: 1}", "'\\x00'", "\xff\xfe",
  "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, "
  "'shape': (18,)}",
  "{'descr': ('<f4', (3,)), 'fortran_order': False, 'shape': (12,)}",
  "{'descr': '<f4', 'fortran_order': 1, 'shape': (12, 3)}",
  "{'descr': '<f4', 'fortran_order': False, 'shape': (12, 3), 'more': 1}",
  "__import__('os').getcwd()",
)  # fmt: skip
_CELLS = (
  "nan", "inf", "-Infinity", "1e999", "-1e39", "1e-400", "1_000", "١٢",
  "\uff11",
  "0x10", "+1", " 7 ", "7.", ".5", "", '""', '"7"', '"1,234"', "1.234,5", "'7'",
  "\ufeff1", "1\u00a0", "\u20091", "1\x1c", "7\x00", '"7\n8"', '"open', 'a"b',
  "9007199254740993", str(10**400), "NA", "None", "?", "-0", "1e5", "1d5", "\r",
  "\u2028", "x" * 2000, "9" * 5000, "True", "\\N", "#1", "=1+1", "1;2", "1\t2",
)  # fmt: skip


def damaged(rng, content):
  """Some bytes with one to three accidents, by a `random.Random`."""
  content = bytearray(content)
  for _ in range(rng.choice((1, 1, 1, 2, 3))):
    _accident(rng, content)
  return bytes(content)


def _accident(rng, content):
  """Changes a bytearray in one place."""
  at = rng.randrange(len(content) + 1)
  size = rng.choice((1, 1, 2, 4, 8, 16, 60))
  end, other = min(at + size, len(content)), rng.randrange(len(content) + 1)
  block = content[at:end]
  kind = rng.randrange(8)
  if kind == 0 and at < len(content):
    content[at] ^= 1 << rng.randrange(8)
  elif kind == 1:
    del content[at:]
  elif kind == 2:
    content += rng.randbytes(size)
  elif kind == 3:
    content[at:end] = content[other : other + len(block)]
    content[other : other + len(block)] = block
  elif kind == 4:
    content[other:other] = block
  elif kind == 5:
    content[at:end] = bytes(len(block))
  elif kind == 6:
    content[at:end] = rng.randbytes(len(block))
  else:
    del content[at:end]


def npy(array, order="C"):
  """An array as an .npy file's bytes."""
  file = io.BytesIO()
  np.lib.format.write_array(file, np.asarray(array, order=order))
  return file.getvalue()


def npz(members, compression=zipfile.ZIP_DEFLATED):
  """A zip file's bytes, of [(name, bytes)]."""
  file = io.BytesIO()
  archive = zipfile.ZipFile(file, "w", compression)
  with archive, warnings.catch_warnings():  # of names that are there twice
    warnings.simplefilter("ignore")
    for name, content in members:
      archive.writestr(name, content)
  return file.getvalue()


def damaged_npz(rng, arrays):
  """An .npz file's bytes that are damaged, odd or somebody's trick.

  Args:
    rng: a `random.Random`.
    arrays: {name: NumPy array}, the sound ones.
  """
  members = {f"{name}.npy": npy(one) for name, one in arrays.items()}
  way = rng.randrange(5)
  if way == 0:
    return damaged(rng, npz(members.items(), _method(rng)))
  name = rng.choice(list(members))
  if way == 1:
    members[name] = damaged(rng, members[name])
  elif way == 2:
    members[name] = _another_head(rng, members[name])
  elif way == 3:
    members[name] = _another_array(rng, arrays[name.removesuffix(".npy")])
  else:
    return _another_zip(rng, members, name)
  return npz(members.items(), _method(rng))


def _method(rng):
  often = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) * 4
  return rng.choice((*often, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))


def _another_head(rng, content):
  """An .npy file whose head says something else of the same values."""
  length = int.from_bytes(content[8:10], "little")
  head, values = content[10 : 10 + length].decode(), content[10 + length :]
  way = rng.randrange(4)
  if way == 0:
    head = re.sub(
      r"'descr': '[^']*'", f"'descr': '{rng.choice(_DTYPES)}'", head
    )
  elif way == 1:
    shape = rng.choice(_SHAPES)
    head = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {shape}", head)
  elif way == 2:
    head = head.replace("False", rng.choice(("True", "1", "None", "'no'")))
  else:
    head = rng.choice(_HEADS)
  text = head.encode("utf-8")
  version = rng.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\0\0", b"\1\1"))
  size = struct.pack("<H" if version[0] < 2 else "<I", len(text))
  return content[:6] + version + size + text + values


def _another_array(rng, array):
  """An .npy file of the same numbers in another way, or of others."""
  ways = (
    lambda: npy(array, order="F"),
    lambda: npy(array.astype(array.dtype.newbyteorder(">"))),
    lambda: npy(array.astype(rng.choice(("f2", "f8", "i1", "u2", ">i4", "?")))),
    lambda: npy(array.astype(rng.choice(("U5", "S5", ">U7")))),
    lambda: npy(array.astype("c8")),
    lambda: npy(array.astype(object)),
    lambda: npy(np.zeros(len(array), [("a", "f4"), ("b", "O")])),
    lambda: npy(array[: rng.randrange(len(array) + 1)]),
    lambda: npy(array[..., None]),
    lambda: npy(array.reshape(-1)),
    lambda: npy(np.where(array == array.max(), np.nan, array)),
    lambda: npy(np.full(array.shape, rng.choice((np.inf, -1e300, 3e38)))),
    lambda: npy(np.datetime64("2020-01-01") + array.astype("i8")),
  )
  return rng.choice(ways)()


def _another_zip(rng, members, name):
  """A zip file in which one member is not what it should be."""
  content = members[name]
  whole = npz(members.items())
  ways = (
    lambda: npz([*members.items(), (name, content)]),
    lambda: npz([*members.items(), (name.removesuffix(".npy"), content)]),
    lambda: npz([(rng.choice(("../", "/", "a/", "./", "\\")) + n, c)
                 for n, c in members.items()]),
    lambda: npz([(n, npz([(n, c)])) for n, c in members.items()]),
    lambda: npz([("x_train.npy/", b""), *members.items()]),
    lambda: npz([]),
    lambda: npz([(n, c) for n, c in members.items() if n != name]),
    lambda: npz([*members.items(), ("\n\x1b[31m" * 50, b"")]),
    lambda: npz([*members.items(), *((f"a{i}", b"") for i in range(200))]),
    lambda: whole + whole,
    lambda: rng.randbytes(40) + whole,
    lambda: content,
    lambda: _patched(whole, name, 8, b"\1\0"),  # encrypted
    lambda: _patched(whole, name, 10, struct.pack("<H", rng.choice((1, 99)))),
    lambda: _patched(whole, name, 24, struct.pack("<I", 2**32 - 2)),
    lambda: _patched(whole, name, 20, struct.pack("<I", 7)),
    lambda: _patched(whole, name, 16, rng.randbytes(4)),  # another checksum
    lambda: npz([*members.items(), (name, b"")]).replace(b"x_val", b"x_va2"),
  )  # fmt: skip
  return rng.choice(ways)()


def _patched(whole, name, offset, value):
  """A zip file whose list says something else of a member."""
  content = bytearray(whole)
  at = whole.rindex(name.encode()) - 46 + offset
  content[at : at + len(value)] = value
  return bytes(content)


def damaged_table(rng, text):
  """A CSV file's bytes that are damaged, odd or in another code."""
  way = rng.randrange(4)
  if way == 0:
    return damaged(rng, text.encode())
  lines = text.splitlines()
  at = rng.randrange(len(lines))
  cells = lines[at].split(",")
  if way == 1:
    cells[rng.randrange(len(cells))] = rng.choice(_CELLS)
    lines[at] = ",".join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")
  if way == 2:
    code = rng.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig"))
    end = rng.choice(("\n", "\r\n", "\r", "\n\n", "\r\r\n"))
    return (end.join(lines) + "é" * rng.randrange(2)).encode(code)
  ways = (
    lambda: lines[:at] + ["," * (len(cells) - 1)] + lines[at:],
    lambda: lines[:at] + [""] * 3 + ["  "] + lines[at:],
    lambda: lines[:at] + [",".join(cells[:-1])] + lines[at:],
    lambda: lines[:at] + [",".join([*cells, "1"])] + lines[at:],
    lambda: [line.replace(",", rng.choice(";\t| ")) for line in lines],
    lambda: [line + "," for line in lines],
    lambda: lines[:at] + ["1," * 200_000] + lines[at:],
    lambda: lines[:at] + ['"' + "1" * 200_000 + '"'] + lines[at:],
    lambda: ['"' + line.replace(",", '","') + '"' for line in lines],
    lambda: [f"{i},{line}" for i, line in enumerate(lines)],
    lambda: ["a,b" if i == 0 else line for i, line in enumerate(lines)],
    lambda: lines[: rng.randrange(3)],
    lambda: lines[1:],
    lambda: lines[:1] + [line.rpartition(",")[0] + ",é" for line in lines[1:]],
  )
  return "\n".join(rng.choice(ways)()).encode()


def rng_of(seed):
  """A `random.Random` that gives the same in every Python."""
  return random.Random(f"files {seed}")
