"""How a process that computes is set up."""

import subprocess
import sys

from core.config import ROOT

COUNT = """
import torch
from core import hardware
hardware.set_up_torch(threads=2)
print(torch.get_num_threads(), int(((torch.full((4_000_000,), 1e-39) * 1.0) != 0).sum()))
"""


def test_numbers_that_slow_a_cpu_down_count_as_zero_in_every_thread() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "0"]
