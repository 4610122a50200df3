"""What the README files show: their blocks, commands and names of files."""

import dataclasses
import re
import shlex

from support import commands

ROOT = commands.ROOT
PATHS = [
  str(path.relative_to(ROOT))
  for path in (
    ROOT / "README.md",
    *sorted(ROOT.glob("*/README.md")),
    *sorted(ROOT.glob("scripts/*/README.md")),
    *sorted(ROOT.glob("trainloop/*/README.md")),
    ROOT / "trainloop" / "PORTING.md",
  )
]
_BLOCK = re.compile(
  r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?"
  r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
  re.DOTALL | re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Block:
  """A fenced block: its language, its text, why it is not run, or None."""

  language: str
  text: str
  reason: str | None


def text(path):
  """A document's text."""
  return (ROOT / path).read_text()


def blocks(path, language=None):
  """The blocks of a document, of one language or of all."""
  found = [Block(m["language"], m["text"], m["reason"])
           for m in _BLOCK.finditer(text(path))]  # fmt: skip
  return [b for b in found if language in (None, b.language)]


def script(path):
  """The Python blocks that are run, one after another."""
  return "\n".join(b.text for b in blocks(path, "python") if not b.reason)


def commands(path):
  """The commands of the bash blocks that are run, as lists of words."""
  lines = [
    line
    for block in blocks(path, "bash")
    if not block.reason
    for line in block.text.replace("\\\n", " ").splitlines()
  ]
  split = [shlex.split(line, comments=True) for line in lines]
  return [words for words in split if words]


def named(path):
  """[(script, flag names)] of each command for a script, in blocks and text."""
  whole = _BLOCK.sub("", text(path))
  inline = re.findall(r"`((?:python|bash|srun)\s[^`]*)`", whole)
  lines = [" ".join(line.split()) for line in inline]
  lines += [" ".join(words) for words in commands(path)]
  found = []
  for line in lines:
    for part in re.split(r" -- ", line):
      match = re.search(r"scripts/([\w/]+)\.(py|sh)\b(.*)", part)
      if match and match[1] not in ("test", "tensorboard_picture"):
        flags = re.findall(r"(?:^|\s)--(\w+)", match[3])
        found.append((f"{match[1]}.py", flags))
  return found
