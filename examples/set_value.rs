//! Sets a REG_SZ, or a REG_DWORD for a number, in an image, a folder or a bare hive. Creates the key if it is missing.
//!
//!     cargo run --example set_value -- golden.qcow2 'HKLM\SOFTWARE\Policies\Example' Mode strict

use hivewright::{Data, Image, Result};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [image, key, name, data] = &args[..] else {
        eprintln!("usage: set_value IMAGE KEY NAME DATA");
        std::process::exit(2);
    };
    if let Err(error) = set(image, key, name, data) {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

fn set(image: &str, key: &str, name: &str, data: &str) -> Result<()> {
    let data = data.parse().map_or_else(|_| Data::sz(data), Data::Dword);
    let mut edit = Image::open(image)?.transaction();
    edit.set_value(key, name, data)?;
    let prepared = edit.prepare()?;
    if prepared.is_already_so() {
        println!("{key} has that value already");
        return Ok(());
    }
    let committed = prepared.commit()?;
    for hive in prepared.hives() {
        println!("{}: {} bytes changed", hive.hive.description(), hive.edited.patches.changed_bytes());
    }
    if let Some(undo) = committed.undo {
        println!("to undo: {}", hivewright::internals::undo::command(&undo));
    }
    Ok(())
}
