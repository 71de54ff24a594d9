"""Audits of many targets."""

import json
import shutil
from collections import Counter

import hivewright
import pytest


@pytest.fixture
def fleet(hive, tmp_path, fixtures, disk):
    folder = tmp_path / "fleet"
    folder.mkdir()
    disk("two-windows").rename(folder / "two.raw")
    with hivewright.Image.open(hive).transaction() as edit:
        edit.nat_t(2)
    shutil.copy(hive, folder / "set")
    shutil.copy(fixtures / "windows/win7/SYSTEM", folder / "unset")
    (folder / "broken.qcow2").write_bytes(b"QFI\xfb")
    return folder


def test_records_are_dicts_and_judged(fleet):
    audit = hivewright.audit(fleet, expect=2)
    assert audit.summary is None
    records = list(audit)
    assert Counter((record["status"], record["compliant"]) for record in records) == Counter(
        {("read", True): 1, ("read", False): 3, ("error", None): 1}
    )
    assert audit.summary["records"] == 5 and audit.summary["errors"] == 1
    assert next(audit, None) is None


def test_policies_by_name_and_file(fleet, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "mine"\n[[check]]\nid = "select"\ntitle = "There is a control set"\n'
                    "key = 'HKLM\\SYSTEM\\Select'\nvalue = \"Current\"\nexpect = { at_least = 1 }\n")
    (record,) = hivewright.audit([fleet / "set"], policy=["smb1-off", mine], sha256=True)
    assert {(check["policy"], check["check"]): check["status"] for check in record["checks"]}[("mine", "select")] == "pass"
    assert {check["policy"] for check in record["checks"]} == {"smb1-off", "mine"} and record["hive_sha256"]
    with pytest.raises(hivewright.Error) as error:
        hivewright.audit(fleet, policy=tmp_path / "none.toml")
    assert error.value.code in ("no-file", "policy")
    with pytest.raises(hivewright.NotFoundError) as error:
        hivewright.audit(fleet, expect=3)
    assert error.value.code == "expectation"


def test_sorted_records_are_the_same_for_any_number_of_jobs(fleet, tmp_path):
    one, many = ([json.dumps(record) for record in hivewright.audit([fleet], sort=True, jobs=jobs)] for jobs in (1, 4))
    assert one == many
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text("\n".join(one) + "\n")
    (fleet / "unset").unlink()
    states = [record["status"] for record in hivewright.audit(fleet, baseline=earlier)]
    assert states.count("gone") == 1


def test_an_audit_that_nobody_takes_ends(fleet):
    audit = hivewright.audit([fleet] * 50, jobs=2, timeout=None)
    assert next(audit)["target"]
    audit.stop()
    assert len(list(audit)) < 50 * 5
    del audit
    with pytest.raises(TypeError):
        hivewright.audit(5)
