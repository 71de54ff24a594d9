//! Time of the parts of an edit, in memory: opening and reporting, checking, editing, recovering.
//!
//! With a corpus (see `tests/it/corpus.rs`), the hives are real ones; otherwise one generated hive of 190,000 cells, as
//! in Windows 7.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hivewright::internals::settings::nat_t::{self};
use hivewright::internals::windows::Selection;
use hivewright_fixtures::{KeySpec, Release, SystemHive};
use hivewright_hive::check::check;
use hivewright_hive::recover::{Log, recover_without_base_block};
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::{Data, EditOptions, Hive, Opened};

/// Number of keys of the generated hive. Each has a key node, a values list, five values and a data cell.
const KEYS: usize = 23_500;

fn corpus() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    Some(std::env::var_os("HIVEWRIGHT_CORPUS").map_or_else(beside, PathBuf::from)).filter(|folder| folder.is_dir())
}

fn unpacked(name: &str) -> Option<Vec<u8>> {
    let output = Command::new("zstd").args(["-dcq"]).arg(corpus()?.join(name)).output().ok()?;
    output.status.success().then_some(output.stdout)
}

fn hives() -> Vec<(&'static str, Vec<u8>)> {
    let real = [("windows 7", "system/win7_sp1_x86/SYSTEM.zst"), ("windows 10", "system/win10_21h2/SYSTEM.zst")];
    let real: Vec<_> = real.into_iter().filter_map(|(name, path)| Some((name, unpacked(path)?))).collect();
    if real.is_empty() { vec![("generated", generated())] } else { real }
}

fn generated() -> Vec<u8> {
    let fill = |mut enumerated: KeySpec| {
        for i in 0..KEYS {
            enumerated = enumerated.key(format!("device{i:06}"), |key| {
                let key = key.dword("ConfigFlags", 0).dword("Capabilities", 4).dword("Status", 1).dword("Phase", 2);
                key.sz("DeviceDesc", "@input.inf,%hid_device%;USB Input Device")
            });
        }
        enumerated
    };
    SystemHive::new(Release::Win7).spec().at("ControlSet001\\Enum", fill).build().bytes
}

fn clean(bytes: Vec<u8>) -> Hive<Vec<u8>> {
    match Hive::open(bytes).unwrap() {
        Opened::Clean(hive) => hive,
        Opened::Dirty(_) => panic!("the hive is dirty"),
    }
}

fn set(hive: Hive<Vec<u8>>) -> usize {
    let places = nat_t::plan(&hive, &Selection::default(), None, false).unwrap();
    let mut editor = hive.edit(EditOptions::default());
    for place in places {
        editor.set_value_at(place.key, nat_t::NAME, ValueType::DWORD, &2u32.to_le_bytes()).unwrap();
    }
    editor.finish().unwrap().patches.patches.len()
}

/// Returns the paths of 1,000 new keys, unsorted.
fn new_keys() -> Vec<String> {
    (0..1000).map(|i| format!("ControlSet001\\Services\\Vendor\\Key {:04}", i * 7919 % 1000)).collect()
}

/// Creates the keys at `paths` with ten values each. Returns the new length of the hive.
fn import((hive, paths): (Hive<Vec<u8>>, &[String])) -> usize {
    let values = [Data::Dword(1), Data::sz(r"C:\Program Files\Vendor\x.exe"), Data::Binary(vec![7; 24]), Data::sz("x")];
    let mut editor = hive.edit(EditOptions::default());
    for path in paths {
        editor.create_key(path).unwrap();
        for (i, data) in values.iter().cycle().take(10).enumerate() {
            editor.set_value(path, &format!("Value {i}"), data).unwrap();
        }
    }
    editor.finish().unwrap().bytes.len()
}

fn hive(c: &mut Criterion) {
    for (name, bytes) in hives() {
        let report = check(&bytes);
        println!("{name}: {} bytes, {} cells, {} keys", bytes.len(), report.facts.cells, report.facts.keys);
        let mut group = c.benchmark_group(name);
        group.sample_size(20);
        group.bench_function("report", |b| {
            b.iter(|| nat_t::report(Hive::open(black_box(&bytes)).unwrap().primary_alone(), None).unwrap());
        });
        group.bench_function("set", |b| {
            b.iter_batched(|| clean(bytes.clone()), set, BatchSize::LargeInput);
        });
        let paths = new_keys();
        group.bench_function("10,000 values in 1,000 new keys", |b| {
            b.iter_batched(|| (clean(bytes.clone()), &paths[..]), import, BatchSize::LargeInput);
        });
        group.throughput(Throughput::Elements(report.facts.cells));
        group.bench_function("check", |b| b.iter(|| check(black_box(&bytes))));
    }
}

fn recovery(c: &mut Criterion) {
    let folder = "system/win10_1709_dirty";
    let names = ["SYSTEM", "SYSTEM.LOG1", "SYSTEM.LOG2"];
    let files: Option<Vec<_>> = names.iter().map(|name| unpacked(&format!("{folder}/{name}.zst"))).collect();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dirty/new-two-logs");
    let files = files.unwrap_or_else(|| names.iter().map(|name| std::fs::read(fixture.join(name)).unwrap()).collect());
    let logs = [1, 2].map(|i| Log { name: names[i], bytes: &files[i] });
    let mut group = c.benchmark_group("recover");
    group.throughput(Throughput::Bytes((files[1].len() + files[2].len()) as u64));
    group.bench_function("both logs", |b| {
        b.iter(|| recover_without_base_block(black_box(&files[0]), &logs).map(|done| done.patches().unwrap()).unwrap());
    });
}

criterion_group!(benches, hive, recovery);
criterion_main!(benches);
