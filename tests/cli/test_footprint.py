"""What a program and everything it started take."""

import os
import subprocess
import sys

from nettrace.cli.footprint import Footprint, family


def test_children_and_their_children_belong_to_it():
    code = "import subprocess, sys; p = subprocess.Popen(['cat'], stdin=subprocess.PIPE); print(p.pid, flush=True); sys.stdin.read()"
    command = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        assert {os.getpid(), process.pid, grandchild} <= set(family(os.getpid()))
        assert Footprint(process.pid).take().startswith("2 processes, ")
        process.communicate("")


def test_one_that_is_gone_takes_nothing():
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
        assert Footprint(process.pid).take().startswith("1 process, 0 MB, 0 %")
