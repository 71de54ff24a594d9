//! Reading: any bytes give a report or an error, and a panic of the witness is caught.
#![no_main]

use hivewright::internals::settings::nat_t::{self};
use hivewright_hive::{Hive, witness};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: {
    // libFuzzer reports every panic, including caught ones of the witness.
    std::panic::set_hook(Box::new(|info| {
        if !witness::is_asking() {
            eprintln!("{info}");
            std::process::abort();
        }
    }));
}, |data: &[u8]| {
    let Ok(opened) = Hive::open(data) else { return };
    let hive = opened.primary_alone();
    if let Ok(report) = nat_t::report(hive, None) {
        for set in &report.control_sets {
            for service in &set.services {
                let _ = witness::read(data, &service.path, nat_t::NAME);
            }
        }
    }
    let Ok(root) = hive.root() else { return };
    let mut todo = vec![root];
    // A hive of a few KiB has no more keys than this, unless the keys form a cycle.
    for _ in 0..2000 {
        let Some(key) = todo.pop() else { break };
        if let Ok(values) = key.values() {
            for value in values.flatten().take(2000) {
                let _ = (value.name().to_string(), value.raw_data());
            }
        }
        todo.extend(key.subkeys().into_iter().flatten().flatten().take(4000));
        todo.truncate(4000);
    }
});
