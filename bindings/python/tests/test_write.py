"""Writing: transactions, dry runs, undo files."""

import hashlib
import os

import hivewright
import pytest
from hivewright import Image

KEY = r"HKLM\SYSTEM\CurrentControlSet\Services\Example"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_block_commits_and_an_undo_file_takes_it_back(hive, tmp_path):
    before, undo = digest(hive), tmp_path / "undo"
    with Image.open(hive).transaction(undo_file=os.fsencode(undo), in_place=True) as edit:
        edit.set_value(KEY, "Start", 4)
        edit.set_value(KEY, "", "default")
        edit.set_value(KEY, "Big", 2**40, type="REG_QWORD")
        edit.set_value(KEY, "Path", r"%SystemRoot%\x", type="REG_EXPAND_SZ")
        edit.set_value(KEY, "List", ["a", "b"])
        edit.set_value(KEY, "Bytes", b"\0\1")
        edit.set_value(KEY, "Odd", b"xyz", type=0x1234)
        edit.create_key(KEY + r"\Sub\Deeper")
    assert (edit.committed.how, edit.committed.undo) == ("in-place", undo)
    assert edit.committed.hives[0][0] == hive
    key = Image.open(hive).hive().get_key(r"CurrentControlSet\Services\Example")
    assert {value.name: (value.type_name, value.data) for value in key.values()} == {
        "Start": ("REG_DWORD", 4),
        "": ("REG_SZ", "default"),
        "Big": ("REG_QWORD", 2**40),
        "Path": ("REG_EXPAND_SZ", r"%SystemRoot%\x"),
        "List": ("REG_MULTI_SZ", ["a", "b"]),
        "Bytes": ("REG_BINARY", b"\0\1"),
        "Odd": ("type 0x1234", b"xyz"),
    }
    assert key.get_key(r"Sub\Deeper").subkey_count == 0
    assert hivewright.undo(undo) == (hive, "replaced")
    assert digest(hive) == before
    assert hivewright.undo(undo)[1] == "already"


def test_a_dry_run_says_all_and_writes_nothing(hive, tmp_path):
    before = digest(hive)
    with Image.open(hive).transaction(dry_run=True) as edit:
        edit.set_value(r"Setup", "CmdLine", "x")
        edit.delete_key(r"HKLM\SYSTEM\CurrentControlSet\Services\PolicyAgent")
    assert edit.committed is None and digest(hive) == before
    assert [path.name for path in tmp_path.iterdir()] == ["SYSTEM"]
    value, key = edit.prepared.changes
    assert (value["action"], value["key"], value["value"], value["data"]) == ("set-value", "Setup", "CmdLine", "x")
    assert value["changes"] and key["action"] == "delete-key" and key["key"].endswith("PolicyAgent")
    with pytest.raises(RuntimeError):
        edit.prepared.commit()
    with pytest.raises(RuntimeError):
        edit.create_key("More")


def test_an_exception_in_the_block_writes_nothing(hive):
    before = digest(hive)
    with pytest.raises(ZeroDivisionError):
        with Image.open(hive).transaction() as edit:
            edit.create_key("New")
            1 / 0
    assert digest(hive) == before and edit.committed is None


def test_all_other_operations(hive):
    services = r"HKLM\SYSTEM\CurrentControlSet\Services"
    with Image.open(hive).transaction() as edit:
        edit.copy_key(services + r"\PolicyAgent", services + r"\Copy")
        edit.rename_key(services + r"\Copy", "Renamed")
        edit.delete_all_values(services + r"\Renamed")
        edit.set_value(services + r"\Renamed", "One", 1)
        edit.delete_value(services + r"\Renamed", "one")
        edit.set_security(services + r"\Renamed", "O:BAG:SYD:(A;CI;KA;;;BA)")
        edit.nat_t(2)
    system = Image.open(hive).hive()
    key = system.get_key(r"CurrentControlSet\Services\Renamed")
    assert key.value_count == 0 and key.sddl == "O:BAG:SYD:(A;CI;KA;;;BA)"
    (windows,) = Image.open(hive).installations()
    assert (windows.nat_t()["state"], windows.nat_t()["value"]) == ("set", 2)
    again = Image.open(hive).transaction()
    again.nat_t(2)
    assert again.prepare().is_already_so
    assert again.commit().how == "unchanged"


def test_an_image_is_written_in_place_and_taken_back(disk, tmp_path):
    path = disk("gpt")
    before = digest(path)
    with Image.open(path).transaction(undo_file=tmp_path / "undo") as edit:
        edit.set_value(KEY, "Start", 3)
    assert Image.open(path).hive().get_key(r"CurrentControlSet\Services\Example").get_value("Start").data == 3
    assert edit.committed.hives[0][1]
    hivewright.undo(tmp_path / "undo", path)
    assert digest(path) == before


def test_refusals_keep_everything(disk, fixtures):
    path = disk("hibernated")
    before = digest(path)
    edit = Image.open(path).transaction()
    edit.create_key("HKLM\\SYSTEM\\New")
    with pytest.raises(hivewright.RefusedError) as refused:
        edit.commit()
    assert refused.value.code == "volume-hibernated" and digest(path) == before


@pytest.mark.parametrize(
    "data, kind, error",
    [
        (-1, None, OverflowError),
        (2**32, None, OverflowError),
        (2**64, "REG_QWORD", OverflowError),
        (True, None, TypeError),
        (1, "REG_SZ", TypeError),
        ("x", "REG_DWORD", TypeError),
        (1.5, None, TypeError),
        (None, None, TypeError),
        (["a", ""], None, ValueError),
        (["a", 1], None, TypeError),
        ("x", "REG_NOSUCH", ValueError),
    ],
)
def test_data_that_does_not_fit(hive, data, kind, error):
    edit = Image.open(hive).transaction()
    with pytest.raises(error):
        edit.set_value("Setup", "x", data, type=kind)


def test_roots_that_no_hive_has(hive):
    edit = Image.open(hive).transaction()
    with pytest.raises(hivewright.UnsupportedError) as error:
        edit.create_key(r"HKEY_CURRENT_CONFIG\x")
    assert error.value.code == "registry-root"
    with pytest.raises(ValueError):
        Image.open(hive).transaction(ignore=["no-such-code"])
