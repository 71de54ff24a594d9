//! Commands of other programs that messages advise, as data: what a message says and what is tried cannot drift apart.
//!
//! `tests/it/advised.rs` has a trial for each of [`ALL`] that can be had here, and runs the very line. [`Command::source`]
//! names what establishes the others.

use std::fmt;

/// A command. Words in capitals stand for paths: IMAGE and FILE for the file that the message is about, in its folder; the
/// others for files and folders that the command makes or that the user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// As people type it.
    pub line: &'static str,
    /// Where it is described that this does what the message promises, if it was not tried.
    pub source: Option<&'static str>,
}

impl Command {
    const fn tried(line: &'static str) -> Self {
        Command { line, source: None }
    }

    const fn described(line: &'static str, source: &'static str) -> Self {
        Command { line, source: Some(source) }
    }

    /// The program that it starts.
    pub fn program(&self) -> &'static str {
        self.line.split(' ').next().unwrap_or_default()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.line)
    }
}

/// Defines the commands, and the list of them all.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $how:ident($($part:expr),+);)+) => {
        $($(#[$doc])* pub const $name: Command = Command::$how($($part),+);)+
        /// Every command, by its name here.
        pub const ALL: &[(&str, Command)] = &[$((stringify!($name), $name)),+];
    };
}

commands! {
    /// The disk of an image without parent, or of a chain that QEMU follows (qcow2, QED, VMDK). Of a differencing VHD it
    /// takes the child alone, without a word; of VHDs it takes the geometry for the size, where QEMU does not know the maker.
    TO_RAW = tried("qemu-img convert -O raw IMAGE DISK.raw");
    /// As [`TO_RAW`], for people who stay with qcow2.
    TO_QCOW2 = tried("qemu-img convert -O qcow2 IMAGE COPY.qcow2");
    /// A whole chain of VMDKs as one sparse file.
    TO_SPARSE_VMDK = tried("qemu-img convert -O vmdk -o subformat=monolithicSparse IMAGE NEW.vmdk");
    /// As [`TO_SPARSE_VMDK`], with a place for every byte.
    TO_FLAT_VMDK = tried("qemu-img convert -O vmdk -o subformat=monolithicFlat IMAGE NEW.vmdk");
    /// The disk of a VHD with all of its parents.
    UNPACK_VHD = tried("7z x -tVHD IMAGE");
    /// The disk of a VHDX with all of its parents, which QEMU refuses.
    UNPACK_VHDX = tried("7z x -tVHDX IMAGE");
    /// The disk of a VDI with all of its parents, which QEMU refuses and 7-Zip does not follow.
    CLONE_VDI = described("VBoxManage clonemedium IMAGE DISK.vdi", "Oracle VirtualBox User Manual, \"VBoxManage clonemedium\"");
    /// Merges a child into its parent, on Windows with Hyper-V.
    MERGE_VHD = described("Merge-VHD -Path IMAGE", "Microsoft, Hyper-V module of PowerShell, \"Merge-VHD\"");
    /// All snapshots of a Parallels disk into one file.
    MERGE_PARALLELS = described("prl_disk_tool merge --hdd FOLDER", "Parallels Desktop Command-Line Reference, \"Merge Snapshots\"");
    /// Mends counts and tables, and takes away the mark of an image that was not closed.
    CHECK_REPAIR = tried("qemu-img check -r all IMAGE");
    /// Says what is wrong with an image.
    CHECK = tried("qemu-img check IMAGE");
    /// Shows which image stands on which.
    SHOW_CHAIN = tried("qemu-img info --backing-chain IMAGE");
    /// Shows the names of bitmaps.
    SHOW = tried("qemu-img info IMAGE");
    /// Removes a bitmap.
    REMOVE_BITMAP = tried("qemu-img bitmap --remove IMAGE BITMAP");
    /// The disk of an encrypted qcow2.
    DECRYPT_QCOW2 = tried(
        "qemu-img convert --object secret,id=k,file=KEYFILE --image-opts \
         driver=qcow2,file.filename=IMAGE,encrypt.key-secret=k -O qcow2 COPY.qcow2"
    );
    /// The disk of an encrypted image of the first version.
    DECRYPT_QCOW = tried(
        "qemu-img convert --object secret,id=key,file=PASSWORD --image-opts \
         driver=qcow,file.filename=IMAGE,encrypt.format=aes,encrypt.key-secret=key -O raw DISK.raw"
    );
    /// What a LUKS container holds.
    DECRYPT_LUKS = tried(
        "qemu-img convert --object secret,id=k,file=KEYFILE --image-opts \
         driver=luks,file.filename=FILE,key-secret=k -O raw DISK.raw"
    );
    /// The disk of an E01 image, all of it: it asks nothing.
    EXPORT_EWF = tried("ewfexport -u -f raw -t NAME IMAGE");
    /// The members of an archive.
    UNTAR = tried("tar -xf FILE");
    /// Their names.
    LIST_TAR = tried("tar -tvf FILE");
    /// What a gzip file holds.
    GUNZIP = tried("gzip -dc FILE > DISK");
    /// What a Zstandard file holds.
    UNZSTD = tried("zstd -dc FILE > DISK");
    /// What an xz file holds.
    UNXZ = tried("xz -dc FILE > DISK");
    /// What a bzip2 file holds.
    BUNZIP2 = tried("bzip2 -dc FILE > DISK");
    /// What an LZ4 file holds.
    UNLZ4 = tried("lz4 -dc FILE > DISK");
    /// The members of a 7z, zip or RAR archive, the files of an optical disc.
    UNPACK = tried("7z x FILE");
    /// The members of a zip archive.
    UNZIP = tried("unzip FILE");
    /// The files of one image of a WIM or ESD.
    APPLY_WIM = tried("wimapply FILE INDEX FOLDER");
    /// The files of a squashfs.
    UNSQUASH = tried("unsquashfs -d FOLDER FILE");
    /// The disk of an AFF image.
    EXPORT_AFF = tried("affcat FILE > DISK");
    /// The disk of a DMG.
    CONVERT_DMG = tried("qemu-img convert -f dmg -O raw FILE DISK.raw");
    /// The disks of a backup of Proxmox, where that runs.
    EXTRACT_VMA = described("vma extract FILE FOLDER", "Proxmox VE Administration Guide, \"Backup and Restore\"; vma(1)");
    /// All files of an image into another folder.
    COPY_ALL = tried("cp --reflink=auto --sparse=always FILES FOLDER");
}
