"""plot_schedule.py as its users run it."""

import json
import re
import subprocess
import sys

import pytest

import kernels
from cli import schedule_flags
from support import commands
from trainloop import recipes


def plot(*flags, cwd):
  return commands.forked(*flags, cwd=cwd, script="plot_schedule.py")


def imported(*flags, cwd):
  """The script in a process of its own, which lists what it imports."""
  script = commands.ROOT / "scripts" / "plot_schedule.py"
  return subprocess.run(
    [sys.executable, "-X", "importtime", str(script), *flags],
    cwd=cwd,
    timeout=120,
    capture_output=True,
    text=True,
    check=False,
  )


def test_presets_over_each_other(tmp_path):
  pytest.importorskip("matplotlib")
  done = plot(
    "--compare=torch,fastai,ktrain,optax",
    "--axis=log",
    "--output=cycles.png",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  lines = done.stdout.splitlines()
  assert lines[-1] == "wrote cycles.png"
  assert lines[-5:-1] == ["* torch", "o fastai", "+ ktrain", "x optax"]
  assert "momentum" in lines
  png = (tmp_path / "cycles.png").read_bytes()
  assert png.startswith(b"\x89PNG") and len(png) > 10_000


def test_one_schedule_from_durations_to_the_terminal(tmp_path):
  done = plot(
    "--schedule=cosine_restarts",
    "--cycle_len=1ep",
    "--cycle_mult=2",
    "--warmup=10%",
    "--epochs=10",
    "--steps_per_epoch=10",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  (ruler,) = [s for s in done.stdout.splitlines() if s.startswith("    cycles")]
  # Cycles of 10, 20 and 40 steps after a warmup of 10, on 72 columns.
  steps = [20, 40, 80]
  assert [i - 11 for i, sign in enumerate(ruler) if sign == "|"] == [
    step * 71 // 99 for step in steps
  ]
  assert list(tmp_path.iterdir()) == []


def test_every_kernel_has_a_flag(tmp_path):
  names = [name for name in schedule_flags.PARTS if name != "one_cycle"]
  done = plot(f"--compare={','.join(names)}", "--length=50%", cwd=tmp_path)
  assert done.returncode == 0, done.stderr[-2000:]
  legend = [line[2:] for line in done.stdout.splitlines()[-len(names) :]]
  assert legend == names
  every = {
    re.sub("(?<!^)([A-Z])", r"_\1", kind.__name__).lower()
    for kind in vars(kernels).values()
    if isinstance(kind, type) and issubclass(kind, kernels.Schedule)
  }
  # Warmup and Scaled are --warmup and --scale, on any of them; Combined is what
  # flags as --weight_decay_schedule make.
  kinds = every - {"schedule", "warmup", "scaled", "combined"}
  # fine_tune makes two recipes, one after another.
  made = set(recipes.__all__) - {"Recipe", "FineTuning", "fine_tune"}
  assert set(schedule_flags.USES) == kinds | made


# Makes the schedule of each list of flags, for 10 epochs of 10 steps.
MAKE = """
import sys, json
sys.path.insert(0, sys.argv[1])
from absl import flags
from cli import flag_rules, schedule_flags
schedule_flags.define()
from cli import schedule_makers
for given in json.loads(sys.argv[2]):
  flags.FLAGS.unparse_flags()
  for flag in flags.FLAGS.flags_by_module_dict()["cli.schedule_flags"]:
    flag.unparse()
  flags.FLAGS(["make", *given])
  schedule_flags.check()
  print(schedule_makers.make(0.1, 10, 100))
"""
MADE = {
  "--schedule=product --parts=cosine,step_decay --length=50% --floor_lr=0.01 "
  "--drop_every=3ep --drop=0.5": "Product([Cosine(0.1, 50, 0.01), "
  "StepDecay(1.0, 0.5, 30)])",
  "--schedule=product --parts=cosine_restarts,one_cycle,triangular "
  "--momentum_range=0.9,0.8": "Product([CosineRestarts(0.1, 10, "
  "round_to=10, momentum=(0.9, 0.8)), OneCycle(1.0, 100, momentum=None), "
  "Triangular(0.1, 1.0, 5, 5)])",
  "--schedule=exponential": "Exponential(0.1, 10, 0.5)",
  "--schedule=exponential --floor_lr=0.01": "Exponential(0.1, 10, 0.5, "
  "end_lr=0.01)",
  "--schedule=cosine --warmup=10%": "Warmup(Cosine(0.1, 90), 10)",
  "--schedule=cosine --warmup=10% --nowarmup_shift": "Warmup(Cosine(0.1, "
  "100), 10, shift=False)",
  "--schedule=join --parts=cosine,constant --boundaries=20% --length=50%": (
    "Join([Cosine(0.1, 20), Constant(0.1)], [20])"
  ),
}


def test_what_flags_make():
  listed = json.dumps([flags.split() for flags in MADE])
  done = subprocess.run(
    [sys.executable, "-c", MAKE, str(commands.ROOT / "scripts"), listed],
    timeout=120,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  made = [eval(one, vars(kernels)) for one in done.stdout.splitlines()]
  assert made == [eval(one, vars(kernels)) for one in MADE.values()]


BAD = [
  (["--schedule=product", "--parts=cosine"], "--parts must name two schedules"),
  (["--schedule=product"], "--parts must name two schedules"),
  (["--nowarmup_shift"], "--warmup_shift needs --warmup in front"),
  (
    ["--schedule=warmup_cosine", "--warmup=10%", "--nowarmup_shift"],
    "--warmup_shift needs --warmup in front",
  ),
  (["--compare=torch,pytorch"], "compare=torch,pytorch"),
  (["--compare=cosine", "--schedule=linear"], "--schedule has no effect"),
  (["--compare=cosine,linear", "--cycle_mult=2"], "--cycle_mult has no effect"),
  (["--schedule=linear", "--cycle_mult=2"], "--cycle_mult has no effect"),
  (["--initial_lr=0.1"], "--initial_lr needs --warmup"),
  (["--axis=cubic"], "axis=cubic"),
  (["--epochs=0"], "epochs=0"),
  (["--schedule=step_decay", "--drop_every=1"], "drop_every=1"),
]


@pytest.mark.parametrize(
  ("flags", "names"), BAD, ids=[" ".join(c[0]) for c in BAD]
)
def test_bad_flags_are_refused_before_tensorflow(tmp_path, flags, names):
  done = imported(*flags, cwd=tmp_path)
  assert done.returncode == 2 and " tensorflow" not in done.stderr
  (line,) = commands.error_lines(done)
  assert names in line and "Traceback" not in done.stderr


def test_what_can_not_be_made_or_written_is_one_line(tmp_path):
  long = ("--schedule=warmup_stable_decay", "--warmup=90%")
  done = plot(*long, cwd=tmp_path)
  assert done.returncode == 2
  (line,) = commands.error_lines(done)
  assert "`stable_steps` must be" in line and "Traceback" not in done.stderr
  done = plot("--output=missing/cycle.png", cwd=tmp_path)
  assert done.returncode == 2
  (line,) = commands.error_lines(done)
  assert "--output must be a file in a folder that is there" in line


def test_help_without_tensorflow(tmp_path):
  done = imported("--help", cwd=tmp_path)
  assert done.returncode == 0 and " tensorflow" not in done.stderr
  for name in ("schedule", "compare", "axis", "cycle_mult", "decay_len"):
    assert f"--{name}:" in done.stdout or f"--[no]{name}:" in done.stdout
