"""Check that the wheel and the sdist in a folder hold pycrumbs.py and nothing else to run.

usage: python check_dist.py FOLDER
"""

import sys
import tarfile
import zipfile
from pathlib import Path


def check(kind, names, expected):
    """Exit with a message unless exactly the `expected` names are there."""
    if set(names) != expected:
        sys.exit(f"the {kind} holds {sorted(names)}, not {sorted(expected)}")


folder = Path(sys.argv[1])
(wheel,) = folder.glob("*.whl")
(sdist,) = folder.glob("*.tar.gz")
names = zipfile.ZipFile(wheel).namelist()
check("wheel", [name for name in names if ".dist-info/" not in name], {"pycrumbs.py"})
with tarfile.open(sdist) as archive:
    names = [name.partition("/")[2] for name in archive.getnames()]
check("sdist", names, {"pycrumbs.py", "pyproject.toml", "README.md", "PKG-INFO"})
print(f"{wheel.name}, {sdist.name}: pycrumbs.py alone")
