//! The table of all codes: a variant for programs, a name for people and files, a sentence for users.

use std::fmt;

macro_rules! codes {
    ($($code:ident $name:literal $meaning:literal;)+) => {
        /// The stable code of an error, a finding or a warning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $name, "`: ", $meaning)] $code,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$code),+];
        }

        const TABLE: [(&str, &str); Code::ALL.len()] = [$(($name, $meaning)),+];
    };
}

codes! {
    // The rules of the check, in its order.
    BaseSignature "base-signature"
        "The file does not begin as a hive does; it may be something else.";
    BaseChecksum "base-checksum"
        "The base block was damaged, or changed by a careless tool; Windows takes it from a log instead.";
    DirtySequence "dirty-sequence"
        "A write was begun and not finished; newer pages may stand in the transaction logs.";
    BaseVersion "base-version"
        "The hive is of a version that this program does not know.";
    FileType "file-type"
        "This is not a primary hive file but the base block of a transaction log.";
    FileFormat "file-format"
        "The hive is kept in a format that this program does not know.";
    LengthAlignment "length-alignment"
        "The length of all hive bins cannot be: it is no positive multiple of 4096 below 2 GiB.";
    LengthPastEnd "length-past-end"
        "The file was cut short: hive bins are missing at its end.";
    RaggedEnd "ragged-end"
        "The file's size is no multiple of 4096: it was cut, or copied badly.";
    BinSignature "bin-signature"
        "A hive bin does not begin as one: the page was overwritten or never written.";
    BinOffset "bin-offset"
        "A hive bin does not stand where it says: pages were exchanged or are old.";
    BinSize "bin-size"
        "A hive bin's size cannot be: it is no multiple of 4096, or runs past the end.";
    CellSize "cell-size"
        "A cell's size cannot be, so the rest of its hive bin cannot be read.";
    AdjacentFreeCells "adjacent-free-cells"
        "Free cells were not joined: another tool has edited the hive; it only wastes room.";
    UnreferencedCell "unreferenced-cell"
        "Nothing refers to the cell: lost room, or what an interrupted or careless edit left.";
    CellReference "cell-reference"
        "A reference does not lead to a cell in use, so what should stand there is lost.";
    CellShared "cell-shared"
        "Two things claim one cell: changing or freeing one damages the other.";
    RootKey "root-key"
        "The base block does not lead to a root key: nothing can be found.";
    RootFlag "root-flag"
        "The root key is not marked as one; harmless, and seen in hives that were never loaded.";
    KeySignature "key-signature"
        "A subkey does not lead to a key node: the key and everything below it are lost.";
    KeySize "key-size"
        "A key node's cell is too small: the key and everything below it are lost.";
    KeyName "key-name"
        "A key's name cannot be, so the key cannot be opened.";
    KeyParent "key-parent"
        "A key names another parent than the key that lists it.";
    KeyTwice "key-twice"
        "A key is listed twice: there is a loop, or two keys share a subtree.";
    KeyDepth "key-depth"
        "Keys are nested deeper than the 512 levels that Windows allows; what is below was not checked.";
    KeyClass "key-class"
        "A key's class name runs out of its cell.";
    SubkeyCount "subkey-count"
        "A key says that it has another number of subkeys than its lists have.";
    MaxSubkeyName "max-subkey-name"
        "A subkey's name is longer than the key says; programs that trust it may cut the name short.";
    MaxValueName "max-value-name"
        "A value's name is longer than the key says; programs that trust it may cut the name short.";
    MaxValueData "max-value-data"
        "A value's data is larger than the key says; programs that trust it may fail to read it.";
    LinkValues "link-values"
        "A symbolic link has other values than SymbolicLinkValue.";
    TombstoneValues "tombstone-values"
        "A layered key that marks a deleted one has values.";
    ListSignature "list-signature"
        "A list of subkeys cannot be read: the subkeys in it are lost.";
    ListSize "list-size"
        "A list of subkeys is larger than its cell: the subkeys in it are lost.";
    ListNested "list-nested"
        "An index root leads to an index root: the subkeys below are lost.";
    ListEmpty "list-empty"
        "A list of subkeys has no elements; Windows never keeps such a list.";
    ListVersion "list-version"
        "A list of subkeys is of a kind that the hive's version does not know; old Windows cannot read it.";
    SubkeyOrder "subkey-order"
        "Subkeys are not sorted, so Windows does not find some of them and damages the hive when it adds others.";
    SubkeyDuplicate "subkey-duplicate"
        "Two subkeys have the same name: one of them cannot be opened.";
    SubkeyHash "subkey-hash"
        "A subkey's hash is not that of its name, so Windows does not find the key.";
    SubkeyHint "subkey-hint"
        "A subkey's hint is not how its name begins, so Windows may not find the key.";
    ValuesListSize "values-list-size"
        "A key has more values than its list has room for: its values are lost.";
    ValueSignature "value-signature"
        "An element of a values list is no key value: the value is lost.";
    ValueName "value-name"
        "A value's name cannot be, so the value cannot be read by name.";
    ValueData "value-data"
        "A value's data runs out of its cell.";
    DuplicateValue "duplicate-value"
        "Two values of a key have the same name but for case: a program sees only one of them.";
    DwordSize "dword-size"
        "A REG_DWORD is not four bytes long; programs may ignore it.";
    DataNotInline "data-not-inline"
        "Data of up to four bytes stands in a cell of its own; Windows writes it into the key value.";
    BigData "big-data"
        "A large value's segments are not as they should be: its data is lost.";
    BigDataVersion "big-data-version"
        "Data stands in segments where the hive's version and its size want one cell, or the other way round, so Windows and other programs may not read it.";
    KeySecurity "key-security"
        "A key's security descriptor cannot be read: Windows gives the key another one or drops it.";
    SecurityRing "security-ring"
        "The ring of security descriptors is broken.";
    SecurityReferences "security-references"
        "A security descriptor's number of users is wrong: it may be freed too early, or never.";

    // Hives: errors of edits and recovery.
    DataTooLarge "data-too-large"
        "The data is larger than a value of this hive can hold.";
    Dirty "dirty"
        "A write of the hive was begun and not finished, so it has to be recovered from its logs before it is edited.";
    HiveClean "hive-clean"
        "The hive is not dirty, so there is nothing to recover.";
    EditFailed "edit-failed"
        "An operation of this edit failed half way, so the edit was given up as a whole.";
    KeyExists "key-exists"
        "A key of that name is there already.";
    KeyIntoItself "key-into-itself"
        "A key cannot be copied to itself or to a place below it.";
    KeyNotCopied "key-not-copied"
        "The key or a key below it is a predefined handle or marks something as deleted, so it is not copied.";
    KeyNoDelete "key-no-delete"
        "The key, or a key below it, is marked as one that must not be deleted.";
    KeySpecial "key-special"
        "The key is a link, a predefined handle or a key of a layered hive, so what stands in it is not what Windows reads.";
    KeyTakesNoName "key-takes-no-name"
        "The key is a predefined handle or marked as deleted, so it takes no other name.";
    KeyTakesNoSubkeys "key-takes-no-subkeys"
        "The key is a link, a predefined handle or marked as deleted, so it takes no subkeys.";
    KeyTakesNoValues "key-takes-no-values"
        "The key is a link, a predefined handle or marked as deleted, so it takes no values.";
    NoKey "no-key"
        "There is no such key in the hive.";
    NoLog "no-log"
        "The hive is dirty, and no transaction log was found.";
    NoRoom "no-room"
        "The hive cannot take the change: a count or the hive itself would outgrow its limit, or its volume is too full for it.";
    NoUsableLog "no-usable-log"
        "The hive is dirty, and none of its transaction logs can be applied.";
    PatchSet "patch-set"
        "The bytes are not those that the change was computed for, so nothing of it is applied.";
    RecoveredHole "recovered-hole"
        "The logs make the hive larger and do not hold all of the new pages: a log is missing.";
    ReplayBreaks "replay-breaks"
        "A transaction log fits by its numbers, but the hive is damaged after its replay.";
    Witness "witness"
        "The second, independent parser reads something else than was written or answered.";
    SecurityDescriptor "security-descriptor"
        "The bytes are no valid security descriptor, or too large for one.";
    Sddl "sddl"
        "The text is no security descriptor in SDDL.";
    RegRoot "reg-root"
        "The path does not begin with a root of the registry.";
    RegText "reg-text"
        "A line of a registration file is one that regedit would pass over.";
    RegName "reg-name"
        "A registration file cannot carry the name: it holds a zero or a line end, or the encoding lacks a letter.";
    RegData "reg-data"
        "A registration file of this form cannot carry the data of a value.";
    LayeredTombstone "layered-tombstone"
        "The key or value only hides one of a layer below.";

    // Windows, and the setting.
    ControlSetMissing "control-set-missing"
        "Select names a control set that is not in the hive.";
    ControlSetUnknown "control-set-unknown"
        "The option --control-set names no control set.";
    ControlSetsLeftOut "control-sets-left-out"
        "The hive lists more control sets than Windows makes; the rest are not shown.";
    CurrentControlSetKey "current-control-set-key"
        "The file has a key CurrentControlSet, which Windows never reads.";
    CurrentControlSetValue "current-control-set-value"
        "The setting stands below a key CurrentControlSet in the file, which Windows never reads.";
    NameSpace "name-space"
        "The value's name has space around it, so Windows ignores it.";
    NotSystem "not-system"
        "The hive is not SYSTEM, which holds the setting.";
    NotTheBootedSet "not-the-booted-set"
        "The setting stands in a control set that the next boot does not take.";
    OutOfRange "out-of-range"
        "The setting has a number that Windows does not define.";
    OverrideDisagrees "override-disagrees"
        "The option --windows contradicts what the hive shows.";
    SameNameTwice "same-name-twice"
        "Two values have the name of the setting; Windows reads the first.";
    SecondParser "second-parser"
        "The second parser cannot read the answer, for a known reason that does no harm.";
    SelectMissing "select-missing"
        "The hive does not say which control set counts: the key Select or a value of it is missing.";
    SelectTombstone "select-tombstone"
        "The value of Select is marked as deleted in a layered hive.";
    SelectType "select-type"
        "The value of Select is no REG_DWORD.";
    SelectZero "select-zero"
        "The value of Select is 0, which is no control set.";
    ServiceKeyMissing "service-key-missing"
        "The service key that the setting belongs to is not in the hive, and is never made.";
    SetsDiffer "sets-differ"
        "Control sets differ in the setting, so a switch of control sets changes it.";
    SubkeyNotValue "subkey-not-value"
        "A subkey has the name of the setting, where Windows reads a value.";
    TombstoneValue "tombstone-value"
        "The value is marked as deleted in a layered hive: Windows takes it for absent.";
    Unconfirmed "unconfirmed"
        "The second parser could not confirm the answer.";
    Unreadable "unreadable"
        "Damage keeps a part of the hive from being read.";
    UserUnnamed "user-unnamed"
        "The path is of the user who is logged on, and no user is named.";
    WeakCryptoMisplaced "weak-crypto-misplaced"
        "The value AllowL2TPWeakCrypto stands below a key where Windows does not read it.";
    Windows2000 "windows-2000"
        "The hive is of Windows 2000, for which the setting is not documented.";
    WindowsContradictory "windows-contradictory"
        "The hive shows marks of XP and of later Windows, so the service key that counts is open.";
    WindowsDisagrees "windows-disagrees"
        "The services of a control set are of another Windows than the rest of the hive.";
    WindowsName "windows-name"
        "The option --windows names no Windows.";
    WindowsUnknown "windows-unknown"
        "The hive does not show its version of Windows, so the service key that counts is open.";
    WrongKey "wrong-key"
        "The setting stands below the service key of another version of Windows.";
    WrongSize "wrong-size"
        "The setting is a REG_DWORD that is not four bytes long.";
    WrongType "wrong-type"
        "The setting is no REG_DWORD.";

    // Edits, recovery and undo.
    ChangedSince "changed-since"
        "The target changed after it was looked at, so nothing was written.";
    Damaged "damaged"
        "The hive is damaged, so it is not edited.";
    LogIsHive "log-is-hive"
        "A log to be emptied is the hive itself.";
    LogsElsewhere "logs-elsewhere"
        "Logs that do not lie beside the hive cannot be emptied with it.";
    LogsOfSeveral "logs-of-several"
        "Logs are named, and the edit is of several hives.";
    NoTarget "no-target"
        "The file that the undo file belongs to is not where it was.";
    NotAnUndoFile "not-an-undo-file"
        "The file is not an undo file.";
    NotDurable "not-durable"
        "The new file is complete, but may be lost when the power fails, because its folder cannot be flushed.";
    OutputExists "output-exists"
        "The file that --output names exists already.";
    OutputFiles "output-files"
        "The image has several files, so it cannot be copied to one with --output.";
    OutputFolder "output-folder"
        "The folder of the file that --output names does not exist.";
    Placement "placement"
        "The write would leave the place of the hive in the image, so it was refused.";
    Proof "proof"
        "The edited bytes did not pass the proof, so nothing was written: a fault of this program.";
    ReadBack "read-back"
        "The bytes read back from the medium are not those that were written.";
    RecoveredOnly "recovered-only"
        "The hive was recovered, and then the edit failed: the undo file takes the recovery back.";
    Rehearsal "rehearsal"
        "A write tried out in memory did not end as planned, so nothing was written: a fault of this program.";
    UndoDamaged "undo-damaged"
        "The undo file is damaged, so nothing is restored from it.";
    UndoExists "undo-exists"
        "The undo file that is asked for exists already.";
    UndoFolder "undo-folder"
        "The folder of the undo file does not exist.";
    UndoGone "undo-gone"
        "The undo file that a mark beside the target names is not there.";
    UndoOtherImage "undo-other-image"
        "The undo file is about other files than those that are here.";
    UndoShared "undo-shared"
        "Other images stand on this one, so taking the change back would damage them.";
    UndoTooLong "undo-too-long"
        "The change is too large for an undo file.";
    UndoUnreadable "undo-unreadable"
        "An undo file of an unfinished write cannot be read.";
    UndoVersion "undo-version"
        "The undo file was written by a later version of this program.";
    Unfinished "unfinished"
        "A write to the target was interrupted: `undo` takes it back.";
    UnfinishedWrite "unfinished-write"
        "The write began and did not end: the undo file that is named restores the old state.";

    // Targets, audits and the command line.
    Changed "changed"
        "The target changed while it was read.";
    Expectation "expectation"
        "The expected state is none that the setting can have.";
    ImageUnrecognised "image-unrecognised"
        "The file has the name of a disk image or a hive, and the bytes of neither.";
    List "list"
        "The list of targets holds a name that cannot be one.";
    NoHash "no-hash"
        "The image holds no hash to compare with.";
    NoInstallation "no-installation"
        "No Windows installation was found.";
    NoPartition "no-partition"
        "There is no partition of that number.";
    NoProfile "no-profile"
        "The installation has no profile of that user.";
    NoVolume "no-volume"
        "The hive lies on a volume that was not found.";
    NobodyLeft "nobody-left"
        "The target was not read, because too many reads before it never ended.";
    NotADisk "not-a-disk"
        "Options that choose a volume were given for a target that is no disk.";
    OtherHive "other-hive"
        "The path is not in the hive that was named.";
    Panic "panic"
        "Reading the target failed by a fault of this program.";
    PartOf "part-of"
        "The file belongs to a target that was given up.";
    Pattern "pattern"
        "The pattern for file names cannot be understood.";
    Policy "policy"
        "The policy file cannot be used.";
    ProfileVolume "profile-volume"
        "The folder of the profile may lie on another volume.";
    RegistryRoot "registry-root"
        "The path does not begin at a root of the registry that a hive has.";
    ResumeIsOutput "resume-is-output"
        "The file of earlier records is also the output.";
    ResumeNoFile "resume-no-file"
        "The earlier records are in no regular file.";
    ResumeNoRecords "resume-no-records"
        "The file to resume from holds no records of an audit.";
    SeveralBootConfigurations "several-boot-configurations"
        "The disk has several boot configurations, and none was chosen.";
    SeveralInstallations "several-installations"
        "The image or folder holds several Windows installations, and none was chosen.";
    SeveralProfiles "several-profiles"
        "Several profiles have that user name.";
    Shard "shard"
        "The option --shard is not of the form I/N.";
    TargetKind "target-kind"
        "The target is neither a file nor a folder that can be read.";
    Timeout "timeout"
        "The target was not read in the time allowed.";
    Usage "usage"
        "The command line is wrong.";

    // Files of the host.
    DeviceReadOnly "device-read-only"
        "The target is a block device, which is written to with --device alone.";
    FileExists "file-exists"
        "The file to be made exists already.";
    FixedLength "fixed-length"
        "The storage cannot change its length.";
    FolderReadOnly "folder-read-only"
        "No file can be made in the folder.";
    ImageSize "image-size"
        "The files of the image are together larger than this program can address.";
    InUse "in-use"
        "Another program has the file open or locked.";
    Io "io"
        "A call of the operating system failed.";
    NoFile "no-file"
        "The file does not exist.";
    NoFolder "no-folder"
        "The folder does not exist.";
    NoMemory "no-memory"
        "There is not enough memory.";
    NoRandom "no-random"
        "The operating system gives no random bytes.";
    NotAFile "not-a-file"
        "The name is not that of a regular file.";
    PastEnd "past-end"
        "The data ends before the place that is needed.";
    ReadOnly "read-only"
        "The file cannot be opened for writing.";
    SplitEmpty "split-empty"
        "A segment of the split image is empty, or there is none.";
    SplitMissing "split-missing"
        "A segment of the split image is missing.";
    SplitSize "split-size"
        "The segments together are too large.";
    SplitUneven "split-uneven"
        "A segment of the split image has another size than the others.";
    TooLarge "too-large"
        "The file is larger than this kind of file can be.";
    WindowPastEnd "window-past-end"
        "A part of the storage lies behind its end.";

    // Images of all formats.
    BackingFile "backing-file"
        "A file that other images may stand on would be written to.";
    BackingName "backing-name"
        "The name of the backing file cannot be used.";
    Compressed "compressed"
        "The file is compressed or an archive: unpack it first.";
    Container "container"
        "The file holds a disk in a form that is not read here.";
    FormatMismatch "format-mismatch"
        "The file is not of the format that --format names.";
    FormatUnknown "format-unknown"
        "There is no format of that name.";
    HasChildren "has-children"
        "Other images stand on this one and would be damaged by a change.";
    Hive9x "hive-9x"
        "The file is a registry of Windows 95, 98 or Me.";
    ImageCircle "image-circle"
        "The images of a chain stand on each other in a circle.";
    ImageDepth "image-depth"
        "Too many images stand on each other.";
    ImageDirty "image-dirty"
        "The image was not closed by its last writer.";
    ImageFiles "image-files"
        "The image has more files than this program opens.";
    ImageGrows "image-grows"
        "The write would make a file of the image grow that must not.";
    ImageReadOnly "image-read-only"
        "Images of this format or variant are only read.";
    ImageTruncated "image-truncated"
        "The image ends before its data does.";
    LooksLike "looks-like"
        "The file looks like another format than it is opened as.";
    Luks "luks"
        "The file is a LUKS volume: decrypt it first.";
    NotAllocated "not-allocated"
        "The place has no room in the image yet, and this program makes none in this format.";
    OutsideFolder "outside-folder"
        "The image names a file outside of its folder, which needs --allow-path.";
    PartOfImage "part-of-image"
        "The file is a part of an image that another file describes.";
    RegFile "reg-file"
        "The file is a .reg file: registry entries as text.";
    TransactionLog "transaction-log"
        "The file is the transaction log of a hive.";

    // QEMU, which reads some formats.
    Encrypted "encrypted"
        "The image is encrypted.";
    EngineDied "engine-died"
        "The program qemu-nbd ended early.";
    EngineFailed "engine-failed"
        "The program qemu-nbd could not carry out a read or a write.";
    EngineReadOnly "engine-read-only"
        "The program qemu-nbd does not let the image be written to.";
    EngineRefused "engine-refused"
        "The program qemu-nbd does not open the image.";
    EngineSize "engine-size"
        "The program qemu-nbd shows another size than the image's header.";
    EngineTimeout "engine-timeout"
        "The program qemu-nbd did not answer in time.";
    HeaderRewrite "header-rewrite"
        "The write would change the header of the image in a way that is not allowed.";
    NoQemuNbd "no-qemu-nbd"
        "The image is read by qemu-nbd, which is not installed.";

    // EWF (E01).
    EwfChunk "ewf-chunk"
        "The chunks of the E01 image have a size that is not handled.";
    EwfEvidence "ewf-evidence"
        "An E01 image is evidence and never written to.";
    EwfKind "ewf-kind"
        "The E01 image is of a kind that is not handled.";
    EwfReadErrors "ewf-read-errors"
        "The maker of the E01 image could not read some sectors of the disk.";
    EwfSection "ewf-section"
        "A section of the E01 image cannot be read.";
    EwfSegment "ewf-segment"
        "A segment of the E01 image is damaged or does not belong to the others.";
    EwfTable "ewf-table"
        "A table of chunks of the E01 image is damaged.";

    // Open virtual appliances (OVA).
    OvaDisk "ova-disk"
        "The disk in the OVA archive is stored in a way that is not read.";
    OvaDiskCompressed "ova-disk-compressed"
        "The disk in the OVA archive is compressed.";
    OvaDiskFormat "ova-disk-format"
        "The disk in the OVA archive is of a format that is not read there.";
    OvaDisks "ova-disks"
        "The OVA archive has several disks; the first is read.";
    OvaNoDisk "ova-no-disk"
        "No disk of the OVA archive can be read.";
    OvaOvf "ova-ovf"
        "The description (.ovf) of the OVA archive is missing or damaged.";
    OvaReadOnly "ova-read-only"
        "Disks in OVA archives are only read.";
    OvaTar "ova-tar"
        "The OVA archive is cut short or damaged.";

    // Parallels.
    ParallelsBundle "parallels-bundle"
        "The image belongs to a bundle that has no single whole disk.";
    ParallelsDescriptor "parallels-descriptor"
        "The descriptor beside the Parallels image is damaged or does not name it.";
    ParallelsExtension "parallels-extension"
        "The Parallels image holds bitmaps of changes that a write would make wrong.";
    ParallelsHeader "parallels-header"
        "The header of the Parallels image is damaged.";
    ParallelsInUse "parallels-in-use"
        "The Parallels image was not closed, or is open.";
    ParallelsSnapshot "parallels-snapshot"
        "The Parallels image holds changes to another image.";
    ParallelsSnapshots "parallels-snapshots"
        "The Parallels image is the disk before a snapshot: newer data is in other files.";
    ParallelsSplit "parallels-split"
        "The disk of the Parallels bundle is split into several files.";

    // qcow2, QCOW 1 and QED.
    BackingProbed "backing-probed"
        "The image does not say the format of its backing file, so it was found from the bytes.";
    BackingShort "backing-short"
        "The backing file is shorter than the disk; the rest reads as zeros.";
    QcowHeader "qcow-header"
        "The header of the QCOW 1 image is damaged.";
    Qcow2Backing "qcow2-backing"
        "The qcow2 image names its backing file in a way that is not handled.";
    Qcow2Bitmaps "qcow2-bitmaps"
        "The qcow2 image holds bitmaps of changes that a write would make wrong.";
    Qcow2Corrupt "qcow2-corrupt"
        "QEMU has found the qcow2 image damaged and marked it so.";
    Qcow2DataFile "qcow2-data-file"
        "The external data file of the qcow2 image cannot be used.";
    Qcow2DataFileShort "qcow2-data-file-short"
        "The external data file of the qcow2 image is shorter than the disk.";
    Qcow2Dirty "qcow2-dirty"
        "The qcow2 image was not closed, or is open.";
    Qcow2Encrypted "qcow2-encrypted"
        "The qcow2 image is encrypted.";
    Qcow2Feature "qcow2-feature"
        "The qcow2 image has a feature that is not known.";
    Qcow2Grows "qcow2-grows"
        "The write would make the qcow2 file grow too much.";
    Qcow2Header "qcow2-header"
        "The header of the qcow2 image is damaged.";
    Qcow2Tables "qcow2-tables"
        "A table of the qcow2 image is damaged.";
    Qcow2Unsound "qcow2-unsound"
        "The tables of the qcow2 image contradict each other, so nothing is written.";
    Qcow2Version "qcow2-version"
        "The qcow2 image is of a version that is not known.";
    QedFeatures "qed-features"
        "The QED image has features that are not known.";
    QedHeader "qed-header"
        "The header of the QED image is damaged.";
    QedNeedCheck "qed-need-check"
        "The QED image was not closed and asks for a check.";

    // VDI.
    VdiBlock "vdi-block"
        "The map of the VDI image leads to a block that is not in the file.";
    VdiBlocks "vdi-blocks"
        "The map of the VDI image uses blocks twice, so a write would change others.";
    VdiHeader "vdi-header"
        "The header of the VDI image is damaged.";
    VdiParent "vdi-parent"
        "The parent of the VDI image was not found or cannot be used.";
    VdiParentAmbiguous "vdi-parent-ambiguous"
        "Several files may be the parent of the VDI image.";
    VdiParentChanged "vdi-parent-changed"
        "The parent of the VDI image was changed after the image was made on it.";
    VdiParentSize "vdi-parent-size"
        "The parent of the VDI image has another size.";
    VdiType "vdi-type"
        "The VDI image is of a type that is not handled.";
    VdiVersion "vdi-version"
        "The VDI image is of a version that is not handled.";

    // VHD.
    VhdBlock "vhd-block"
        "The table of the VHD image leads to a block that is not in the file.";
    VhdBlocksOverlap "vhd-blocks-overlap"
        "Blocks of the VHD image overlap, so a write would change others.";
    VhdCopyDamaged "vhd-copy-damaged"
        "The copy of the footer at the start of the VHD image is damaged.";
    VhdCopyDiffers "vhd-copy-differs"
        "The copy of the footer at the start of the VHD image differs from the footer.";
    VhdFooter "vhd-footer"
        "The VHD image has no valid footer.";
    VhdFooterDamaged "vhd-footer-damaged"
        "The footer of the VHD image is damaged; its copy is used.";
    VhdHeader "vhd-header"
        "The header of the dynamic VHD image is damaged.";
    VhdParent "vhd-parent"
        "The parent of the VHD image was not found or cannot be used.";
    VhdParentMismatch "vhd-parent-mismatch"
        "The file that the VHD image names as its parent is another image.";
    VhdParentSize "vhd-parent-size"
        "The parent of the VHD image has another size.";
    VhdParentTime "vhd-parent-time"
        "The parent of the VHD image was copied or changed after the image was made on it.";
    VhdSavedState "vhd-saved-state"
        "The virtual machine of the VHD image is suspended and would bring old data back.";
    VhdSlack "vhd-slack"
        "The VHD image has bytes between the disk and the footer.";
    VhdTruncated "vhd-truncated"
        "The VHD image is cut short.";

    // VHDX.
    VhdxBat "vhdx-bat"
        "The block allocation table of the VHDX image is damaged.";
    VhdxFileSize "vhdx-file-size"
        "The VHDX file is larger than this program writes to.";
    VhdxHeader "vhdx-header"
        "Neither header of the VHDX image is valid.";
    VhdxHeaderDamaged "vhdx-header-damaged"
        "One header of the VHDX image is damaged; the other is used.";
    VhdxHeadersEqual "vhdx-headers-equal"
        "Both headers of the VHDX image have the same sequence number.";
    VhdxLog "vhdx-log"
        "The log of the VHDX image has to be replayed before a write.";
    VhdxLogCorrupt "vhdx-log-corrupt"
        "The log of the VHDX image is damaged.";
    VhdxLogSize "vhdx-log-size"
        "The log of the VHDX image is larger than this program replays.";
    VhdxLogVersion "vhdx-log-version"
        "The log of the VHDX image is of a version that is not known.";
    VhdxLogWaits "vhdx-log-waits"
        "The VHDX image was not closed: its log was replayed in memory for this answer.";
    VhdxMetadata "vhdx-metadata"
        "The metadata of the VHDX image is damaged.";
    VhdxMetadataItem "vhdx-metadata-item"
        "The VHDX image requires metadata that is not known.";
    VhdxParent "vhdx-parent"
        "The parent of the VHDX image was not found or is another image.";
    VhdxParentKind "vhdx-parent-kind"
        "The VHDX image names its parent in a way that is not known.";
    VhdxParentLocator "vhdx-parent-locator"
        "The VHDX image does not say which file its parent is.";
    VhdxRegion "vhdx-region"
        "The VHDX image requires a region that is not known.";
    VhdxRegionTable "vhdx-region-table"
        "Neither region table of the VHDX image is valid.";
    VhdxRegionTableDamaged "vhdx-region-table-damaged"
        "One region table of the VHDX image is damaged; the other is used.";
    VhdxSignature "vhdx-signature"
        "The file is not a VHDX image.";
    VhdxTruncated "vhdx-truncated"
        "The VHDX image is cut short.";
    VhdxVersion "vhdx-version"
        "The VHDX image is of a version that is not known.";

    // VMDK.
    VmdkChangeTracking "vmdk-change-tracking"
        "The VMDK image records changes for backups, which does not see this write.";
    VmdkCompression "vmdk-compression"
        "The grains of the VMDK image are compressed in a way that is not known.";
    VmdkDamaged "vmdk-damaged"
        "The first directory of grains of the VMDK image is damaged, so nothing is written.";
    VmdkDescriptor "vmdk-descriptor"
        "The descriptor of the VMDK image is damaged.";
    VmdkDevice "vmdk-device"
        "The VMDK descriptor stands for a device of a host.";
    VmdkDirectory "vmdk-directory"
        "A directory of grains of the VMDK image is damaged; the other one is used.";
    VmdkEncrypted "vmdk-encrypted"
        "The VMDK image is encrypted by VMware.";
    VmdkExtentAlone "vmdk-extent-alone"
        "The file is one extent of a VMDK image: name the descriptor.";
    VmdkExtentKind "vmdk-extent-kind"
        "The VMDK image has an extent of a kind that is not handled.";
    VmdkExtentSize "vmdk-extent-size"
        "An extent of the VMDK image is shorter than its descriptor says.";
    VmdkExtentsOverlap "vmdk-extents-overlap"
        "Two extents of the VMDK image use the same bytes.";
    VmdkFooter "vmdk-footer"
        "The stream-optimised VMDK image has no valid footer: it is cut short.";
    VmdkGrain "vmdk-grain"
        "A compressed grain of the VMDK image is damaged.";
    VmdkGrainInTables "vmdk-grain-in-tables"
        "A grain of the VMDK image lies on its tables, so a write would damage them.";
    VmdkGrainShared "vmdk-grain-shared"
        "Two entries of the VMDK image lead to one grain, so a write would change both.";
    VmdkHeader "vmdk-header"
        "The header of the VMDK image is damaged.";
    VmdkMagic "vmdk-magic"
        "The file is not the VMDK extent that its descriptor names.";
    VmdkNewlines "vmdk-newlines"
        "The VMDK image was copied as text, which damaged it.";
    VmdkNoAccess "vmdk-no-access"
        "The descriptor of the VMDK image allows no access to that extent.";
    VmdkParentChanged "vmdk-parent-changed"
        "The parent of the VMDK image was changed after the snapshot.";
    VmdkReadOnlyExtent "vmdk-read-only-extent"
        "The descriptor of the VMDK image marks that extent as read-only.";
    VmdkSesparse "vmdk-sesparse"
        "VMDK extents of the kind SEsparse are only read.";
    VmdkSesparseJournal "vmdk-sesparse-journal"
        "The journal of the SEsparse VMDK extent has to be replayed by ESXi first.";
    VmdkStream "vmdk-stream"
        "Stream-optimised VMDK images are compressed and only read.";
    VmdkTable "vmdk-table"
        "A table of grains of the VMDK image is damaged.";
    VmdkTablesDiffer "vmdk-tables-differ"
        "The two tables of grains of the VMDK image contradict each other, so nothing is written.";
    VmdkUnclean "vmdk-unclean"
        "The VMDK image was not closed, or its machine runs.";
    VmdkVersion "vmdk-version"
        "The VMDK image is of a version that is not handled.";

    // Partition tables.
    BootSectorInMbr "boot-sector-in-mbr"
        "The first sector is both a boot sector and a partition table; it is read as a table.";
    ExtendedCycle "extended-cycle"
        "The chain of logical partitions does not end.";
    ExtendedRecord "extended-record"
        "An extended boot record is missing, so logical partitions behind it are not seen.";
    GptBackupDamaged "gpt-backup-damaged"
        "The backup GPT is damaged.";
    GptBackupDiffers "gpt-backup-differs"
        "The backup GPT has other entries than the primary.";
    GptDamaged "gpt-damaged"
        "Neither copy of the GPT is valid.";
    GptEntriesCrc "gpt-entries-crc"
        "The checksum of the GPT's entries is wrong.";
    GptEntriesPastEnd "gpt-entries-past-end"
        "The entries of the GPT lie past the end of the disk.";
    GptEntryCount "gpt-entry-count"
        "The GPT claims more entries than it can have.";
    GptEntrySize "gpt-entry-size"
        "The GPT's entries have a size that the specification excludes.";
    GptHeaderCrc "gpt-header-crc"
        "The checksum of the GPT header is wrong.";
    GptHeaderSize "gpt-header-size"
        "The GPT header has a size that the specification excludes.";
    GptMyLba "gpt-my-lba"
        "The GPT header stands at another sector than it says.";
    GptRevision "gpt-revision"
        "The GPT is of a revision that is not known.";
    GptSignature "gpt-signature"
        "The GPT header is missing.";
    HybridMbr "hybrid-mbr"
        "The MBR before the GPT has partitions of its own, which Windows uses.";
    LogicalOutside "logical-outside"
        "A logical partition leaves its extended partition.";
    MoreWarnings "more-warnings"
        "More warnings were found than are listed.";
    NoProtectiveMbr "no-protective-mbr"
        "The disk has a GPT without a protective MBR.";
    PartitionOutsideUsable "partition-outside-usable"
        "A partition leaves the range that the GPT sets aside for partitions.";
    PartitionPastEnd "partition-past-end"
        "A partition ends behind the end of the disk: the image is cut short.";
    PartitionRange "partition-range"
        "A partition ends before it begins, so it is left out.";
    PartitionsOverlap "partitions-overlap"
        "Partitions overlap, so a write to one may damage another.";
    StaleGpt "stale-gpt"
        "A GPT on the disk is not used, because the MBR says otherwise.";
    TableDamaged "table-damaged"
        "The primary partition table is damaged; only its backup shows the volumes.";

    // Volumes.
    Bitlocker "bitlocker"
        "The volume is encrypted by BitLocker.";
    Refs "refs"
        "The volume is ReFS, which is not read here.";
    VolumeBitlocker "volume-bitlocker"
        "The partition is encrypted by BitLocker.";
    VolumeDirty "volume-dirty"
        "The volume is marked dirty and should be checked before it is written to.";
    VolumeDynamicDisk "volume-dynamic-disk"
        "The partition belongs to a dynamic disk of Windows.";
    VolumeEmpty "volume-empty"
        "The partition is empty.";
    VolumeExtended "volume-extended"
        "The partition is an extended one, which holds logical partitions and no file system.";
    VolumeFastStartup "volume-fast-startup"
        "Windows was not fully shut down (Fast Startup), so it may keep newer data of the volume.";
    VolumeHibernated "volume-hibernated"
        "A hibernated session still uses the volume and would bring the old hive back.";
    VolumeHibernationUnknown "volume-hibernation-unknown"
        "Whether a hibernated session still uses the volume is not known.";
    VolumeJournal "volume-journal"
        "The journal of the volume has work to redo, so its metadata is not final.";
    VolumeKind "volume-kind"
        "The partition holds no file system that is read here.";
    VolumeLuks "volume-luks"
        "The partition is encrypted by LUKS.";
    VolumePastEnd "volume-past-end"
        "The partition begins behind the end of the image, which is cut short.";
    VolumeRefs "volume-refs"
        "The partition is ReFS, which is not read here.";
    VolumeStorageSpaces "volume-storage-spaces"
        "The partition belongs to a pool of Storage Spaces.";
    VolumeTruncated "volume-truncated"
        "The image ends before the volume does.";

    // Files of a volume.
    AmbiguousName "ambiguous-name"
        "Several names in a folder differ only by case from the name that is looked for.";
    FileAmbiguous "file-ambiguous"
        "Several names in a folder of the volume differ only by case from the name that is looked for.";
    FileClustersFree "file-clusters-free"
        "A cluster of the file is marked as free, so Windows may give it to another file.";
    FileCompressed "file-compressed"
        "The file is compressed on its volume, so it is not written in place.";
    FileCompression "file-compression"
        "The file is compressed in a way that is not handled.";
    FileEncrypted "file-encrypted"
        "The file is encrypted on its volume.";
    FileFiltered "file-filtered"
        "The file is a placeholder that only a filter driver of Windows can fill.";
    FileInManyRecords "file-in-many-records"
        "The file's list of clusters is spread over several records, so the file is not made longer.";
    FileIsFolder "file-is-folder"
        "The name is that of a folder, where a file is needed.";
    FileNotAllocated "file-not-allocated"
        "The file has no clusters at that place, so it is not written there.";
    FileNotPlain "file-not-plain"
        "The clusters of the file do not hold its bytes as they are, so it is not written in place.";
    FileNotValid "file-not-valid"
        "The file was never filled at that place, so it is not written there.";
    FileOfFileSystem "file-of-file-system"
        "The file belongs to the file system itself, so it is not made longer.";
    FileRecordFull "file-record-full"
        "The file's record has no space for a longer list of clusters.";
    FileReparse "file-reparse"
        "The file is a link or another reparse point: name the place that it leads to.";
    FileResident "file-resident"
        "The file has no clusters of its own, so it is not written in place.";
    FileSparse "file-sparse"
        "The file is sparse, so it is not written in place.";
    FileTooShort "file-too-short"
        "The file would have to grow on its volume.";
    FolderTooLarge "folder-too-large"
        "The folder has more names than this program reads.";
    FreeSpaceInPieces "free-space-in-pieces"
        "The free space of the volume is in too many pieces to make the file longer.";
    GrowthInDoubt "growth-in-doubt"
        "The volume is dirty, damaged or used by a saved session, so no file on it is made longer.";

    // NTFS.
    NtfsAttribute "ntfs-attribute"
        "An attribute of an NTFS file record is damaged.";
    NtfsAttributeList "ntfs-attribute-list"
        "An attribute list of the NTFS volume is damaged.";
    NtfsBackupBootSector "ntfs-backup-boot-sector"
        "The NTFS boot sector is damaged; its backup is used.";
    NtfsBitmap "ntfs-bitmap"
        "The map of clusters of the NTFS volume is damaged.";
    NtfsBootSector "ntfs-boot-sector"
        "The volume does not begin with a valid NTFS boot sector.";
    NtfsFixup "ntfs-fixup"
        "The update sequence array of an NTFS record is damaged.";
    NtfsIndex "ntfs-index"
        "A folder index of the NTFS volume is damaged.";
    NtfsIndexCycle "ntfs-index-cycle"
        "A folder index of the NTFS volume leads back to itself.";
    NtfsIndexFree "ntfs-index-free"
        "A folder index of the NTFS volume leads to a block that is not in use.";
    NtfsIndexOrder "ntfs-index-order"
        "A folder index of the NTFS volume is not sorted, so a name might be missed.";
    NtfsIndexTorn "ntfs-index-torn"
        "A block of a folder index was written only in part.";
    NtfsLog "ntfs-log"
        "The journal of the NTFS volume cannot be read.";
    NtfsLogTorn "ntfs-log-torn"
        "A page of the NTFS journal was written only in part.";
    NtfsMetadataCompressed "ntfs-metadata-compressed"
        "Metadata of the NTFS volume is marked compressed or encrypted.";
    NtfsMft "ntfs-mft"
        "The master file table of the NTFS volume cannot be read.";
    NtfsMftMirror "ntfs-mft-mirror"
        "The master file table is damaged at its start; its mirror is used.";
    NtfsNoData "ntfs-no-data"
        "The file has no data attribute.";
    NtfsRecord "ntfs-record"
        "A file record of the NTFS volume is damaged.";
    NtfsRecordBase "ntfs-record-base"
        "A name leads to a file record that only extends another.";
    NtfsRecordFree "ntfs-record-free"
        "A file record is referred to and not in use.";
    NtfsRecordTorn "ntfs-record-torn"
        "A file record was written only in part.";
    NtfsRuns "ntfs-runs"
        "The list of a file's clusters is damaged.";
    NtfsRunsOverlap "ntfs-runs-overlap"
        "A file claims the same cluster twice.";
    NtfsStaleReference "ntfs-stale-reference"
        "A reference leads to a file record that belongs to another file now.";
    NtfsStreamGap "ntfs-stream-gap"
        "A part of a file's list of clusters is missing.";
    NtfsStreamShort "ntfs-stream-short"
        "The data of a file ends before its length.";
    NtfsStreamSize "ntfs-stream-size"
        "The sizes of a file's data contradict each other.";
    NtfsUpcase "ntfs-upcase"
        "The table of upper case letters of the NTFS volume is damaged.";
    NtfsVolume "ntfs-volume"
        "The NTFS volume does not state its version and flags.";

    // FAT.
    FatBootSector "fat-boot-sector"
        "The volume does not begin with a valid FAT boot sector.";
    FatChainCluster "fat-chain-cluster"
        "A chain of clusters leads to a number that is no cluster.";
    FatChainCycle "fat-chain-cycle"
        "A chain of clusters comes back to itself.";
    FatChainShort "fat-chain-short"
        "A chain of clusters ends before its file does.";
    FatCopies "fat-copies"
        "The copies of the FAT differ, so no file on the volume is made longer.";
    FatDiskError "fat-disk-error"
        "The FAT volume notes that a disk error was met while it was mounted.";
    FatFolderLong "fat-folder-long"
        "A folder has more entries than FAT allows.";
}

impl Code {
    /// Returns the name: kebab case, and the same in every later version.
    pub fn as_str(self) -> &'static str {
        TABLE[self as usize].0
    }

    /// Returns the meaning for the user, in one sentence.
    pub fn explain(self) -> &'static str {
        TABLE[self as usize].1
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! compared_by_name {
    ($($text:ty)+) => {
        $(
            impl PartialEq<$text> for Code {
                fn eq(&self, name: &$text) -> bool {
                    self.as_str() == &**name
                }
            }

            impl PartialEq<Code> for $text {
                fn eq(&self, code: &Code) -> bool {
                    code == self
                }
            }
        )+
    };
}

compared_by_name!(&str String);

#[cfg(feature = "serde")]
impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_and_one_sentence() {
        let mut seen = std::collections::HashSet::new();
        for (i, &code) in Code::ALL.iter().enumerate() {
            assert_eq!(code as usize, i, "the table is in the order of the codes");
            assert!(seen.insert(code.as_str()), "{code} is there once");
            let words = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            assert!(code.as_str().bytes().all(words), "{code}");
            let sentence = code.explain();
            assert!(sentence.ends_with('.') && !sentence.contains(". "), "{code}: {sentence}");
        }
    }
}
