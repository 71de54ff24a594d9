"""Every example of the book and of the package's page runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import FIXTURES, unpacked

ROOT = FIXTURES.parent


def examples():
    for page in [ROOT / "docs/python.md", ROOT / "bindings/python/README.md"]:
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M), 1):
            yield pytest.param(code, id=f"{page.stem}-{number}")


@pytest.mark.parametrize("code", list(examples()))
def test_example(code, tmp_path):
    shutil.copy(FIXTURES / "windows/win10/SYSTEM", tmp_path / "SYSTEM")
    (tmp_path / "golden.qcow2").write_bytes(unpacked(FIXTURES / "images/qcow2/disk.qcow2.gz"))
    run = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_there_are_examples():
    assert len(list(examples())) >= 7
