"""Print pip's settings as the shell exports that make uv use the same indexes: uv reads neither
pip.conf nor PIP_* variables.

usage: python -m pip config list | python pip_to_uv.py
"""

import ast
import shlex
import sys

# pip's setting, uv's variable, and what uv wants between several values.
NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "cert": ("SSL_CERT_FILE", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}


def strength(line):
    """Sort key of a line: `global` is overruled by a command's section, both by a variable."""
    section = line.partition(".")[0]
    return (section == ":env:", section != "global")


def read_settings(lines):
    """Return what pip would go by, as a dictionary by name."""
    settings = {}
    for line in sorted(lines, key=strength):
        key, _, value = line.strip().partition("=")
        settings[key.rpartition(".")[2]] = ast.literal_eval(value)
    return settings


for name, value in read_settings(sys.stdin).items():
    if name in NAMES:
        variable, separator = NAMES[name]
        print(f"export {variable}={shlex.quote(separator.join(value.split()))}")
