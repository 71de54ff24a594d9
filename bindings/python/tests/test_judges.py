"""regipy and python-registry read the same keys, values and times."""

from datetime import datetime, timedelta, timezone

import pytest
from hivewright import Image

HIVES = ["windows/win10", "windows/xp-sp3", "shapes/index-root", "shapes/big-data", "shapes/old-lists"]
# Theirs are rounded through a float, or cut.
CLOSE = timedelta(milliseconds=1)


def ours(path):
    """Of each key by its path: last-written time, and types and bytes of its values."""
    return {
        "\\".join(key.names): (key.last_written, {value.name: (value.type, value.raw) for value in key.values()})
        for key in Image.open(path).hive().walk()
    }


def compare(theirs, path):
    mine = ours(path)
    for _, values in mine.values():
        values.update({name: (kind, raw if len(raw) >= 4 else None) for name, (kind, raw) in values.items()})
    assert sorted(theirs) == sorted(mine) and len(mine) > 20
    for name, (time, values) in theirs.items():
        assert abs(time - mine[name][0]) <= CLOSE, name
        assert values == mine[name][1], name


@pytest.mark.parametrize("name", HIVES)
def test_python_registry(fixtures, name):
    registry = pytest.importorskip("Registry.Registry")
    path = fixtures / name / "SYSTEM"
    theirs, stack = {}, [("", registry.Registry(str(path)).root())]
    while stack:
        at, key = stack.pop()
        values = {}
        for value in key.values():
            shown = "" if value.name() == "(default)" else value.name()
            # Of data inside of the key value it gives all four bytes of the field, or none.
            size = value._vkrecord.raw_data_length() & 0x7FFFFFFF
            values[shown] = (value.value_type(), value.raw_data() if size >= 4 else None)
        theirs[at] = (key.timestamp().replace(tzinfo=timezone.utc), values)
        stack += [(f"{at}\\{sub.name()}".lstrip("\\"), sub) for sub in key.subkeys()]
    compare(theirs, path)


@pytest.mark.parametrize("name", HIVES)
def test_regipy(fixtures, name):
    regipy = pytest.importorskip("regipy.registry")
    path = fixtures / name / "SYSTEM"
    hive = regipy.RegistryHive(str(path))
    keys, stack = {}, [("", hive.root)]
    while stack:
        at, key = stack.pop()
        ticks = key.header.last_modified
        time = datetime(1601, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=ticks // 10)
        keys[at] = (time, {value.name: value.value_type for value in key.iter_values(as_json=False, trim_values=False)})
        stack += [(f"{at}\\{sub.name}".lstrip("\\"), sub) for sub in key.iter_subkeys()]
    mine = ours(path)
    assert sorted(keys) == sorted(mine)
    for name, (time, kinds) in keys.items():
        assert abs(time - mine[name][0]) <= CLOSE, name
        assert len(kinds) == len(mine[name][1]), name
