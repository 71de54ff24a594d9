"""Reads and edits the registry of Windows installations that are not running.

Hives, folders and disk images are opened alike, without root and without mounting::

    import hivewright

    for windows in hivewright.Image.open("golden.qcow2").installations():
        key = windows.hive("SYSTEM").get_key(r"CurrentControlSet\\Services\\PolicyAgent")
        for value in key.values():
            print(value.name, value.type_name, value.data)

A hive that Windows left dirty is read with its transaction logs replayed, in memory. Reading never writes. What changes is proven
before it is written, and is there whole or not at all.
"""

from ._errors import (
    CorruptError,
    Error,
    IoError,
    NoRoomError,
    NotFoundError,
    RefusedError,
    UnfinishedError,
    UnsupportedError,
)
from ._hivewright import (
    Audit,
    Committed,
    Hive,
    Image,
    Installation,
    Key,
    Prepared,
    Profile,
    Transaction,
    Value,
    __version__,
    audit,
    undo,
)

__all__ = [
    "Audit",
    "Committed",
    "CorruptError",
    "Error",
    "Hive",
    "Image",
    "Installation",
    "IoError",
    "Key",
    "NoRoomError",
    "NotFoundError",
    "Prepared",
    "Profile",
    "RefusedError",
    "Transaction",
    "UnfinishedError",
    "UnsupportedError",
    "Value",
    "__version__",
    "audit",
    "undo",
]
