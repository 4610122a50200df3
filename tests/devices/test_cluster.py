"""What describes the workers is checked before anybody waits."""

import json

import pytest

import trainloop
from trainloop.devices import cluster

TWO = ["127.0.0.1:5001", "127.0.0.1:5002"]


def config(workers=TWO, kind="worker", index=0, **jobs):
  task = {"type": kind, "index": index}
  return {"cluster": {"worker": workers, **jobs}, "task": task}


BAD = {
  "no JSON": ("{'cluster': 1}", "must be JSON"),
  "cut off": ('{"cluster": {"worker": [', "must be JSON"),
  "a list": ("[]", "a JSON object"),
  "cluster a list": ({"cluster": TWO}, "`TF_CONFIG cluster` must be a JSON"),
  "no task": ({"cluster": {"worker": TWO}}, "task type"),
  "task a word": (
    {"cluster": {"worker": TWO}, "task": "worker"},
    "`TF_CONFIG task` must be a JSON",
  ),
  "unknown type": (config(kind="boss"), "one of worker"),
  "not in cluster": (config(kind="chief"), "one of worker"),
  "index past the end": (config(index=2), "<= 1; got 2"),
  "index negative": (config(index=-1), ">= 0"),
  "index a word": (config(index="0"), "an integer"),
  "index a bool": (config(index=True), "an integer"),
  "index missing": (config(index=None), "an integer"),
  "port too high": (config(["a:70000", "b:1"]), "from 1 to 65535"),
  "port 0": (config(["a:0", "b:1"]), "from 1 to 65535"),
  "port a word": (config(["a:http", "b:1"]), "host:port"),
  "no port": (config(["a", "b:1"]), "host:port"),
  "no host": (config([":5000", "b:1"]), "host:port"),
  "a URL": (config(["http://a:5000", "b:1"]), "host:port"),
  "a number": (config([5000, "b:1"]), "host:port"),
  "twice": (config(["a:5000", "a:5000"]), "its own"),
  "twice, by two names": (config(["localhost:9", "127.0.0.1:9"]), "its own"),
  "no workers": (config([]), "at least one"),
  "workers a word": (config("a:5000"), "a list of host:port"),
  "two chiefs": (config(chief=["c:1", "d:1"]), "one address"),
  "parameter server": (config(ps=["p:1"]), "without parameter servers"),
  "ps task": (config(kind="ps"), "without parameter servers"),
  "evaluator": (config(kind="evaluator"), "without an evaluator"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_tf_config_is_one_line(case):
  given, said = BAD[case]
  text = given if isinstance(given, str) else json.dumps(given)
  with pytest.raises(ValueError) as caught:
    cluster.from_tf_config(text)
  assert said in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_chief_counts_as_worker_0():
  found = cluster.from_tf_config(json.dumps(config(TWO, chief=["c:1"])))
  assert (found.workers, found.index) == (("c:1", *TWO), 1)
  found = cluster.from_tf_config(
    json.dumps(config(TWO, "chief", chief=["c:1"]))
  )
  assert found.index == 0


def test_flags_before_tf_config_before_slurm(monkeypatch):
  assert cluster.find() is None
  for name, value in slurm().items():
    monkeypatch.setenv(name, value)
  assert cluster.find().workers == ("n1:8888", "n1:8889", "n2:8888")
  monkeypatch.setenv("TF_CONFIG", json.dumps(config(index=1)))
  assert cluster.find() == trainloop.Cluster(TWO, 1)
  assert cluster.find(["a:1", "b:2"], 0).workers == ("a:1", "b:2")
  with pytest.raises(ValueError, match="worker_index"):
    cluster.find(["a:1", "b:2"])


def slurm(nodes="n[1-2]", tasks="2,1", rank="2", count="3"):
  return {
    "SLURM_STEP_NODELIST": nodes,
    "SLURM_STEP_TASKS_PER_NODE": tasks,
    "SLURM_STEP_NUM_TASKS": count,
    "SLURM_PROCID": rank,
  }


def test_slurm(monkeypatch):
  for name, value in slurm().items():
    monkeypatch.setenv(name, value)
  assert cluster.from_slurm().index == 2
  monkeypatch.setenv("SLURMD_NODENAME", "n1")
  with pytest.raises(ValueError, match="sort as text as by number"):
    cluster.from_slurm()
  monkeypatch.delenv("SLURM_STEP_NODELIST")
  with pytest.raises(ValueError, match="those of a Slurm step"):
    cluster.from_slurm()
