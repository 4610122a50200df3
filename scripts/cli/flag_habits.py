"""Flags that others have: the one that is meant here."""

import itertools
import re

from absl import flags

_MEANT = {
  "--peak_lr=0.1": "lr learning_rate max_lr base_lr",
  "--batch_size=32": "batch bs minibatch train_batch_size",
  "--epochs=20": "epoch n_epochs num_epochs max_epochs num_train_epochs",
  "--workdir=FOLDER, where the same command goes on": "resume restore_from "
  "resume_from checkpoint ckpt continue",
  "--workdir=FOLDER": "log_dir logdir out output output_dir save_dir "
  "model_dir checkpoint_dir save",
  "--strategy=one_device (auto takes the GPUs that are there)": "gpu gpus cuda "
  "device devices num_gpus n_gpu",
  "--data_path=FILE": "data data_dir dataset_path train_file input csv",
  "--validation_fraction=0.2": "val_split validation_split test_size",
  "--early_stopping=5": "patience early_stop",
  "--mixed_precision=bfloat16": "fp16 bf16 amp precision",
  "--schedule=one_cycle": "scheduler lr_scheduler lr_schedule",
  "--clip_norm=1": "clip clipnorm grad_clip max_grad_norm gradient_clip",
  "--accumulate=2": "grad_accum gradient_accumulation_steps accumulation",
  "--verbosity=-1": "quiet silent verbose",
  "--compile=xla": "xla jit",
  "--dry_run": "dry dryrun plan",
}


def refuse_swallowed(argv):
  """Refuses a flag without its value that would take the next flag for it.

  Raises:
    flags.Error: in one line, for the first.
  """
  for one, following in itertools.pairwise(argv):
    name = _name_of(one)
    known = name in flags.FLAGS and not flags.FLAGS[name].boolean
    if "=" not in one and known and _name_of(following):
      rule = f"--{name} needs a value: --{name}=VALUE"
      raise flags.Error(f"{rule}; got {following!r} behind it")


def meant(error):
  """The text of absl's error for a flag that is not there, with what is meant.

  Args:
    error: a `flags.UnrecognizedFlagError`.
  """
  name = error.flagname.removeprefix("no")
  for flag, others in _MEANT.items():
    there = re.match(r"--(\w+)", flag)[1] in flags.FLAGS
    if there and name in others.split():
      return f"there is no flag --{error.flagname}: write {flag}"
  return str(error)


def _name_of(word):
  """The name of a flag, "" for other words; of `--no...` its own name."""
  match = re.match(r"--?([A-Za-z]\w*)", word)
  return match[1] if match else ""
