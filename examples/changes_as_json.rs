//! Prints the changes of an image's hives for a new value, as JSON lines: one for each patch, with its place in every
//! address space. Nothing is written to the image.
//!
//!     cargo run --example changes_as_json -- golden.qcow2 'HKLM\SYSTEM\CurrentControlSet\Control\Example' Mode 1

use hivewright::{Data, Image, Result};
use serde_json::json;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [image, key, name, number] = &args[..] else {
        eprintln!("usage: changes_as_json IMAGE KEY NAME NUMBER");
        std::process::exit(2);
    };
    let Ok(number) = number.parse() else {
        eprintln!("{number} is no number of 32 bits");
        std::process::exit(2);
    };
    if let Err(error) = write(image, key, name, number) {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

fn write(image: &str, key: &str, name: &str, number: u32) -> Result<()> {
    let mut edit = Image::open(image)?.transaction();
    edit.dry_run().set_value(key, name, Data::Dword(number))?;
    for hive in edit.prepare()?.hives() {
        for patch in &hive.edited.patches.patches {
            let line = json!({
                "hive": hive.hive.description(),
                "offset": patch.offset,
                "places": hive.places(patch.offset),
                "old": hex(&patch.old),
                "new": hex(&patch.new),
                "what": patch.what,
            });
            println!("{line}");
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
