//! `get` touches few pages of a mapped hive, both by its own reader and by the second parser that confirms every value.
//!
//! The second parser reads a slice, which cannot count. So it reads a copy in which all but some pages contain 0xff: if
//! its answer is unchanged, it needs no other pages.

use hivewright::internals::settings::nat_t::{self, SettingReport};
use hivewright::internals::windows::Selection;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::witness::{self, WitnessedValue};
use hivewright_hive::{EditOptions, Hive, Opened};

use crate::support::pages::{Counting, PAGE, Pages};
use crate::{corpus, hostile};

/// The documented limit.
const MOST: usize = 64;

/// Returns the keys that the second parser confirms: all with the value, and that of the next boot.
fn confirmed_keys(report: &SettingReport) -> Vec<String> {
    let next = report.at_next_boot.control_set;
    let mut paths = Vec::new();
    for set in &report.control_sets {
        let counting = set.counting().filter(|_| Some(set.number) == next).map(|service| &service.path);
        let holds = set.services.iter().filter(|service| service.value.is_some()).map(|service| &service.path);
        paths.extend(holds.chain(counting).cloned());
    }
    paths.sort();
    paths.dedup();
    paths
}

fn confirmation(bytes: &[u8], paths: &[String]) -> Option<Vec<WitnessedValue>> {
    paths.iter().map(|path| witness::read(bytes, path, nat_t::NAME).ok()).collect()
}

fn only(bytes: &[u8], pages: &Pages) -> Vec<u8> {
    let mut out = vec![0xff; bytes.len()];
    for &page in pages {
        let end = ((page + 1) * PAGE).min(bytes.len());
        out[page * PAGE..end].copy_from_slice(&bytes[page * PAGE..end]);
    }
    out
}

/// Returns the pages that the second parser needs besides `pages`: by repeated bisection, the last page of the shortest
/// sufficient prefix of the hive, until no more is needed.
fn needed(bytes: &[u8], paths: &[String], pages: &Pages) -> Pages {
    let truth = confirmation(bytes, paths);
    assert!(truth.is_some(), "the witness answers on the whole hive");
    let all = bytes.len().div_ceil(PAGE);
    let mut have = pages.clone();
    loop {
        let enough =
            |run: usize| confirmation(&only(bytes, &have.iter().copied().chain(0..run).collect()), paths) == truth;
        let (mut low, mut high) = (0, all);
        if enough(0) {
            return have;
        }
        while high - low > 1 {
            let middle = low.midpoint(high);
            if enough(middle) { high = middle } else { low = middle }
        }
        have.insert(high - 1);
        assert!(have.len() < all, "bisection ends");
    }
}

/// Creates the hive with the setting in every control set, like `set --control-set all`: then the second parser
/// confirms most values.
fn with_the_setting_everywhere(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let Ok(Opened::Clean(hive)) = Hive::open(bytes) else { return None };
    let places = nat_t::plan(&hive, &Selection::All, None, false).ok()?;
    let mut editor = hive.edit(EditOptions::default());
    for place in places {
        editor.set_value_at(place.key, nat_t::NAME, ValueType::DWORD, &2u32.to_le_bytes()).unwrap();
    }
    Some(editor.finish().unwrap().bytes)
}

fn few_pages(name: &str, bytes: &[u8]) {
    let counting = Counting::new(bytes);
    let opened = Hive::open(&counting).unwrap();
    let hive = opened.primary_alone();
    let report = nat_t::report(hive, None).unwrap();
    let paths = confirmed_keys(&report);
    // The answer of the second parser is compared with another read.
    for path in &paths {
        if let Some(value) = hive.key(path).unwrap().unwrap().value(nat_t::NAME).unwrap() {
            value.raw_data().unwrap();
        }
    }
    let ours = counting.take();
    let both = needed(bytes, &paths, &ours);
    let none = needed(bytes, &paths, &Pages::new());
    println!(
        "{name}: {} pages for us, {} for the witness confirmed_keys {} times, {} together",
        ours.len(),
        none.len(),
        paths.len(),
        both.len()
    );
    assert!(!paths.is_empty(), "{name}: the witness is confirmed_keys");
    assert!(both.len() <= MOST, "{name}: {} pages", both.len());
}

#[test]
fn get_with_its_witness_touches_few_pages() {
    let Some(folder) = corpus::folder("page_reads").filter(|_| corpus::can_unpack("page_reads")) else { return };
    hostile::quiet_witness();
    for name in [
        "win7_sp1_x86",
        "win7_sp1_x86_edited",
        "win81_dirty_nologs",
        "win10_1709_dirty",
        "win10_21h2",
        "xp_sp2_pyregedit",
        "xp_sp3_ietest",
        "xp_sp3_regsave",
    ] {
        let bytes = corpus::read(&folder, &format!("system/{name}/SYSTEM.zst")).unwrap();
        few_pages(name, &bytes);
        if let Some(set) = with_the_setting_everywhere(bytes) {
            few_pages(&format!("{name}, set everywhere"), &set);
        }
    }
}
