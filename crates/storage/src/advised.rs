//! Commands of other programs that messages advise, as data: what a message says and what is tried cannot drift apart.
//!
//! `tests/it/advised.rs` has a trial for each of [`ALL`] that can be had here, and runs the very line. [`Command::source`]
//! names what establishes the others.

use std::fmt;

/// A command. Words in capitals stand for what the user has: IMAGE and FILE for the file that the message is about, in its
/// folder; VOLUME for the file or device of a volume, DRIVE for its letter in Windows; NUMBER for that of a partition; the
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
    /// The partition table from its backup, to both of its places.
    MEND_GPT = tried("sgdisk -e IMAGE");
    /// A partition table made anew of the volumes that are found. gdisk makes an empty one without asking.
    FIND_VOLUMES = tried("testdisk /cmd IMAGE partition_gpt,analyze,search,write");
    /// One partition out of the table; its bytes stay.
    DELETE_PARTITION = tried("sfdisk --delete IMAGE NUMBER");
    /// The mark and the journal of an NTFS volume: without -d it is left marked as dirty.
    SETTLE_NTFS = tried("ntfsfix -d VOLUME");
    /// The mark of a FAT volume.
    SETTLE_FAT = tried("fsck.fat -a VOLUME");
    /// Whatever is damaged in a volume.
    CHECK_DISK = described("chkdsk DRIVE: /f", "Microsoft, Windows commands, \"chkdsk\"");
    /// Ends Windows and all of its sessions: what Fast Startup needs is asked for by /hybrid alone.
    SHUT_DOWN = described("shutdown /s /t 0", "Microsoft, Windows commands, \"shutdown\"");
    /// A file that NTFS keeps compressed.
    UNCOMPRESS = described("compact /u FILE", "Microsoft, Windows commands, \"compact\"");
    /// A file that WOF keeps compressed.
    UNCOMPRESS_WOF = described("compact /u /exe FILE", "Microsoft, Windows commands, \"compact\"");
    /// A volume of BitLocker where it is.
    DECRYPT_BITLOCKER = described("manage-bde -off DRIVE:", "Microsoft, Windows commands, \"manage-bde off\"");
    /// What a volume of BitLocker holds, as a file; it asks for the password.
    COPY_BITLOCKER = described("dislocker-file -V VOLUME -u -- FILE", "dislocker-file(1); dislocker-fuse(1), \"-u\"");
    /// A volume of BitLocker as a device.
    OPEN_BITLOCKER = described("cryptsetup open --type bitlk VOLUME NAME", "cryptsetup-open(8), \"BitLocker\"");
    /// A LUKS volume of either version as a device. It needs the device mapper, which a container does not have.
    OPEN_LUKS = described("cryptsetup open VOLUME NAME", "cryptsetup-open(8), \"LUKS\"");
    /// The volumes of dynamic disks as devices.
    CREATE_LDM = described("ldmtool create all", "ldmtool(1)");
    /// The name of the backing file in an image, and nothing else.
    REBASE = tried("qemu-img rebase -u -F FORMAT -b NAME IMAGE");
    /// A hash of all bytes of a file.
    HASH = tried("sha256sum IMAGE");
    /// Whether a file is immutable.
    LIST_FLAGS = tried("lsattr FILE");
    /// The images in a WIM or ESD.
    LIST_WIM = tried("wiminfo FILE");
    /// All files of an image into another folder.
    COPY_ALL = tried("cp --reflink=auto --sparse=always FILES FOLDER");
}

/// What to do about a damaged volume.
pub fn repair() -> String {
    format!("have Windows repair the volume: {CHECK_DISK}")
}

/// How to get at a volume of BitLocker.
pub fn unlock() -> String {
    format!(
        "decrypt it in Windows ({DECRYPT_BITLOCKER}), or name what it holds: as a file ({COPY_BITLOCKER}) or a device \
         ({OPEN_BITLOCKER})"
    )
}

/// How to get at a volume of dynamic disks.
pub fn assemble() -> String {
    format!("let Windows put the volume together, or Linux ({CREATE_LDM}), and name that volume")
}
