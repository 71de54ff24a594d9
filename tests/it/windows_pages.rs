//! A report touches few pages of a hive, which may be on a slow medium.

use hivewright::internals::settings::nat_t;
use hivewright_hive::Hive;

use crate::corpus;
use crate::support::pages::{Counting, PAGE};

/// The most pages of 4096 bytes that a report of a modern hive touches; the keys of XP are spread more widely.
const MOST: usize = 40;
const MOST_ON_XP: usize = 45;

#[test]
fn a_report_touches_few_pages() {
    let Some(folder) = corpus::folder("windows_pages") else { return };
    for name in [
        "win7_sp1_x86",
        "win81_dirty_nologs",
        "win10_1709_dirty",
        "win10_21h2",
        "xp_sp2_pyregedit",
        "xp_sp3_ietest",
        "xp_sp3_regsave",
        "nt40_server",
    ] {
        let Some(bytes) = corpus::read(&folder, &format!("system/{name}/SYSTEM.zst")) else { return };
        let all = bytes.len() / PAGE;
        let counting = Counting::new(&bytes);
        let opened = Hive::open(&counting).unwrap();
        let report = nat_t::report(opened.primary_alone(), None).unwrap();
        let touched = counting.take().len();
        println!("{name}: {touched} of {all} pages, {} control sets", report.control_sets.len());
        assert!(touched <= if name.starts_with("xp") { MOST_ON_XP } else { MOST }, "{name}: {touched} pages");
    }
}
