"""A pytest plugin for where everything is there: a skipped test fails the run.

pytest -p tests.no_skips
"""

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turns success into failure if anything was skipped; `-ra` lists what and why."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", ()))
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"\n{skipped} skipped: here every test must run", red=True)
