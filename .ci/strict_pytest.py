"""pytest, but in CI a skipped test is a failure unless .ci/allowed_skips.txt names it.

A skip is how a test that can no longer run looks from outside, and nobody reads skips in a log.
The rule works on reports, in the process that prints them: so it holds under xdist too, whose
workers need not know of it.
"""

import os
import sys
from pathlib import Path

import pytest


def read_allowed(text):
    """Return the test id prefixes in `text`; a line without a reason is an error."""
    allowed = []
    for line in text.splitlines():
        prefix, _, reason = (part.strip() for part in line.partition("#"))
        if prefix and not reason:
            raise SystemExit(f"allowed_skips.txt: no reason given for {prefix}")
        if prefix:
            allowed.append(prefix)
    return tuple(allowed)


ALLOWED = read_allowed(Path(__file__).with_name("allowed_skips.txt").read_text("utf-8"))


def refuse_skip(report):
    """Turn the report of a skip that nobody allowed into that of a failure."""
    is_expected_failure = hasattr(report, "wasxfail")  # pytest reports xfail as a skip
    if report.skipped and not is_expected_failure and not report.nodeid.startswith(ALLOWED):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nA failure in CI: .ci/allowed_skips.txt doesn't name it."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_logreport(report):
    refuse_skip(report)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collectreport(report):
    refuse_skip(report)
    return (yield)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as `python -m pytest` has it: the tests don't see this folder
    plugins = [sys.modules[__name__]] if os.environ.get("CI") else []
    sys.exit(pytest.main(sys.argv[1:], plugins))
