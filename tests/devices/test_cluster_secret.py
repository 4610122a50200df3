"""Which files may hold the secret of a cluster, and who is let in."""

import os

import pytest

import trainloop
from trainloop.devices import cluster_secret, peers


def write(path, data=b"a secret\n", mode=0o600):
  path.write_bytes(data)
  path.chmod(mode)
  return path


def test_a_file_by_argument_or_environment(tmp_path, monkeypatch):
  monkeypatch.delenv(cluster_secret.VARIABLE, raising=False)
  assert cluster_secret.read() == b""
  one = write(tmp_path / "one")
  monkeypatch.setenv(cluster_secret.VARIABLE, str(one))
  assert cluster_secret.read() == b"a secret"
  other = write(tmp_path / "other", b"\x00\xffbytes", 0o440)
  assert cluster_secret.read(other) == b"\x00\xffbytes"
  monkeypatch.setenv(cluster_secret.VARIABLE, "")
  assert cluster_secret.read() == b""


def pipe(path):
  os.mkfifo(path, 0o600)
  return path


BAD = {
  "missing": (lambda path: path, "No such file"),
  "a folder": (lambda path: path.mkdir(0o700) or path, "a regular file"),
  "a pipe": (pipe, "a regular file"),
  "empty": (lambda path: write(path, b""), "1 to 65536 bytes"),
  "white": (lambda path: write(path, b" \n\n"), "1 to 65536 bytes"),
  "long": (lambda path: write(path, b"a" * 70_000), "1 to 65536 bytes"),
  "read by all": (lambda path: write(path, mode=0o644), "closed to other"),
  "written by all": (lambda path: write(path, mode=0o602), "closed to other"),
  "a number": (lambda path: 7, "the path of a file"),
  "no name": (lambda path: "", "the path of a file"),
  "a null": (lambda path: "a\0b", "a file that can be read"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_no_such_file_is_one_line_before_anybody_waits(tmp_path, case):
  make, said = BAD[case]
  given = make(tmp_path / "secret")
  cluster = trainloop.Cluster(["127.0.0.1:1", "127.0.0.1:2"], 1)
  with pytest.raises(ValueError) as caught:
    trainloop.strategy_for("multi_worker", cluster, 60, given)
  assert str(caught.value).startswith("`cluster_secret_file` must be ")
  assert said in str(caught.value) and "\n" not in str(caught.value)
  assert type(peers.current()) is peers.NoPeers


def test_the_environment_is_named(tmp_path, monkeypatch):
  monkeypatch.setenv(cluster_secret.VARIABLE, str(tmp_path / "secret"))
  with pytest.raises(ValueError, match=f"`{cluster_secret.VARIABLE}` must be"):
    cluster_secret.read()
