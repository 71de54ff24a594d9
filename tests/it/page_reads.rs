//! `get` touches few pages of a mapped hive: our own reader, and the witness that is asked about every value.
//!
//! The witness reads a slice, which cannot count. So it is handed a copy in which all pages but some hold 0xff: where it
//! answers as before from a set of pages, it needs no others.

use hivewright::settings::nat_t::{self, SettingReport};
use hivewright::windows::Selection;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::witness::{self, Seen};
use hivewright_hive::{EditOptions, Hive, Opened};

use crate::support::pages::{Counting, PAGE, Pages};
use crate::{corpus, hostile};

/// What the promise is.
const MOST: usize = 64;

/// The keys about which `read::Reading::rule` asks the witness: all that hold the value, and that of the next boot.
fn asked(report: &SettingReport) -> Vec<String> {
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

fn testimony(bytes: &[u8], paths: &[String]) -> Option<Vec<Seen>> {
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

/// What the witness needs beside `pages`: by bisection, the page that ends the shortest run from the start of the hive
/// that is enough, again and again until no more is needed.
fn needed(bytes: &[u8], paths: &[String], pages: &Pages) -> Pages {
    let truth = testimony(bytes, paths);
    assert!(truth.is_some(), "the witness answers on the whole hive");
    let all = bytes.len().div_ceil(PAGE);
    let mut have = pages.clone();
    loop {
        let enough =
            |run: usize| testimony(&only(bytes, &have.iter().copied().chain(0..run).collect()), paths) == truth;
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

/// The hive with the rule in every control set, as `set --control-set all` makes it: then the witness is asked most.
fn with_the_rule_everywhere(bytes: Vec<u8>) -> Option<Vec<u8>> {
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
    let paths = asked(&report);
    // What the witness says is held against what we read once more.
    for path in &paths {
        if let Some(value) = hive.key(path).unwrap().unwrap().value(nat_t::NAME).unwrap() {
            value.raw_data().unwrap();
        }
    }
    let ours = counting.take();
    let both = needed(bytes, &paths, &ours);
    let none = needed(bytes, &paths, &Pages::new());
    println!(
        "{name}: {} pages for us, {} for the witness asked {} times, {} together",
        ours.len(),
        none.len(),
        paths.len(),
        both.len()
    );
    assert!(!paths.is_empty(), "{name}: the witness is asked");
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
        if let Some(set) = with_the_rule_everywhere(bytes) {
            few_pages(&format!("{name}, set everywhere"), &set);
        }
    }
}
