"""What a workdir remembers of a fit: to JSON and back, compared, replanned."""

import dataclasses
import json

import pytest

from trainloop.base import strict_json
from trainloop.workdir.fit_entry import FitEntry, Lengths, Origin, Terms
from trainloop.workdir.fit_log import FitLog

HISTORY = {"stop_reason": None, "epochs": [], "validated": {}, "handled": 24}
EVERY = {"validate": "1ep", "checkpoint": "50%"}


def terms(epochs=2, **identity):
  lengths = Lengths.of(epochs, 12, EVERY)
  known = {"data_crc32": 7, "epochs": epochs, "schedule": {"kind": "A"}}
  return Terms(lengths, "auto", "graph", {**known, **identity})


def entry(**fields):
  return FitEntry(terms(), Origin(24, 2, 12), dict(HISTORY), **fields)


def test_durations_become_steps():
  lengths = Lengths.of(2, 12, {**EVERY, "histograms": "5st"})
  assert lengths == (2, 12, 12, 12, 5) and lengths.updates == 24
  with pytest.raises(ValueError, match="`validate_every` must be"):
    Lengths.of(2, 12, {**EVERY, "validate": "1%"})


@pytest.mark.parametrize(
  ("every", "names"),
  [
    ({"validate": "24st", "checkpoint": "2ep", "histograms": "100%"}, []),
    ({"validate": "25st", "checkpoint": "1ep"}, ["validate_every"]),
    ({"validate": "1ep", "checkpoint": "2.1ep"}, ["checkpoint_every"]),
    ({**EVERY, "histograms": "101%"}, []),  # 24.24 steps, rounded
    ({**EVERY, "histograms": "120%"}, ["histograms_every"]),
  ],
)
def test_durations_longer_than_a_fit_are_named(every, names):
  lengths = Lengths.of(2, 12, every)
  assert list(lengths.never_due()) == names
  assert all(steps > 24 for steps in lengths.never_due().values())


FIELDS = {
  "new": {},
  "finished": {"finished": True},
  "with a session": {"session": "fit_3_from_24"},
}


@pytest.mark.parametrize("fields", FIELDS)
def test_an_entry_comes_back_from_json(fields):
  first = entry(**FIELDS[fields])
  text = strict_json.dumps(first.to_json())
  assert FitEntry.from_json(json.loads(text)) == first
  log = FitLog([first, entry()], [5, 24], ["replanned"], 1.5)
  text = strict_json.dumps({"version": 5, "step": 7, **log.to_json()})
  assert FitLog.from_json(json.loads(text)) == log


def test_an_epoch_ends_where_its_steps_are_done():
  ends = {step: entry().epoch_of(step) for step in (24, 30, 36, 47, 48)}
  assert ends == {24: 2, 30: None, 36: 3, 47: None, 48: 4}
  assert FitEntry(terms(), Origin(0, 0, 0), HISTORY).epoch_of(0) is None


def test_a_plan_is_that_of_origin_and_lengths():
  plan = entry().plan(cuts=(30,))
  assert (plan.start, plan.end, plan.first_epoch) == (24, 48, 2)
  assert (plan.schedule_start, plan.cuts) == (12, (30,))


OTHERS = {
  "another schedule": ({"schedule": {"kind": "B"}}, "`schedule` must be 'A'"),
  "another length": ({"epochs": 3}, "`epochs` must be 2"),
  "other data": ({"data_crc32": 8}, "`data_crc32` must be 7"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_log_refuses_a_fit_of_other_terms(name):
  changed, match = OTHERS[name]
  log = FitLog([entry(), entry()])
  for index in (0, 1):
    with pytest.raises(ValueError, match=match) as refused:
      log.find(index, terms(**changed), "runs/a")
    # It is suggested where it would do: for the last fit, if no more differs.
    suggested = "or replan" in str(refused.value)
    assert suggested == (index == 1 and name != "other data")
  with pytest.raises(ValueError, match=match):  # only the last is replanned
    log.find(0, terms(**changed), "runs/a", replans=True)
  if name == "other data":
    with pytest.raises(ValueError, match=match):
      log.find(1, terms(**changed), "runs/a", replans=True)
  else:
    assert log.find(1, terms(**changed), "a", replans=True) is log.fits[1]
  assert log.find(1, terms(), "runs/a") is log.fits[1]
  assert log.find(2, terms(**changed), "runs/a") is None


def test_what_is_only_looked_at_may_change():
  first, now = entry(), terms(histograms_steps=5)
  lengths = now.lengths._replace(histograms_steps=5)
  now = dataclasses.replace(now, lengths=lengths)
  assert FitLog([first]).find(0, now, "runs/a") is first
  first.update_display(now)
  assert first.terms == now
  first.update_display(terms())
  assert first.terms == terms()


def test_replan_takes_lengths_and_identity_together():
  first = entry(finished=True)
  first.history["stop_reason"] = "completed"
  assert first.replan(terms(), 48) == "" and first.finished
  note = first.replan(terms(3), 48)
  assert note == "replanned from step 48: epochs: 2 -> 3"
  assert first.terms.lengths.updates == 36 and not first.finished
  with pytest.raises(ValueError, match="`epochs` must be at least 2, because"):
    first.replan(terms(1), 37)
