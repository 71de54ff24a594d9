#!/usr/bin/env python3
"""Spreads `hivewright audit` over Dask workers and collects the records as Parquet. See README.md."""

import argparse
import json
import os
import re
import subprocess
import sys

SCALARS = {
    "string": [
        "target", "target_hex", "status", "tool", "audited_at", "modified", "stamp", "container", "partition_scheme",
        "partition_type", "partition_name", "file_system", "volume_label", "windows_root", "hive", "hive_sha256",
        "product", "version", "release", "edition", "service_pack", "installation_type", "family", "decision",
        "product_type", "architecture", "host_name", "hive_state",
    ],
    "int64": ["installation", "installations", "part", "parts", "bytes_read", "size", "hive_size", "partition", "build",
              "revision", "shadow_copies"],
    "float64": ["seconds"],
    "bool": ["compliant", "hives_agree", "confirmed", "hibernated"],
}
SUMMARY = re.compile(rb"^hivewright: \d+ targets?, .*", re.M)


def run_shard(hivewright, number, count, parts, arguments):
    """Audits one shard. Gives the path of its records and the exit status; raises if it has to be tried again."""
    path = os.path.join(parts, f"shard-{number}-of-{count}.jsonl")
    new = path + ".new"
    earlier = []
    if os.path.exists(new) and os.path.getsize(new) > 0:
        # What a try that was killed has left.
        left = path + ".left"
        os.replace(new, left)
        earlier += ["--resume", left]
    if os.path.exists(path):
        earlier = ["--resume", path] + earlier
    command = [hivewright, "audit", "--json", "--jobs", "1", "--shard", f"{number}/{count}"] + earlier + arguments
    with open(new, "wb") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE)
    # An audit that came to its end says so. Anything else is a usage error, a signal, a full disk.
    if done.returncode not in (0, 1, 2) or not SUMMARY.search(done.stderr):
        raise RuntimeError(f"shard {number}/{count} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    os.replace(new, path)
    return path, done.returncode


def row(line):
    """The columns of one record."""
    record = json.loads(line)
    columns = {name: record.get(name) for names in SCALARS.values() for name in names}
    for verdict in ("next_boot", "capture"):
        found = record.get(f"at_{verdict}") or {}
        columns[f"{verdict}_state"], columns[f"{verdict}_value"] = found.get("state"), found.get("value")
    # The checks of policies that are not as expected: `policy/check`.
    for status in ("fail", "unknown"):
        columns[f"checks_{status}"] = [f"{it['policy']}/{it['check']}" for it in record.get("checks", []) if it["status"] == status]
    error = record.get("error") or {}
    columns["error_code"], columns["error_message"] = error.get("code"), error.get("message")
    columns["record"] = line.decode().rstrip("\n")
    return columns


def collect(paths, out, batch=5000):
    """Writes the records of all shards to one Parquet file, a few thousand at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [pa.field(name, getattr(pa, kind.replace("bool", "bool_"))()) for kind, names in SCALARS.items() for name in names]
    for verdict in ("next_boot", "capture"):
        fields += [pa.field(f"{verdict}_state", pa.string()), pa.field(f"{verdict}_value", pa.int64())]
    fields += [pa.field(f"checks_{status}", pa.list_(pa.string())) for status in ("fail", "unknown")]
    fields += [pa.field(name, pa.string()) for name in ("error_code", "error_message", "record")]
    schema = pa.schema(fields)
    count = 0
    with pq.ParquetWriter(out + ".new", schema, compression="zstd") as writer:
        for path in paths:
            with open(path, "rb") as lines:
                rows = []
                for line in lines:
                    rows.append(row(line))
                    if len(rows) == batch:
                        writer.write_table(pa.Table.from_pylist(rows, schema))
                        count, rows = count + len(rows), []
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, schema))
                    count += len(rows)
    os.replace(out + ".new", out)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="files, folders, patterns")
    parser.add_argument("--shards", type=int, default=4 * (os.cpu_count() or 1), metavar="N")
    parser.add_argument("--out", default="results.parquet", metavar="FILE")
    parser.add_argument("--parts", metavar="DIR", help="where shards leave their records")
    parser.add_argument("--retries", type=int, default=3, help="tries of a shard after its first")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes on this machine")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, instead of workers on this machine")
    parser.add_argument("--hivewright", default="hivewright", metavar="PROGRAM")
    arguments = sys.argv[1:]
    further = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, further = arguments[:at], arguments[at + 1:]
    args = parser.parse_args(arguments)
    parts = args.parts or args.out + ".parts"
    os.makedirs(parts, exist_ok=True)

    from dask.distributed import Client, LocalCluster

    cluster = None
    if not args.scheduler:
        cluster = LocalCluster(n_workers=args.workers, threads_per_worker=1, processes=True, dashboard_address=None)
    with Client(args.scheduler or cluster) as client:
        numbers = range(1, args.shards + 1)
        # Not pure: the same shard may give something else the next time.
        futures = client.map(
            lambda number: run_shard(args.hivewright, number, args.shards, parts, further + args.targets),
            numbers, retries=args.retries, pure=False,
        )
        done = client.gather(futures)
    if cluster:
        cluster.close()
    count = collect([path for path, _ in done], args.out)
    statuses = {status for _, status in done}
    print(f"{count} records in {args.out}", file=sys.stderr)
    return 2 if 2 in statuses or count == 0 else max(statuses)


if __name__ == "__main__":
    sys.exit(main())
