"""Whether two versions of the code train to the same bytes.

  python scripts/experiments/run_hashes.py --code=OLD_CHECKOUT --output=old.csv
  python scripts/experiments/run_hashes.py --output=new.csv
  diff old.csv new.csv

Trains a fixed set of small runs on scikit-learn's digits and prints a line
for each: its name, and SHA-256 of its weights, of its rows, and of the points
in its event files. On one machine the same code gives the same table, and
"resumed", whose process is killed on its way, the line of "whole".
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import parent  # noqa: F401
from absl import app, flags

import launch_workers
from cli import flag_rules
from cli.light import output, strict_json

FLAGS = flags.FLAGS
_HERE = pathlib.Path(__file__).resolve().parent
# Known here so that a wrong name is refused before TensorFlow is imported.
NAMES = (
  "sgd_graph",
  "sgd_xla",
  "adam_graph",
  "adam_xla",
  "judged_graph",
  "judged_xla",
  "histograms",
  "float16",
  "accumulate",
  "dataset",
  "whole",
  "resumed",
  "two_replicas",
  "two_workers",
)
_OWN_PROCESS = ("resumed", "two_replicas", "two_workers")


def define_flags():
  """Defines all flags of the script."""
  flags.DEFINE_string(
    "code",
    str(_HERE.parent.parent),
    "checkout whose packages train; unset: the one this script stands in",
  )
  flag_rules.names("runs", ",".join(NAMES), "runs to train", NAMES)
  flag_rules.integer("seed", 0, "of the runs [any integer]", 0)
  flags.DEFINE_string("output", None, "CSV file to write; unset: none")
  flag_rules.show_in_help()


def start(folder, names, worker=None, workers=()):
  """Starts a process that trains some runs below a folder."""
  command = [sys.executable, str(_HERE / "hashed_runs.py")]
  environment = {**os.environ, "PYTHONPATH": os.path.abspath(FLAGS.code)}
  if workers:
    task = {"type": "worker", "index": worker}
    config = {"cluster": {"worker": workers}, "task": task}
    environment["TF_CONFIG"] = strict_json.dumps(config)
  return subprocess.Popen(
    [*command, folder, str(FLAGS.seed), *names],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def end(process, names, code=0):
  """The table's lines of a process, which must end with an exit code."""
  lines, errors = process.communicate()
  if process.returncode != code:
    flag_rules.stop(f"{', '.join(names)}: {errors.strip()[-2000:]}", code=1)
  words = [line.split(" ") for line in lines.splitlines()]
  # Warnings of the loop stand between them.
  return [line for line in words if line[0] in names]


def lines_of(folder, names):
  """Trains runs of one process, or one run of several."""
  if names == ["two_workers"]:
    workers = launch_workers.addresses(2)
    processes = [start(folder, names, i, workers) for i in range(2)]
    chief, _ = [end(process, names) for process in processes]
    return chief
  if names == ["resumed"]:
    end(start(folder, names), names, -signal.SIGKILL)
  return end(start(folder, names), names)


def table():
  """[[run, weights, rows, event points]] of the runs that are asked for."""
  names = flag_rules.split(FLAGS.runs)
  groups = [[name for name in names if name not in _OWN_PROCESS]]
  groups += [[name] for name in names if name in _OWN_PROCESS]
  with tempfile.TemporaryDirectory() as folder:
    return [line for each in groups if each for line in lines_of(folder, each)]


def main(argv):
  del argv
  flag_rules.check_output()
  for package in ("kernels", "trainloop"):
    if not os.path.isfile(os.path.join(FLAGS.code, package, "__init__.py")):
      flag_rules.stop(f"--code={FLAGS.code} has no package {package}")
  lines = ["run,weights,rows,event points"]
  lines += [",".join(line) for line in table()]
  text = "\n".join(lines)
  output.line(text)
  if FLAGS.output:
    pathlib.Path(FLAGS.output).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
  define_flags()
  app.run(main, flags_parser=flag_rules.parse)
