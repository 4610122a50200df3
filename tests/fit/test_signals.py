"""Signals inside this process, and what fit does when it is asked to stop."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import trainloop
from support import interruption, reruns, resumable, small, workdirs


@pytest.mark.parametrize(
  ("number", "code"),
  [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
)
def test_a_signal_asks_to_stop(number, code):
  before = signal.signal(number, signal.SIG_DFL)  # under nohup, too
  try:
    asked_to_stop(number, code)
  finally:
    signal.signal(number, before)


def asked_to_stop(number, code):
  asked, before = threading.Event(), signal.getsignal(number)
  with trainloop.StopOnSignals(asked.set) as caught:
    assert caught.exit_code == 0
    os.kill(os.getpid(), number)
    assert asked.wait(5) and caught.exit_code == code
  assert signal.getsignal(number) is before


def test_outside_the_main_thread_it_is_refused_and_nothing_changes():
  told, before = [], signal.getsignal(signal.SIGTERM)
  files = len(os.listdir("/proc/self/fd"))

  def enter():
    with pytest.raises(ValueError, match="in the main thread") as caught:
      trainloop.StopOnSignals(lambda: None).__enter__()
    told.append(str(caught.value))

  thread = threading.Thread(target=enter, name="worker")
  thread.start()
  thread.join()
  assert told[0].endswith("got 'worker'") and "\n" not in told[0]
  assert signal.getsignal(signal.SIGTERM) is before
  assert len(os.listdir("/proc/self/fd")) == files


def test_what_nohup_ignores_stays_ignored():
  code, _ = run(
    "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    "with signals.StopOnSignals(lambda: os._exit(9)):\n"
    "  os.kill(os.getpid(), signal.SIGHUP)\n  time.sleep(0.3)\n"
  )
  assert code == 0


def run(code):
  """Runs code in a new process that has a handler; its exit code."""
  head = "import os, signal, time\nfrom trainloop.fit import signals\n"
  done = subprocess.run(
    [sys.executable, "-c", head + code], capture_output=True, check=False
  )
  return done.returncode, done.stderr.decode().splitlines()[-1:]


@pytest.mark.parametrize(
  ("body", "why"),
  [
    ("os.kill(os.getpid(), 15)\n  " * 2, "again"),
    ("os.kill(os.getpid(), 15)\n  ", "0.2 s ago"),
  ],
)
def test_a_second_signal_or_the_grace_time_ends_the_process(body, why):
  options = "0.2" if "ago" in why else "60"
  code, told = run(
    f"with signals.StopOnSignals(lambda: None, {options}):\n"
    f"  {body}time.sleep(30)\n"
  )
  assert (code, told) == (143, [f"signal {why}: exit without saving"])


def test_a_bad_grace_is_refused():
  with pytest.raises(ValueError, match="`grace` must be a finite number > 0"):
    trainloop.StopOnSignals(print, grace=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("whole")
  loop = resumable.make(workdir)
  resumable.fit(loop)
  return loop, workdirs.series(workdir)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """The same run in many workdirs, by a loop that is traced once."""
  stopping = trainloop.EarlyStopping("val_loss", patience=3)
  folder = tmp_path_factory.mktemp("runs")
  return reruns.Reruns(folder, early_stopping=stopping)


# Windows end at 5 7 8 13 ...: 2 ends at a checkpoint and 3 at a validation,
# which are then still to come; 4 has an epoch's end inside.
@pytest.mark.parametrize("windows", [0, 1, 2, 3, 4])
def test_a_stopped_fit_goes_on_byte_for_byte(runs, whole, windows):
  workdir, loop, ends = runs.new(), runs.loop, []

  def stop(edge):
    ends.append(edge.done)
    if len(ends) == windows:
      loop.stop()

  if not windows:
    loop.stop()
  with interruption.windows(after=stop):
    history = runs.fit(workdir)
  assert history.stop_reason == "preempted"
  step = loop.global_step
  assert step == [0, 5, 7, 8, 13][windows] == len(history.rows["step"])
  history = runs.fit(workdir)
  assert loop.resumed_from == [step] and history.stop_reason == "completed"
  assert small.state_of(loop) == small.state_of(whole[0])
  assert workdirs.series(workdir) == whole[1]


def test_the_same_process_goes_on_too(tmp_path, whole):
  loop = resumable.make(tmp_path)
  timer = threading.Timer(0.3, loop.stop)
  timer.start()
  while resumable.fit(loop).stop_reason == "preempted":
    time.sleep(0)
  timer.join()
  assert small.state_of(loop) == small.state_of(whole[0])
  assert workdirs.series(tmp_path) == whole[1]


def test_without_a_workdir_the_next_fit_goes_on_from_there():
  loop = small.loop(steps_per_loop=5)
  loop.stop()
  assert loop.fit(small.data(), 1).stop_reason == "preempted"
  assert loop.global_step == 0
  assert loop.fit(small.data(), 1).stop_reason == "completed"
