//! The OVF description: the files that are disks of the virtual machine.
//!
//! Facts: DSP0243 7.1 (`File`: `id`, `href`, `compression`, `chunkSize`) and 9.1 (`Disk`: `fileRef`, `format`).

use std::collections::HashMap;

use crate::container::helpers::xml::{Tag, Tags};

/// A disk with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) file: String,
    /// The compression of the whole file, if any.
    pub(super) compression: Option<String>,
    /// Whether it is split into chunks.
    pub(super) in_pieces: bool,
    /// The declared format, a URI.
    pub(super) format: String,
}

/// Returns the disks of the description, in its order.
pub(super) fn disks(text: &str) -> Vec<Disk> {
    // A real machine has far fewer disks.
    let all: Vec<Tag<'_>> = Tags::of(text).filter(|tag| matches!(tag.name, "File" | "Disk")).take(4096).collect();
    let (files, disks): (Vec<_>, Vec<_>) = all.iter().partition(|tag| tag.name == "File");
    // The first of two files with one id counts.
    let by_id: HashMap<String, &Tag<'_>> =
        files.into_iter().rev().filter_map(|file| Some((file.attribute("id")?, file))).collect();
    let file_of = |disk: &&Tag<'_>| {
        let id = disk.attribute("fileRef")?;
        let file = by_id.get(&id)?;
        let compression = file.attribute("compression").filter(|how| !how.is_empty() && how != "identity");
        let in_pieces = file.attribute("chunkSize").is_some();
        let format = disk.attribute("format").unwrap_or_default();
        Some(Disk { file: file.attribute("href")?, compression, in_pieces, format })
    };
    disks.into_iter().filter_map(|disk| file_of(&disk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_disks_in_their_order() {
        let text = r#"<?xml version="1.0"?><!-- <Disk fileRef="f9"/> --><Envelope xmlns:ovf="x">
            <References><File ovf:href="a&amp;b > c.vmdk" ovf:id="f1" ovf:size="1"/>
            <ovf:File ovf:id='f2' ovf:href='two%20.vmdk' ovf:compression="gzip"></ovf:File>
            <File ovf:id="f3" ovf:href="cd.iso"/></References>
            <DiskSection><Info>List &lt;Disk</Info><Disk ovf:capacity="1" ovf:diskId="empty"/>
            <Disk ovf:fileRef="f2" ovf:diskId="d2" ovf:format="http://x"/><Disk ovf:fileRef="f1"/><Disk ovf:fileRef="gone"/></DiskSection>"#;
        let disk = |file: &str, compression: Option<&str>, format: &str| {
            let compression = compression.map(str::to_owned);
            Disk { file: file.into(), compression, in_pieces: false, format: format.into() }
        };
        let expected = [disk("two%20.vmdk", Some("gzip"), "http://x"), disk("a&b > c.vmdk", None, "")];
        assert_eq!(disks(text), expected);
        for end in 0..text.len() {
            disks(&text[..end]);
        }
        for odd in [
            "<File =",
            "<Disk fileRef",
            "<Disk fileRef=",
            "<Disk fileRef=x",
            "<Disk fileRef=\"",
            "<<<",
            "<!--",
            "<é='>",
        ] {
            assert!(disks(odd).is_empty());
        }
    }
}
