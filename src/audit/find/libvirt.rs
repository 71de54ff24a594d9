//! Reads the disks of a virtual machine from its libvirt domain XML (libvirt, "Domain XML format", "Hard drives, floppy
//! disks, CDROMs").

use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::FileStorage;
use roxmltree::{Document, Node, ParsingOptions};

/// Bytes of a domain file at most.
const MOST_BYTES: usize = 4 << 20;
/// XML nodes of a domain file at most.
const MOST_NODES: u32 = 100_000;

/// A disk of a domain.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// A file or a block device of the host.
    Path(PathBuf),
    /// A disk of another type: `network`, `volume`.
    Other(String),
}

/// Returns whether a path has the extension of XML.
pub(super) fn may_be(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("xml"))
}

/// Returns the disks of the domain that the file at `path` describes; `None` if it describes none. Relative paths are
/// resolved from its folder.
///
/// # Errors
/// `target-kind`: the file is not valid XML; `too-large`; I/O errors.
pub(super) fn disks(path: &Path) -> Result<Option<Vec<Disk>>> {
    let bytes = FileStorage::open(path)?.read_whole(MOST_BYTES)?;
    let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(None) };
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text.trim_start_matches('\u{feff}'), options);
    let document = document.map_err(|error| {
        Error::new(Kind::Corrupt, Code::TargetKind, format!("{} cannot be parsed as XML: {error}", path.display()))
    })?;
    let root = document.root_element();
    // In the XML of a running domain, `domstatus` contains the domain.
    let domain = std::iter::once(root).chain(root.children()).find(|node| node.has_tag_name("domain"));
    Ok(domain.map(|domain| of_domain(domain, path.parent().unwrap_or(Path::new("")))))
}

fn of_domain(domain: Node<'_, '_>, folder: &Path) -> Vec<Disk> {
    let all = children(domain, "devices").flat_map(|devices| children(devices, "disk"));
    let disks = all.filter(|disk| matches!(disk.attribute("device"), None | Some("disk" | "lun")));
    let source = |disk: Node<'_, '_>| {
        let source = children(disk, "source").next()?;
        let kind = disk.attribute("type").unwrap_or("file");
        let path = match kind {
            "file" => source.attribute("file"),
            "block" => source.attribute("dev"),
            _ => None,
        };
        Some(path.map_or_else(|| Disk::Other(kind.to_owned()), |path| Disk::Path(folder.join(path))))
    };
    disks.filter_map(source).collect()
}

/// Returns the child elements with a name.
fn children<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disks_of(text: &str) -> Result<Option<Vec<Disk>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.xml");
        std::fs::write(&path, text).unwrap();
        let of_folder = |disk| match disk {
            Disk::Path(path) => Disk::Path(path.strip_prefix(folder.path()).map(Path::to_owned).unwrap_or(path)),
            other => other,
        };
        Ok(disks(&path)?.map(|disks| disks.into_iter().map(of_folder).collect()))
    }

    #[test]
    fn only_disks_with_a_source_are_returned() {
        let text = "<!-- made by virsh --><domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>pc</name><devices>\
            <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/a &amp; b.qcow2'/></disk>\
            <disk type='file' device='cdrom'><source file='/iso'/></disk>\
            <disk type='block'><source dev='/dev/vg/pc'/><target dev='vdb'/></disk>\
            <disk type='file'><target dev='vdc'/></disk>\
            <disk type='network' device='disk'><source protocol='rbd' name='pool/pc'/></disk>\
            <disk type='file' device='lun'><source file='beside.raw'/></disk></devices></domain>";
        // On Windows, a path without a drive is relative to that of the file.
        let drive: PathBuf = std::env::temp_dir().components().take(usize::from(cfg!(windows))).collect();
        let of_host = |path: &str| Disk::Path(drive.join(path));
        let expected = vec![
            of_host("/var/lib/a & b.qcow2"),
            of_host("/dev/vg/pc"),
            Disk::Other("network".to_owned()),
            Disk::Path("beside.raw".into()),
        ];
        assert_eq!(disks_of(text).unwrap().as_ref(), Some(&expected));
        assert_eq!(disks_of(&format!("<domstatus state='running'>{text}</domstatus>")).unwrap(), Some(expected));
        assert_eq!(disks_of("<network><name>default</name></network>").unwrap(), None);
    }

    #[test]
    fn invalid_or_too_large_xml_is_an_error() {
        for text in ["<domain>", "text", "<!DOCTYPE a [<!ENTITY b 'c'>]><domain>&b;</domain>", &"<a>".repeat(200_000)] {
            assert_eq!(disks_of(text).unwrap_err().code(), Code::TargetKind);
        }
    }
}
