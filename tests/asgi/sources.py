"""
The source distributions of other people's packages, which hold their tests. Nothing of them is kept in this repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path


def cache() -> Path:
    """
    Return the directory that keeps the archives from one run to the next.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home, "wasinet_twisted", "sdists")


def fetch(distribution: str) -> Path:
    """
    Return the archive of the release that is installed, so that the tests are those of the code beside them.

    @param distribution: its name on the package index.
    @raise subprocess.CalledProcessError: pip found no source distribution of this release.
    """
    release = version(distribution)
    kept = cache() / f"{distribution}-{release}.tar.gz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--no-binary", distribution, "--dest", str(kept.parent), f"{distribution}=={release}"),
            ],
            check=True,
        )
    return kept


def unpack(distribution: str, directory: Path) -> Path:
    """
    Unpack the archive of a distribution.

    @param directory: where its folder is made.
    @return: the folder.
    """
    with tarfile.open(fetch(distribution)) as archive:
        archive.extractall(directory, filter="data")
    return directory / f"{distribution}-{version(distribution)}"
