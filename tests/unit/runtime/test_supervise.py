"""A service's programs: started in order, restarted when they crash, ended in reverse order, never left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nettrace.runtime.logs import Log
from nettrace.runtime.supervise import Program, Startup, Supervisor

PATIENCE_S = 60.0


def program(name: str, code: str, stage: int = 0, **options) -> Program:
    return Program(name=name, command=[sys.executable, "-S", "-c", code], stage=stage, **options)


def diary(path: Path, word: str, *, obedient: bool = True) -> str:
    """A program that notes when it starts and, if it obeys, when it is told to end."""
    write = f"open({str(path)!r}, 'a').write"
    end = f"lambda *_: ({write}('-{word}\\n'), sys.exit(0))" if obedient else "signal.SIG_IGN"
    return f"import signal, sys\nsignal.signal(15, {end})\n{write}('+{word}\\n')\nwhile True: signal.pause()"


def until(holds, supervisor: Supervisor | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited for too long"
        if supervisor is None:
            time.sleep(0.01)
        else:
            supervisor.watch(0.02)


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_programs_start_when_those_before_them_are_ready_and_end_before_them(tmp_path):
    book = tmp_path / "book"
    first = program("first", diary(book, "first"), 0, ready=lambda: "+first" in lines(book))
    second = program("second", diary(book, "second"), 1, ready=lambda: "+second" in lines(book))
    with Supervisor([second, first], Log("t", "text")) as supervisor:
        supervisor.start()
        assert lines(book) == ["+first", "+second"]
    assert lines(book) == ["+first", "+second", "-second", "-first"]


def test_one_that_crashes_is_started_again_and_it_is_said(tmp_path, capfd):
    book = tmp_path / "book"
    with Supervisor([program("it", diary(book, "it"))], Log("t", "text")) as supervisor:
        supervisor.start()
        until(lambda: lines(book) == ["+it"], supervisor)
        os.kill(supervisor.pids()["it"], signal.SIGKILL)
        until(lambda: lines(book) == ["+it", "+it"], supervisor)
    assert "child.ended name=it how=signal SIGKILL" in capfd.readouterr().err


def test_one_that_keeps_crashing_is_started_ever_more_rarely(tmp_path, capfd):
    said: list[str] = []

    def three() -> bool:
        said.extend(line for line in capfd.readouterr().err.splitlines() if "child.ended" in line)
        return len(said) >= 3

    with Supervisor([program("it", "raise SystemExit(1)")], Log("t", "text")) as supervisor:
        supervisor.start()
        until(three, supervisor)
    waits = [float(line.rpartition("=")[2]) for line in said]
    assert waits == [0.2 * 2**number for number in range(len(waits))]


def test_one_that_does_not_end_in_its_time_is_killed(tmp_path, capfd):
    book = tmp_path / "book"
    stubborn = program("it", diary(book, "it", obedient=False), end_s=0.1)
    with Supervisor([stubborn], Log("t", "text")) as supervisor:
        supervisor.start()
        until(lambda: lines(book) == ["+it"], supervisor)
        pid = supervisor.pids()["it"]
    assert "child.killed" in capfd.readouterr().err
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_ends_instead_of_starting_is_an_error_and_nothing_is_left(tmp_path):
    book = tmp_path / "book"
    good = program("good", diary(book, "good"), 0, ready=lambda: "+good" in lines(book))
    bad = program("bad", "raise SystemExit(3)", 1, ready=lambda: False)
    with pytest.raises(Startup, match="bad ended"), Supervisor([good, bad], Log("t", "text")) as supervisor:
        supervisor.start()
    assert lines(book) == ["+good", "-good"]


def test_one_that_is_never_ready_is_an_error():
    slow = program("slow", "import signal; signal.pause()", ready=lambda: False)
    with pytest.raises(Startup, match="not ready"), Supervisor([slow], Log("t"), start_s=0.2) as supervisor:
        supervisor.start()


def test_a_signal_during_the_start_ends_it_in_order(tmp_path):
    book = tmp_path / "book"

    def ready() -> bool:
        if "+it" in lines(book):
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    with Supervisor([program("it", diary(book, "it"), ready=ready)], Log("t")) as supervisor:
        supervisor.start()
        assert supervisor.ending
        supervisor.watch()
    assert lines(book) == ["+it", "-it"]


def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path):
    book = tmp_path / "book"
    child = diary(book, "child")
    code = (
        "import sys\nfrom nettrace.runtime.logs import Log\n"
        "from nettrace.runtime.supervise import Program, Supervisor\n"
        f"one = Program(name='c', command=[sys.executable, '-S', '-c', {child!r}], stage=0)\n"
        "with Supervisor([one], Log('t')) as supervisor:\n"
        "    supervisor.start()\n    print(supervisor.pids()['c'], flush=True)\n    supervisor.watch()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        until(lambda: lines(book) == ["+child"])
        process.kill()
    until(
        lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    )
    assert lines(book) == ["+child", "-child"]
