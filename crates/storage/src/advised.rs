//! Commands of other programs that error messages recommend, kept as data so that tests can run the same text that
//! users see.
//!
//! `tests/it/advised.rs` runs each command of [`ALL`] whose program is available. [`Command::source`] cites the
//! documentation of the others.

use std::fmt;

/// A command line. Words in capitals are placeholders: IMAGE and FILE for the file that the message names, in its
/// folder; VOLUME for the file or device of a volume, DRIVE for its letter in Windows; NUMBER for a partition number;
/// the others for files and folders that the user has or that the command makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The command line as typed.
    pub line: &'static str,
    /// The documentation that describes the effect, for a command that no test runs.
    pub source: Option<&'static str>,
}

impl Command {
    const fn tried(line: &'static str) -> Self {
        Command { line, source: None }
    }

    const fn described(line: &'static str, source: &'static str) -> Self {
        Command { line, source: Some(source) }
    }

    /// Returns the name of the program: the first word of the line.
    pub fn program(&self) -> &'static str {
        self.line.split(' ').next().unwrap_or_default()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.line)
    }
}

/// Defines the commands and the list of all of them.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $how:ident($($part:expr),+);)+) => {
        $($(#[$doc])* pub const $name: Command = Command::$how($($part),+);)+
        /// Every command with its name.
        pub const ALL: &[(&str, Command)] = &[$((stringify!($name), $name)),+];
    };
}

commands! {
    /// Writes the disk of an image without a parent, or of a chain that QEMU follows (qcow2, QED, VMDK). For a
    /// differencing VHD, qemu-img silently converts the child alone. For a VHD of an unknown creator it takes the size
    /// from the geometry.
    TO_RAW = tried("qemu-img convert -O raw IMAGE DISK.raw");
    /// As [`TO_RAW`], but keeps the qcow2 format.
    TO_QCOW2 = tried("qemu-img convert -O qcow2 IMAGE COPY.qcow2");
    /// Writes a whole chain of VMDKs as one sparse file.
    TO_SPARSE_VMDK = tried("qemu-img convert -O vmdk -o subformat=monolithicSparse IMAGE NEW.vmdk");
    /// As [`TO_SPARSE_VMDK`], with every sector allocated.
    TO_FLAT_VMDK = tried("qemu-img convert -O vmdk -o subformat=monolithicFlat IMAGE NEW.vmdk");
    /// Writes the disk of a VHD with all of its parents.
    UNPACK_VHD = tried("7z x -tVHD IMAGE");
    /// Writes the disk of a VHDX with all of its parents, which QEMU does not support.
    UNPACK_VHDX = tried("7z x -tVHDX IMAGE");
    /// Writes the disk of a VDI with all of its parents, which neither QEMU nor 7-Zip supports.
    CLONE_VDI = described("VBoxManage clonemedium IMAGE DISK.vdi", "Oracle VirtualBox User Manual, \"VBoxManage clonemedium\"");
    /// Merges a child into its parent, on Windows with Hyper-V.
    MERGE_VHD = described("Merge-VHD -Path IMAGE", "Microsoft, Hyper-V module of PowerShell, \"Merge-VHD\"");
    /// Merges all snapshots of a Parallels disk into one file.
    MERGE_PARALLELS = described("prl_disk_tool merge --hdd FOLDER", "Parallels Desktop Command-Line Reference, \"Merge Snapshots\"");
    /// Repairs refcounts and tables, and clears the dirty flag of an image that was not closed.
    CHECK_REPAIR = tried("qemu-img check -r all IMAGE");
    /// Reports inconsistencies of an image.
    CHECK = tried("qemu-img check IMAGE");
    /// Shows the backing chain of an image.
    SHOW_CHAIN = tried("qemu-img info --backing-chain IMAGE");
    /// Shows the names of an image's bitmaps.
    SHOW = tried("qemu-img info IMAGE");
    /// Removes a bitmap.
    REMOVE_BITMAP = tried("qemu-img bitmap --remove IMAGE BITMAP");
    /// Decrypts the disk of an encrypted qcow2.
    DECRYPT_QCOW2 = tried(
        "qemu-img convert --object secret,id=k,file=KEYFILE --image-opts \
         driver=qcow2,file.filename=IMAGE,encrypt.key-secret=k -O qcow2 COPY.qcow2"
    );
    /// Decrypts the disk of an encrypted QCOW version 1.
    DECRYPT_QCOW = tried(
        "qemu-img convert --object secret,id=key,file=PASSWORD --image-opts \
         driver=qcow,file.filename=IMAGE,encrypt.format=aes,encrypt.key-secret=key -O raw DISK.raw"
    );
    /// Decrypts the contents of a LUKS container.
    DECRYPT_LUKS = tried(
        "qemu-img convert --object secret,id=k,file=KEYFILE --image-opts \
         driver=luks,file.filename=FILE,key-secret=k -O raw DISK.raw"
    );
    /// Writes the whole disk of an E01 image, without questions.
    EXPORT_EWF = tried("ewfexport -u -f raw -t NAME IMAGE");
    /// Extracts the members of an archive.
    UNTAR = tried("tar -xf FILE");
    /// Lists the members of an archive.
    LIST_TAR = tried("tar -tvf FILE");
    /// Decompresses a gzip file.
    GUNZIP = tried("gzip -dc FILE > DISK");
    /// Decompresses a Zstandard file.
    UNZSTD = tried("zstd -dc FILE > DISK");
    /// Decompresses an xz file.
    UNXZ = tried("xz -dc FILE > DISK");
    /// Decompresses a bzip2 file.
    BUNZIP2 = tried("bzip2 -dc FILE > DISK");
    /// Decompresses an LZ4 file.
    UNLZ4 = tried("lz4 -dc FILE > DISK");
    /// Extracts the members of a 7z, zip or RAR archive, or the files of an optical disc image.
    UNPACK = tried("7z x FILE");
    /// Extracts the members of a zip archive.
    UNZIP = tried("unzip FILE");
    /// Copies a WIM without its marks and not for pipes, with an integrity table.
    EXPORT_WIM = tried("wimlib-imagex export FILE all COPY.wim --check");
    /// Joins a split WIM to one file.
    JOIN_WIM = tried("wimlib-imagex join WHOLE.wim PARTS");
    /// Copies a delta WIM with all that it lacks.
    EXPORT_DELTA = tried("wimlib-imagex export FILE all WHOLE.wim --ref=BASE");
    /// Extracts the files of a squashfs.
    UNSQUASH = tried("unsquashfs -d FOLDER FILE");
    /// Writes the disk of an AFF image.
    EXPORT_AFF = tried("affcat FILE > DISK");
    /// Writes the disk of a DMG.
    CONVERT_DMG = tried("qemu-img convert -f dmg -O raw FILE DISK.raw");
    /// Extracts the disks of a Proxmox backup; needs Proxmox VE.
    EXTRACT_VMA = described("vma extract FILE FOLDER", "Proxmox VE Administration Guide, \"Backup and Restore\"; vma(1)");
    /// Restores the partition table from its backup, in both of its places.
    MEND_GPT = tried("sgdisk -e IMAGE");
    /// Writes a new partition table of the volumes that testdisk finds. gdisk would make an empty table without asking.
    FIND_VOLUMES = tried("testdisk /cmd IMAGE partition_gpt,analyze,search,write");
    /// Deletes one entry of the partition table; the partition's bytes stay.
    DELETE_PARTITION = tried("sfdisk --delete IMAGE NUMBER");
    /// Clears the dirty flag and the journal of an NTFS volume; without -d the flag stays set.
    SETTLE_NTFS = tried("ntfsfix -d VOLUME");
    /// Clears the dirty flag of a FAT volume.
    SETTLE_FAT = tried("fsck.fat -a VOLUME");
    /// Repairs a damaged volume.
    CHECK_DISK = described("chkdsk DRIVE: /f", "Microsoft, Windows commands, \"chkdsk\"");
    /// Shuts Windows down completely. Fast Startup is used only with /hybrid.
    SHUT_DOWN = described("shutdown /s /t 0", "Microsoft, Windows commands, \"shutdown\"");
    /// Decompresses a file that NTFS compressed.
    UNCOMPRESS = described("compact /u FILE", "Microsoft, Windows commands, \"compact\"");
    /// Decompresses a file that WOF compressed.
    UNCOMPRESS_WOF = described("compact /u /exe FILE", "Microsoft, Windows commands, \"compact\"");
    /// Decrypts a BitLocker volume in place.
    DECRYPT_BITLOCKER = described("manage-bde -off DRIVE:", "Microsoft, Windows commands, \"manage-bde off\"");
    /// Copies the contents of a BitLocker volume to a file; asks for the password.
    COPY_BITLOCKER = described("dislocker-file -V VOLUME -u -- FILE", "dislocker-file(1); dislocker-fuse(1), \"-u\"");
    /// Opens a BitLocker volume as a device.
    OPEN_BITLOCKER = described("cryptsetup open --type bitlk VOLUME NAME", "cryptsetup-open(8), \"BitLocker\"");
    /// Opens a LUKS volume of either version as a device. Needs the device mapper, which containers lack.
    OPEN_LUKS = described("cryptsetup open VOLUME NAME", "cryptsetup-open(8), \"LUKS\"");
    /// Creates devices for the volumes of dynamic disks.
    CREATE_LDM = described("ldmtool create all", "ldmtool(1)");
    /// Changes only the name of the backing file in an image.
    REBASE = tried("qemu-img rebase -u -F FORMAT -b NAME IMAGE");
    /// Hashes all bytes of a file.
    HASH = tried("sha256sum IMAGE");
    /// Shows whether a file is immutable.
    LIST_FLAGS = tried("lsattr FILE");
    /// Shows whether a file is marked read-only, on Windows.
    LIST_ATTRIBUTES = described("attrib FILE", "Microsoft, Windows commands, \"attrib\"");
    /// Finds the damage in a WIM or ESD.
    VERIFY_WIM = tried("wimlib-imagex verify FILE");
    /// Copies all files of an image into another folder.
    COPY_ALL = tried("cp --reflink=auto --sparse=always FILES FOLDER");
}

/// Returns the advice for a damaged volume.
pub fn repair() -> String {
    format!("repair the volume with Windows: {CHECK_DISK}")
}

/// Returns the advice for a BitLocker volume.
pub fn unlock() -> String {
    format!(
        "decrypt it in Windows ({DECRYPT_BITLOCKER}), or name the decrypted volume: as a file ({COPY_BITLOCKER}) or a device ({OPEN_BITLOCKER})"
    )
}

/// Returns the advice for a volume of dynamic disks.
pub fn assemble() -> String {
    format!("assemble the volume in Windows or in Linux ({CREATE_LDM}), and name that volume")
}
