"""Inputs: the fixtures that fixtures/maker made."""

import array
import gzip
import itertools
import shutil
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"


@pytest.fixture
def fixtures():
    return FIXTURES


@pytest.fixture
def hive(tmp_path):
    """A copy of the SYSTEM hive of a Windows 10."""
    return Path(shutil.copy(FIXTURES / "windows/win10/SYSTEM", tmp_path / "SYSTEM"))


def unpacked(path):
    """A packed disk: see fixtures/maker/src/disks/packing.rs."""
    with gzip.open(path) as packed:
        left = int.from_bytes(packed.read(8), "little")
        disk = bytearray()
        while left > len(disk):
            size = min(4096, left - len(disk))
            how = packed.read(1)[0]
            block = packed.read(size) if how else bytes(size)
            if how == 2:
                words = array.array("H", block)
                if sys.byteorder == "big":
                    words.byteswap()
                words = array.array("H", (word & 0xFFFF for word in itertools.accumulate(words)))
                if sys.byteorder == "big":
                    words.byteswap()
                block = words.tobytes()
            disk += block
    return bytes(disk)


@pytest.fixture
def disk(tmp_path):
    """Unpacks a disk of the fixtures by its name."""

    def unpack(name):
        path = tmp_path / name
        path.write_bytes(unpacked(FIXTURES / f"disks/{name}.disk.gz"))
        return path

    return unpack
