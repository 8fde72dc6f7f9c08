"""What all tests share: in CI a skip nobody expected is a failure, so a green run means the tests ran."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(
    "untimed"
)  # no timed asserts: hypothesis fails an example for 200 ms of a busy machine's time

EXPECTED = Path(__file__).with_name("expected_skips.txt")


def pytest_configure(config: pytest.Config) -> None:
    """Programs that tests start hear Ctrl-C, even where a shell that runs the tests in the background has turned it off."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if any(item.iter_markers("root")) and os.geteuid() != 0:
        pytest.skip("needs root")
    for marker in item.iter_markers("tool"):
        for name in marker.args:
            if shutil.which(name) is None:
                pytest.skip(f"needs the program {name} (apt install)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    unexpected = _unexpected_skips(terminalreporter)
    if unexpected and os.environ.get("NETTRACE_CI"):
        terminalreporter.write_sep(
            "=", "skips nobody expected (list them in tests/expected_skips.txt or mend CI)", red=True
        )
        for line in unexpected:
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if (
        os.environ.get("NETTRACE_CI")
        and isinstance(reporter, pytest.TerminalReporter)
        and _unexpected_skips(reporter)
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unexpected_skips(reporter: pytest.TerminalReporter) -> list[str]:
    allowed = [
        line.strip()
        for line in EXPECTED.read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    reasons = [
        f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}"
        for report in reporter.stats.get("skipped", [])
    ]
    return [reason for reason in reasons if not any(part in reason for part in allowed)]
