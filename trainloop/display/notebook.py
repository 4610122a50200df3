"""What a notebook shows of a result: a picture, or a line of text.

Jupyter asks an object for `_repr_png_`, and shows its `repr` where that gives
None.
"""

import io

from trainloop.display import figures

_DPI = 72  # as a notebook's own figures: a picture is 576 pixels wide
_COLORS = 64  # lines need no more, and a notebook keeps all its pictures


def png(draw):
  """A figure as PNG, bytes; None where there is no matplotlib.

  Args:
    draw: makes the figure; matplotlib may be imported first in it.
  """
  whole, small = io.BytesIO(), io.BytesIO()
  try:
    figures.save(draw(), whole, _DPI)
    from PIL import Image  # which matplotlib needs, too
  except ImportError:
    return None
  picture = Image.open(whole).convert("RGB").quantize(_COLORS)
  picture.save(small, "png", optimize=True)
  return small.getvalue()


def text(kind, *parts):
  """A `repr` of one line, without the parts that are empty."""
  return f"<{kind}: {'; '.join(filter(None, parts))}>"


def numbers(values):
  """{name: number} in words; a number that is not there is nan."""
  return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
