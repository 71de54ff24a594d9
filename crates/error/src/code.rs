//! The table of all codes: each has a variant, a name that output and files use, and a sentence for users.

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
    // Findings of the check, in its order.
    BaseSignature "base-signature"
        "The file does not begin with the signature of a hive, so it may not be a hive.";
    BaseChecksum "base-checksum"
        "The checksum of the base block is wrong: the block is damaged, or a program changed it; Windows takes the block from a log instead.";
    DirtySequence "dirty-sequence"
        "A write was begun and not finished; newer pages may be in the transaction logs.";
    BaseVersion "base-version"
        "The hive has a version that this program does not support.";
    FileType "file-type"
        "The base block is that of a transaction log and not of a primary hive file.";
    FileFormat "file-format"
        "The hive has a file format that this program does not support.";
    LengthAlignment "length-alignment"
        "The length of the hive bins is invalid: it is not a positive multiple of 4096 below 2 GiB.";
    LengthPastEnd "length-past-end"
        "The file is truncated: the last hive bins are missing.";
    RaggedEnd "ragged-end"
        "The size of the file is not a multiple of 4096: it was truncated or copied badly.";
    BinSignature "bin-signature"
        "A hive bin has no signature: its page was overwritten or never written.";
    BinOffset "bin-offset"
        "A hive bin contains the offset of another hive bin: pages were swapped or are outdated.";
    BinSize "bin-size"
        "The size of a hive bin is invalid: it is not a multiple of 4096, or exceeds the file.";
    CellSize "cell-size"
        "The size of a cell is invalid, so the rest of its hive bin cannot be read.";
    AdjacentFreeCells "adjacent-free-cells"
        "Adjacent free cells are not joined; this wastes space and does no harm.";
    UnreferencedCell "unreferenced-cell"
        "No structure refers to the cell, so its space is lost; interrupted edits leave such cells.";
    CellReference "cell-reference"
        "A reference does not lead to a cell in use, so its data is lost.";
    CellShared "cell-shared"
        "Two references lead to one cell, so a change through one damages the other.";
    RootKey "root-key"
        "The base block does not lead to a root key, so no key can be read.";
    RootFlag "root-flag"
        "The root key has no root flag; this is usual in hives that were never loaded, and harmless.";
    KeySignature "key-signature"
        "A subkeys list does not lead to a key node, so the key and its subkeys are lost.";
    KeySize "key-size"
        "The cell of a key node is too small, so the key and its subkeys are lost.";
    KeyName "key-name"
        "A key's name is invalid, so the key cannot be opened.";
    KeyParent "key-parent"
        "A key names another parent than the key that lists it.";
    KeyTwice "key-twice"
        "A key is listed twice: the tree has a cycle, or two keys share a subtree.";
    KeyDepth "key-depth"
        "Keys are nested deeper than the 512 levels that Windows allows; deeper keys are not checked.";
    KeyClass "key-class"
        "The class name of a key exceeds its cell.";
    SubkeyCount "subkey-count"
        "The number of subkeys in a key differs from the number in its subkeys lists.";
    MaxSubkeyName "max-subkey-name"
        "A subkey's name is longer than the maximum in its key; programs that trust it may truncate the name.";
    MaxValueName "max-value-name"
        "A value's name is longer than the maximum in its key; programs that trust it may truncate the name.";
    MaxValueData "max-value-data"
        "A value's data is larger than the maximum in its key; programs that trust it may fail to read it.";
    LinkValues "link-values"
        "A symbolic link has values besides SymbolicLinkValue.";
    TombstoneValues "tombstone-values"
        "A key of a layered hive that marks a deleted key has values.";
    ListSignature "list-signature"
        "A subkeys list cannot be read, so its subkeys are lost.";
    ListSize "list-size"
        "A subkeys list is larger than its cell, so its subkeys are lost.";
    ListNested "list-nested"
        "An index root refers to an index root, so the subkeys of the latter are lost.";
    ListEmpty "list-empty"
        "A subkeys list has no elements; Windows never keeps such a list.";
    ListVersion "list-version"
        "A subkeys list has a kind that the hive's version does not allow; old Windows cannot read it.";
    SubkeyOrder "subkey-order"
        "Subkeys are not sorted, so Windows does not find some of them and damages the hive when it adds others.";
    SubkeyDuplicate "subkey-duplicate"
        "Two subkeys have the same name, so one of them cannot be opened.";
    SubkeyHash "subkey-hash"
        "A subkey's hash does not match its name, so Windows does not find the key.";
    SubkeyHint "subkey-hint"
        "A subkey's hint does not match the beginning of its name, so Windows may not find the key.";
    ValuesListSize "values-list-size"
        "A key has more values than its values list can contain, so its values are lost.";
    ValueSignature "value-signature"
        "An element of a values list is not a key value, so the value is lost.";
    ValueName "value-name"
        "A value's name is invalid, so the value cannot be read by name.";
    ValueData "value-data"
        "A value's data exceeds its cell.";
    DuplicateValue "duplicate-value"
        "Two values of a key have names that are equal apart from case, so programs read only one of them.";
    DwordSize "dword-size"
        "A REG_DWORD is not four bytes long; programs may ignore it.";
    DataNotInline "data-not-inline"
        "Data of up to four bytes is stored in a cell; Windows stores it in the key value.";
    BigData "big-data"
        "The segments of a large value are damaged, so its data is lost.";
    BigDataVersion "big-data-version"
        "Data is stored in segments where the version of the hive and the size of the data require one cell, or in one cell where they require segments; Windows may not read it.";
    KeySecurity "key-security"
        "The security descriptor of a key cannot be read, so Windows replaces or drops it.";
    SecurityRing "security-ring"
        "The list of security descriptors is broken.";
    SecurityReferences "security-references"
        "The reference count of a security descriptor is wrong, so Windows may free it too early or never.";

    // Hives: errors of edits and recovery.
    DataTooLarge "data-too-large"
        "The data or security descriptor is larger than the hive can store.";
    Dirty "dirty"
        "A write to the hive was begun and not finished, so the hive must be recovered from its logs before an edit.";
    HiveClean "hive-clean"
        "The hive is not dirty, so there is nothing to recover.";
    EditFailed "edit-failed"
        "An operation of this edit failed, so the whole edit was abandoned.";
    KeyExists "key-exists"
        "A key with that name already exists.";
    KeyIntoItself "key-into-itself"
        "A key cannot be copied to itself or to a place below it.";
    KeyNotCopied "key-not-copied"
        "The key or a key below it is a predefined handle or a mark of deletion, so it is not copied.";
    KeyNoDelete "key-no-delete"
        "The key, or a key below it, is marked as one that must not be deleted.";
    KeySpecial "key-special"
        "The key is a link, a predefined handle or a key of a layered hive, so its contents are not what Windows reads.";
    KeyTakesNoName "key-takes-no-name"
        "The key is a predefined handle or marked as deleted, so it cannot be renamed.";
    KeyTakesNoSubkeys "key-takes-no-subkeys"
        "The key is a link, a predefined handle or marked as deleted, so it cannot have subkeys.";
    KeyTakesNoValues "key-takes-no-values"
        "The key is a link, a predefined handle or marked as deleted, so it cannot have values.";
    NoKey "no-key"
        "There is no such key in the hive.";
    NoValue "no-value"
        "The key has no such value.";
    NoLog "no-log"
        "The hive is dirty, and no transaction log was found.";
    NoRoom "no-room"
        "The change does not fit: the hive or a count in it would exceed its limit, or its volume is full.";
    NoUsableLog "no-usable-log"
        "The hive is dirty, and none of its transaction logs can be applied.";
    PatchSet "patch-set"
        "The bytes differ from those for which the change was computed, so nothing is applied.";
    RecoveredHole "recovered-hole"
        "The logs enlarge the hive, but do not contain all of the new pages: a log is missing.";
    ReplayBreaks "replay-breaks"
        "A transaction log matches by its numbers, but the hive is damaged after its replay.";
    Witness "witness"
        "The second, independent parser cannot read the result, or reads a different result.";
    SecurityDescriptor "security-descriptor"
        "The bytes are not a valid security descriptor, or are too large for one.";
    Sddl "sddl"
        "The text is not a complete security descriptor in SDDL.";
    RegRoot "reg-root"
        "The path does not begin with a root of the registry.";
    NotCarried "not-carried"
        "A registration file cannot express this difference.";
    RegText "reg-text"
        "The registration file is invalid: regedit would ignore a line of it, or its encoding is not supported.";
    RegName "reg-name"
        "A registration file cannot represent the name: it contains a zero or a line end, or a character that the encoding lacks.";
    RegData "reg-data"
        "The data or type of a value is invalid, or a registration file of this form cannot represent it.";
    LayeredTombstone "layered-tombstone"
        "The key or value is only a mark that deletes one of a lower layer.";

    // Windows, and the setting.
    ControlSetMissing "control-set-missing"
        "The control set that Select or --control-set names is not in the hive.";
    ControlSetUnknown "control-set-unknown"
        "The option --control-set does not name a control set.";
    ControlSetsLeftOut "control-sets-left-out"
        "The hive lists more control sets than Windows creates; the others are not shown.";
    CurrentControlSetKey "current-control-set-key"
        "The file has a key CurrentControlSet, which Windows never reads.";
    CurrentControlSetValue "current-control-set-value"
        "The setting is below a key CurrentControlSet in the file, which Windows never reads.";
    NameSpace "name-space"
        "The value's name begins or ends with a space, so Windows ignores it.";
    NotSystem "not-system"
        "The hive is not SYSTEM, which contains the setting.";
    NotTheBootedSet "not-the-booted-set"
        "The setting is in a control set that the next boot does not use.";
    OutOfRange "out-of-range"
        "The setting has a number that Windows does not define.";
    OverrideDisagrees "override-disagrees"
        "The option --windows contradicts the evidence in the hive.";
    SameNameTwice "same-name-twice"
        "Two values have the name of the setting; Windows reads the first.";
    SecondParser "second-parser"
        "The second parser cannot read the answer, for a known and harmless reason.";
    SelectMissing "select-missing"
        "The hive does not name the current control set: the key Select or a value of it is missing.";
    SelectTombstone "select-tombstone"
        "The value of Select is marked as deleted in a layered hive.";
    SelectType "select-type"
        "The value of Select is not a REG_DWORD of four bytes.";
    SelectZero "select-zero"
        "The value of Select is 0, which is not a control set.";
    ServiceKeyMissing "service-key-missing"
        "The service key of the setting is not in the hive, and this program does not create it.";
    SetsDiffer "sets-differ"
        "The setting differs between control sets, so booting another one changes it.";
    SubkeyNotValue "subkey-not-value"
        "A subkey has the name of the setting, where Windows reads a value.";
    TombstoneValue "tombstone-value"
        "The value is marked as deleted in a layered hive: Windows treats it as absent.";
    Unconfirmed "unconfirmed"
        "The second parser could not confirm the answer or the edit.";
    Unreadable "unreadable"
        "A part of the hive is damaged and cannot be read.";
    UserUnnamed "user-unnamed"
        "The path belongs to the logged-on user, and no single user is selected.";
    WeakCryptoMisplaced "weak-crypto-misplaced"
        "The value AllowL2TPWeakCrypto is below a key where Windows does not read it.";
    Windows2000 "windows-2000"
        "The hive is of Windows 2000, for which the setting is not documented.";
    WindowsContradictory "windows-contradictory"
        "The hive has evidence of both XP and later Windows, so the right service key is unknown.";
    WindowsDisagrees "windows-disagrees"
        "The services of a control set belong to another Windows than those of the other control sets.";
    WindowsName "windows-name"
        "The option --windows does not name a version of Windows.";
    WindowsUnknown "windows-unknown"
        "The hive does not show its version of Windows, so the right service key is unknown.";
    WrongKey "wrong-key"
        "The setting is below the service key of another version of Windows.";
    WrongSize "wrong-size"
        "The setting is a REG_DWORD that is not four bytes long.";
    WrongType "wrong-type"
        "The setting is not a REG_DWORD.";

    // Edits, recovery and undo.
    ChangedSince "changed-since"
        "The target has changed since it was read or since the change, so nothing was written.";
    Damaged "damaged"
        "The hive is damaged, so it is not edited.";
    LogIsHive "log-is-hive"
        "A log to empty is the hive itself.";
    LogsElsewhere "logs-elsewhere"
        "The named logs are files of the host, so they cannot be emptied with a hive inside an image.";
    LogsOfSeveral "logs-of-several"
        "The option --log applies to one hive, but the edit changes several.";
    NoTarget "no-target"
        "The target of the undo file does not exist.";
    NotAnUndoFile "not-an-undo-file"
        "The file is not an undo file.";
    NotDurable "not-durable"
        "The new file is complete, but may be lost in a power failure, because its folder cannot be flushed.";
    OutputExists "output-exists"
        "The file that --output names already exists.";
    OutputFiles "output-files"
        "The result of --output would not be one file: the change concerns several files, or a copy would not find its backing files.";
    OutputFolder "output-folder"
        "The folder of the file that --output names does not exist.";
    Placement "placement"
        "The write would change bytes outside the hive's place in the image, so it was refused.";
    Proof "proof"
        "The edited bytes failed the proof, so nothing was written; this is a bug of this program.";
    ReadBack "read-back"
        "The bytes read back from the medium differ from those that were written.";
    RecoveredOnly "recovered-only"
        "The hive was recovered, and then the edit failed: the undo file reverts the recovery.";
    Rehearsal "rehearsal"
        "The dry run of the write in memory differs from the plan, so nothing was written; this is a bug of this program.";
    UndoDamaged "undo-damaged"
        "The undo file is damaged, so nothing is restored from it.";
    UndoExists "undo-exists"
        "The requested undo file already exists.";
    UndoFolder "undo-folder"
        "The folder of the undo file does not exist.";
    UndoGone "undo-gone"
        "The undo file that a pointer file beside the target names does not exist.";
    UndoOtherImage "undo-other-image"
        "The files of the image have other names than those in the undo file.";
    UndoShared "undo-shared"
        "The bytes to restore may belong to a snapshot or to other data of the image, so they are not changed.";
    UndoTooLong "undo-too-long"
        "The change is too large for an undo file.";
    UndoUnreadable "undo-unreadable"
        "An undo file of an unfinished write cannot be read.";
    UndoVersion "undo-version"
        "The undo file was written by a later version of this program.";
    Unfinished "unfinished"
        "A write to the target was interrupted; `undo` reverts it.";
    UnfinishedWrite "unfinished-write"
        "A write began and did not end; the named undo file restores the old state.";

    // Targets, audits and the command line.
    Changed "changed"
        "The target changed while it was read.";
    EarlierRecords "earlier-records"
        "Earlier records are ignored: they are incomplete or of another version, or a later file contains the same target.";
    Expectation "expectation"
        "The text is not an expectation of a setting.";
    ImageUnrecognised "image-unrecognised"
        "The file has the name of a disk image, but no format matches its contents.";
    List "list"
        "The list of targets contains an invalid name.";
    NoHash "no-hash"
        "The image contains no hash to compare with.";
    NoInstallation "no-installation"
        "No Windows installation was found.";
    NoPartition "no-partition"
        "There is no partition with that number.";
    NoProfile "no-profile"
        "The installation has no profile of that user.";
    NoVolume "no-volume"
        "The hive is on a volume that was not found.";
    NobodyLeft "nobody-left"
        "The target was not read, because no thread was available: other targets exceeded their time, or no thread could be started.";
    NoneFits "none-fits"
        "An entry of the policy matches no Windows that was read.";
    NotADisk "not-a-disk"
        "A volume or an image was selected in a target that has none.";
    OtherHive "other-hive"
        "The path belongs to another hive than the one that is named or edited.";
    Panic "panic"
        "The reading ended because of a bug of this program.";
    PartOf "part-of"
        "The file may be a part of a target whose reading was abandoned.";
    Pattern "pattern"
        "The pattern for file names is invalid.";
    Policy "policy"
        "The policy does not exist, is invalid, or contains nothing to apply.";
    ProfileVolume "profile-volume"
        "The folder of the profile may be on another volume.";
    RegistryRoot "registry-root"
        "The path does not begin at a root of the registry with hives, or does not name a hive.";
    ResumeIsOutput "resume-is-output"
        "The file of earlier records is also the output.";
    ResumeNoFile "resume-no-file"
        "The file of earlier records is not a regular file.";
    ResumeNoRecords "resume-no-records"
        "The file of earlier records does not contain records.";
    SeveralBootConfigurations "several-boot-configurations"
        "The disk has several boot configurations, and none was selected.";
    SeveralInstallations "several-installations"
        "The image or folder contains several Windows installations, and none was selected.";
    SeveralProfiles "several-profiles"
        "Several profiles have that user name.";
    Shard "shard"
        "The option --shard does not have the form I/N.";
    TargetKind "target-kind"
        "The target is not a file, a folder or a block device.";
    Timeout "timeout"
        "The target was not read within the time limit.";
    Usage "usage"
        "An argument of the command line is invalid.";

    // Files of the host.
    DeviceReadOnly "device-read-only"
        "The target is a block device, which is written to only with --device.";
    FileExists "file-exists"
        "The file to create already exists.";
    FixedLength "fixed-length"
        "The file cannot have the requested length.";
    FolderReadOnly "folder-read-only"
        "No file can be created in the folder.";
    ImageSize "image-size"
        "The files of the image together exceed the supported size, or there are none.";
    InUse "in-use"
        "Another program has the file open or locked.";
    Io "io"
        "A call of the operating system failed.";
    NoFile "no-file"
        "The file does not exist, or no file matches the pattern.";
    NoFolder "no-folder"
        "The folder does not exist.";
    NoMemory "no-memory"
        "There is not enough memory.";
    NoRandom "no-random"
        "The operating system returned no random bytes.";
    NotAFile "not-a-file"
        "The path does not lead to a regular file.";
    PastEnd "past-end"
        "The data ends before the requested place.";
    ReadOnly "read-only"
        "The file cannot be opened for writing.";
    SplitEmpty "split-empty"
        "A segment of the split image is empty, or there is none.";
    SplitMissing "split-missing"
        "A segment of the split image is missing.";
    SplitSize "split-size"
        "The segments together exceed the maximum size.";
    SplitUneven "split-uneven"
        "A segment of the split image differs in size from the others.";
    TooLarge "too-large"
        "The file exceeds the maximum size of its kind.";
    WindowPastEnd "window-past-end"
        "A part of the storage exceeds its end.";

    // Images of all formats.
    BackingFile "backing-file"
        "The write would change a file that other images may depend on.";
    BackingName "backing-name"
        "The name of the backing file is invalid.";
    Compressed "compressed"
        "The file is compressed or an archive; unpack it first.";
    Container "container"
        "The file contains a disk in an unsupported form.";
    FormatMismatch "format-mismatch"
        "The format of the file is not the one that --format names.";
    FormatUnknown "format-unknown"
        "There is no format with that name.";
    HasChildren "has-children"
        "Other images depend on this one, and a change would damage them.";
    Hive9x "hive-9x"
        "The file is a registry of Windows 95, 98 or Me.";
    ImageCircle "image-circle"
        "The chain of images is a cycle.";
    ImageDepth "image-depth"
        "The chain of images is too long.";
    ImageDirty "image-dirty"
        "The image was not closed by its last writer.";
    ImageFiles "image-files"
        "The image has more files than this program opens.";
    ImageGrows "image-grows"
        "The write would enlarge a file of the image whose length is fixed.";
    ImageReadOnly "image-read-only"
        "Images of this format or variant are read-only.";
    ImageTruncated "image-truncated"
        "The image ends before its data does.";
    LooksLike "looks-like"
        "The file looks like a format other than the one that it is opened as.";
    Luks "luks"
        "The file is a LUKS volume; decrypt it first.";
    NotAllocated "not-allocated"
        "The image has no block for this part of the disk, and this program does not allocate one.";
    OutsideFolder "outside-folder"
        "The image names a file outside its folder, which needs --allow-path.";
    PartOfImage "part-of-image"
        "The file is a part of an image that another file describes.";
    RegFile "reg-file"
        "The file is a .reg file, which contains registry entries as text.";
    TransactionLog "transaction-log"
        "The file is the transaction log of a hive.";

    // QEMU, which reads some formats.
    Encrypted "encrypted"
        "The image is encrypted.";
    EngineDied "engine-died"
        "The program qemu-nbd ended unexpectedly.";
    EngineFailed "engine-failed"
        "The program qemu-nbd failed to read or write.";
    EngineReadOnly "engine-read-only"
        "The program qemu-nbd does not allow writing to the image.";
    EngineRefused "engine-refused"
        "The program qemu-nbd refuses to open the image.";
    EngineSize "engine-size"
        "The program qemu-nbd reports a size that differs from the image's header.";
    EngineTimeout "engine-timeout"
        "The program qemu-nbd did not answer in time.";
    HeaderRewrite "header-rewrite"
        "The write would change the header of the image in a way that is not allowed.";
    NoQemuNbd "no-qemu-nbd"
        "The image needs qemu-nbd, which is not installed, cannot be started, or does not run on this system.";

    // EWF (E01).
    EwfChunk "ewf-chunk"
        "The chunk size of the E01 image is not supported.";
    EwfEvidence "ewf-evidence"
        "E01 images are evidence and are read-only.";
    EwfKind "ewf-kind"
        "This kind of E01 image is not supported.";
    EwfReadErrors "ewf-read-errors"
        "Some sectors of the disk could not be read when the E01 image was made.";
    EwfSection "ewf-section"
        "A section of the E01 image cannot be read.";
    EwfSegment "ewf-segment"
        "A segment of the E01 image is damaged or does not belong to the others.";
    EwfTable "ewf-table"
        "A chunk table of the E01 image is damaged.";

    // Open virtual appliances (OVA).
    PackedDamaged "packed-damaged"
        "The compressed image cannot be decompressed: it is damaged or truncated.";
    PackedTooLarge "packed-too-large"
        "The decompressed image exceeds the size that --unpack allows.";
    OvaDisk "ova-disk"
        "The disk in the OVA archive is stored in an unsupported way.";
    OvaDiskCompressed "ova-disk-compressed"
        "The disk in the OVA archive is compressed.";
    OvaDiskFormat "ova-disk-format"
        "The disk in the OVA archive has an unsupported format.";
    OvaDisks "ova-disks"
        "The OVA archive has several disks; the first is read.";
    OvaNoDisk "ova-no-disk"
        "No disk of the OVA archive can be read.";
    OvaOvf "ova-ovf"
        "The description (.ovf) of the OVA archive is missing or damaged.";
    OvaReadOnly "ova-read-only"
        "Disks in OVA archives are read-only.";
    OvaTar "ova-tar"
        "The OVA archive is truncated or damaged.";

    // Parallels.
    ParallelsBundle "parallels-bundle"
        "The image belongs to a bundle that has no single complete disk.";
    ParallelsDescriptor "parallels-descriptor"
        "The descriptor beside the Parallels image is damaged, or does not name the image.";
    ParallelsExtension "parallels-extension"
        "The Parallels image has bitmaps of changed blocks, which a write would invalidate.";
    ParallelsHeader "parallels-header"
        "The header of the Parallels image is damaged.";
    ParallelsInUse "parallels-in-use"
        "The Parallels image was not closed, or another program has it open.";
    ParallelsSnapshot "parallels-snapshot"
        "The Parallels image contains only the changes to another image.";
    ParallelsSnapshots "parallels-snapshots"
        "The Parallels image is the disk before a snapshot; newer data is in other files.";
    ParallelsSplit "parallels-split"
        "The disk of the Parallels bundle is split into several files.";

    // qcow2, QCOW 1 and QED.
    BackingProbed "backing-probed"
        "The image does not contain the format of its backing file, which was detected from its bytes.";
    BackingShort "backing-short"
        "The backing file is shorter than the disk; the rest reads as zeros.";
    QcowHeader "qcow-header"
        "The header of the QCOW 1 image is damaged.";
    Qcow2Backing "qcow2-backing"
        "The backing file name of the qcow2 image has a form that is not supported.";
    Qcow2Bitmaps "qcow2-bitmaps"
        "The qcow2 image has persistent bitmaps, which a write would invalidate.";
    Qcow2Corrupt "qcow2-corrupt"
        "QEMU has marked the qcow2 image as corrupt.";
    Qcow2DataFile "qcow2-data-file"
        "The external data file of the qcow2 image cannot be used.";
    Qcow2DataFileShort "qcow2-data-file-short"
        "The external data file of the qcow2 image is shorter than the disk.";
    Qcow2Dirty "qcow2-dirty"
        "The qcow2 image was not closed, or another program has it open.";
    Qcow2Encrypted "qcow2-encrypted"
        "The qcow2 image is encrypted.";
    Qcow2Feature "qcow2-feature"
        "The qcow2 image has an unsupported feature.";
    Qcow2Grows "qcow2-grows"
        "The write would enlarge the qcow2 file too much.";
    Qcow2Header "qcow2-header"
        "The header of the qcow2 image is damaged.";
    Qcow2Tables "qcow2-tables"
        "A table of the qcow2 image is damaged.";
    Qcow2Unsound "qcow2-unsound"
        "The tables and refcounts of the qcow2 image are inconsistent, so nothing is written.";
    Qcow2Version "qcow2-version"
        "The version of the qcow2 image is not supported.";
    QedFeatures "qed-features"
        "The QED image has unsupported features.";
    QedHeader "qed-header"
        "The header of the QED image is damaged.";
    QedNeedCheck "qed-need-check"
        "The QED image was not closed and asks for a check.";

    // VDI.
    VdiBlock "vdi-block"
        "The block map of the VDI image refers to a block outside the file.";
    VdiBlocks "vdi-blocks"
        "The block map of the VDI image is inconsistent, so a write would change other data.";
    VdiHeader "vdi-header"
        "The header of the VDI image is damaged.";
    VdiParent "vdi-parent"
        "The parent of the VDI image was not found or cannot be used.";
    VdiParentAmbiguous "vdi-parent-ambiguous"
        "Several files may be the parent of the VDI image.";
    VdiParentChanged "vdi-parent-changed"
        "The parent of the VDI image has changed since the image was made.";
    VdiParentSize "vdi-parent-size"
        "The disk of the VDI image's parent has a different size.";
    VdiType "vdi-type"
        "The type of the VDI image is not supported.";
    VdiVersion "vdi-version"
        "The version of the VDI image is not supported.";

    // VHD.
    VhdBlock "vhd-block"
        "The block allocation table of the VHD image refers to a block outside the file.";
    VhdBlocksOverlap "vhd-blocks-overlap"
        "Blocks of the VHD image overlap, so a write would change other data.";
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
        "The disk of the VHD image's parent has a different size.";
    VhdParentTime "vhd-parent-time"
        "The parent of the VHD image was copied or changed after the image was made.";
    VhdSavedState "vhd-saved-state"
        "The virtual machine of the VHD image is suspended, and its saved memory may restore old data.";
    VhdSlack "vhd-slack"
        "The VHD image has bytes between the disk and the footer.";
    VhdTruncated "vhd-truncated"
        "The VHD image is truncated.";

    // VHDX.
    VhdxBat "vhdx-bat"
        "The block allocation table of the VHDX image is damaged.";
    VhdxFileSize "vhdx-file-size"
        "The VHDX file is larger than the size up to which this program writes.";
    VhdxHeader "vhdx-header"
        "The headers of the VHDX image are invalid.";
    VhdxHeaderDamaged "vhdx-header-damaged"
        "One header of the VHDX image is damaged; the other is used.";
    VhdxHeadersEqual "vhdx-headers-equal"
        "Both headers of the VHDX image have the same sequence number.";
    VhdxLog "vhdx-log"
        "The log of the VHDX image must be replayed before a write.";
    VhdxLogCorrupt "vhdx-log-corrupt"
        "The log of the VHDX image is damaged.";
    VhdxLogSize "vhdx-log-size"
        "The log of the VHDX image is larger than the size that this program replays.";
    VhdxLogVersion "vhdx-log-version"
        "The log version of the VHDX image is not supported.";
    VhdxLogWaits "vhdx-log-waits"
        "The VHDX image was not closed; its log is replayed in memory for reading, and not in the file.";
    VhdxMetadata "vhdx-metadata"
        "The metadata of the VHDX image is damaged.";
    VhdxMetadataItem "vhdx-metadata-item"
        "The VHDX image requires an unsupported metadata item.";
    VhdxParent "vhdx-parent"
        "The parent of the VHDX image was not found or is another image.";
    VhdxParentKind "vhdx-parent-kind"
        "The type of the VHDX image's parent locator is not supported.";
    VhdxParentLocator "vhdx-parent-locator"
        "The parent locator of the VHDX image is damaged or incomplete.";
    VhdxRegion "vhdx-region"
        "The VHDX image requires an unsupported region.";
    VhdxRegionTable "vhdx-region-table"
        "The region tables of the VHDX image are invalid.";
    VhdxRegionTableDamaged "vhdx-region-table-damaged"
        "One region table of the VHDX image is damaged; the other is used.";
    VhdxSignature "vhdx-signature"
        "The file is not a VHDX image.";
    VhdxTruncated "vhdx-truncated"
        "The VHDX image is truncated.";
    VhdxVersion "vhdx-version"
        "The version of the VHDX image is not supported.";

    // VMDK.
    VmdkChangeTracking "vmdk-change-tracking"
        "The VMDK image tracks changes for backups, which would miss this write.";
    VmdkCompression "vmdk-compression"
        "The compression method of the VMDK image is not supported.";
    VmdkDamaged "vmdk-damaged"
        "The first grain directory of the VMDK image is damaged, so nothing is written.";
    VmdkDescriptor "vmdk-descriptor"
        "The descriptor of the VMDK image is damaged.";
    VmdkDevice "vmdk-device"
        "The VMDK descriptor refers to a device of the host.";
    VmdkDirectory "vmdk-directory"
        "A grain directory of the VMDK image is damaged; the other one is used.";
    VmdkEncrypted "vmdk-encrypted"
        "The VMDK image is encrypted by VMware.";
    VmdkExtentAlone "vmdk-extent-alone"
        "The file is one extent of a VMDK image; name the descriptor.";
    VmdkExtentKind "vmdk-extent-kind"
        "The VMDK image has an extent of an unsupported type.";
    VmdkExtentSize "vmdk-extent-size"
        "The size of an extent of the VMDK image does not match its descriptor.";
    VmdkExtentsOverlap "vmdk-extents-overlap"
        "Two extents of the VMDK image use the same bytes.";
    VmdkFooter "vmdk-footer"
        "The stream-optimised VMDK image has no valid footer: it is truncated.";
    VmdkGrain "vmdk-grain"
        "A grain of the VMDK image is damaged or past the end of its file.";
    VmdkGrainInTables "vmdk-grain-in-tables"
        "A grain of the VMDK image overlaps its tables, so a write would damage them.";
    VmdkGrainShared "vmdk-grain-shared"
        "Two entries of the VMDK image refer to one grain, so a write would change both.";
    VmdkHeader "vmdk-header"
        "The header of the VMDK image is damaged.";
    VmdkMagic "vmdk-magic"
        "The file is not a VMDK descriptor, or not an extent of the type that its descriptor names.";
    VmdkNewlines "vmdk-newlines"
        "The VMDK image was copied as text, which damaged it.";
    VmdkNoAccess "vmdk-no-access"
        "The descriptor of the VMDK image forbids access to the extent.";
    VmdkParentChanged "vmdk-parent-changed"
        "The parent of the VMDK image was changed after the snapshot.";
    VmdkReadOnlyExtent "vmdk-read-only-extent"
        "The descriptor of the VMDK image marks the extent as read-only.";
    VmdkSesparse "vmdk-sesparse"
        "VMDK extents of the type SEsparse are read-only.";
    VmdkSesparseJournal "vmdk-sesparse-journal"
        "The SEsparse VMDK extent has a journal that ESXi must replay first.";
    VmdkStream "vmdk-stream"
        "Stream-optimised VMDK images are compressed and read-only.";
    VmdkTable "vmdk-table"
        "A grain table of the VMDK image is damaged.";
    VmdkTablesDiffer "vmdk-tables-differ"
        "The two grain tables of the VMDK image contradict each other, so nothing is written.";
    VmdkUnclean "vmdk-unclean"
        "The VMDK image was not closed, or its virtual machine is running.";
    VmdkVersion "vmdk-version"
        "The version of the VMDK extent is not supported.";

    // WIM.
    NoImage "no-image"
        "The WIM archive has no image with that number or name, or several with that name.";
    WimBlob "wim-blob"
        "A file in the WIM archive is damaged and cannot be decompressed.";
    WimBlobMissing "wim-blob-missing"
        "The WIM archive does not contain the data of a file; it is a delta of another archive.";
    WimEncrypted "wim-encrypted"
        "The ESD archive is encrypted.";
    WimHash "wim-hash"
        "The data of a file in the WIM archive does not match its stored hash.";
    WimHeader "wim-header"
        "The header of the WIM archive is damaged.";
    WimMetadata "wim-metadata"
        "The folder tree of an image in the WIM archive is damaged.";
    WimParts "wim-parts"
        "A part of the split WIM archive is missing, misnamed, or belongs to another archive.";
    WimPipable "wim-pipable"
        "The WIM archive is pipable, so nothing can be appended to it.";
    WimReadOnly "wim-read-only"
        "The WIM archive is marked as read-only.";
    WimReplace "wim-replace"
        "The file cannot be replaced in the image of the WIM archive.";
    WimSplit "wim-split"
        "The WIM archive is split, so nothing can be appended to it.";
    WimTable "wim-table"
        "A table of the WIM archive is damaged.";
    WimUnfinished "wim-unfinished"
        "A write to the WIM archive by another program was interrupted, or is in progress.";
    WimVersion "wim-version"
        "The version, compression or chunk size of the WIM archive is not supported.";
    WimXml "wim-xml"
        "The XML data of the WIM archive is damaged.";

    // Partition tables.
    BootSectorInMbr "boot-sector-in-mbr"
        "The first sector is both a boot sector and a partition table; it is read as a table.";
    ExtendedCycle "extended-cycle"
        "The chain of logical partitions is a cycle or too long.";
    ExtendedRecord "extended-record"
        "An extended boot record is missing, so the logical partitions after it are not found.";
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
        "The sector number in the GPT header is that of another sector.";
    GptRevision "gpt-revision"
        "The GPT has an unknown revision.";
    GptSignature "gpt-signature"
        "The GPT header is missing, or past the end of the disk.";
    HybridMbr "hybrid-mbr"
        "The MBR before the GPT has partitions, and Windows uses those.";
    LogicalOutside "logical-outside"
        "A logical partition exceeds its extended partition.";
    MoreWarnings "more-warnings"
        "There are more warnings than are listed.";
    NoProtectiveMbr "no-protective-mbr"
        "The disk has a GPT without a protective MBR.";
    PartitionOutsideUsable "partition-outside-usable"
        "A partition exceeds the range that the GPT reserves for partitions.";
    PartitionPastEnd "partition-past-end"
        "A partition ends past the end of the disk, so the image is truncated.";
    PartitionRange "partition-range"
        "A partition ends before it begins, so it is left out.";
    PartitionsOverlap "partitions-overlap"
        "Partitions overlap, so a write to one may damage another.";
    StaleGpt "stale-gpt"
        "A GPT on the disk is not used, because the MBR contradicts it.";
    TableDamaged "table-damaged"
        "The primary partition table is damaged; only its backup contains the volumes.";

    // Volumes.
    Bitlocker "bitlocker"
        "The volume is encrypted by BitLocker.";
    Refs "refs"
        "The volume is ReFS, which is not supported.";
    VolumeBitlocker "volume-bitlocker"
        "The partition is encrypted by BitLocker.";
    VolumeDirty "volume-dirty"
        "The volume is marked as dirty; Windows should check it before a write.";
    VolumeDynamicDisk "volume-dynamic-disk"
        "The partition belongs to a dynamic disk of Windows.";
    VolumeEmpty "volume-empty"
        "The partition is empty.";
    VolumeExtended "volume-extended"
        "The partition is an extended partition, which has no file system of its own.";
    VolumeFastStartup "volume-fast-startup"
        "Windows was not fully shut down (Fast Startup), so it may keep newer data of the volume.";
    VolumeHibernated "volume-hibernated"
        "A hibernated session still uses the volume and would restore the old hive.";
    VolumeHibernationUnknown "volume-hibernation-unknown"
        "It is unknown whether a hibernated session still uses the volume.";
    VolumeJournal "volume-journal"
        "The journal of the volume contains operations that were not applied, so metadata may be outdated.";
    VolumeKind "volume-kind"
        "The partition has no supported file system.";
    VolumeLuks "volume-luks"
        "The partition is encrypted by LUKS.";
    VolumePastEnd "volume-past-end"
        "The partition begins past the end of the image, which is truncated.";
    VolumeRefs "volume-refs"
        "The partition is ReFS, which is not supported.";
    ShadowCopies "shadow-copies"
        "The volume has shadow copies, which share blocks with it.";
    VolumeStorageSpaces "volume-storage-spaces"
        "The partition belongs to a Storage Spaces pool.";
    VolumeTruncated "volume-truncated"
        "The image ends before the volume does.";

    // Files of a volume.
    AmbiguousName "ambiguous-name"
        "Several names in a folder differ from the requested name only by case.";
    FileAmbiguous "file-ambiguous"
        "Several names in a folder of the volume differ from the requested name only by case.";
    FileClustersFree "file-clusters-free"
        "A cluster of the file is marked as free, so Windows may give it to another file.";
    FileCompressed "file-compressed"
        "The file is compressed on its volume, so it is not written in place.";
    FileCompression "file-compression"
        "The compression of the file is not supported.";
    FileEncrypted "file-encrypted"
        "The file is encrypted on its volume.";
    FileFiltered "file-filtered"
        "The file is a placeholder that only a filter driver of Windows can fill.";
    FileInManyRecords "file-in-many-records"
        "The run list of the file is spread over several file records, so the file is not enlarged.";
    FileIsFolder "file-is-folder"
        "The name is that of a folder, but a file is needed.";
    FileNotAllocated "file-not-allocated"
        "The file has no clusters for a part of the change, so nothing is written.";
    FileNotPlain "file-not-plain"
        "The clusters of the file contain its data in another form, so the file is not written in place.";
    FileNotValid "file-not-valid"
        "A part of the change is past the valid data of the file, so nothing is written.";
    FileOfFileSystem "file-of-file-system"
        "The file belongs to the file system itself, so it is not enlarged.";
    FileRecordFull "file-record-full"
        "The file record has no space for a longer run list.";
    FileReparse "file-reparse"
        "The file is a link or another reparse point; name its target.";
    FileResident "file-resident"
        "The file is stored in its file record and has no clusters, so it is not written in place.";
    FileSparse "file-sparse"
        "The file is sparse, so it is not written in place.";
    FileTooShort "file-too-short"
        "The change ends past the end of the file on its volume.";
    FolderTooLarge "folder-too-large"
        "The folder has more entries than this program reads.";
    FreeSpaceInPieces "free-space-in-pieces"
        "The free space of the volume is too fragmented to enlarge the file.";
    GrowthInDoubt "growth-in-doubt"
        "The volume is dirty, damaged or used by a hibernated session, so no file on it is enlarged.";

    // NTFS.
    NtfsAttribute "ntfs-attribute"
        "An attribute of an NTFS file record is damaged.";
    NtfsAttributeList "ntfs-attribute-list"
        "An attribute list of the NTFS volume is damaged.";
    NtfsBackupBootSector "ntfs-backup-boot-sector"
        "The NTFS boot sector is damaged; its backup is used.";
    NtfsBitmap "ntfs-bitmap"
        "The cluster bitmap ($Bitmap) of the NTFS volume is damaged.";
    NtfsBootSector "ntfs-boot-sector"
        "The volume does not begin with a valid NTFS boot sector.";
    NtfsFixup "ntfs-fixup"
        "The update sequence array of an NTFS record is damaged.";
    NtfsIndex "ntfs-index"
        "A folder index of the NTFS volume is damaged.";
    NtfsIndexCycle "ntfs-index-cycle"
        "A folder index of the NTFS volume is a cycle.";
    NtfsIndexFree "ntfs-index-free"
        "A folder index of the NTFS volume refers to a block that is not in use.";
    NtfsIndexOrder "ntfs-index-order"
        "A folder index of the NTFS volume is not sorted, so a name might be missed.";
    NtfsIndexTorn "ntfs-index-torn"
        "A block of a folder index was written only partly.";
    NtfsLog "ntfs-log"
        "The journal of the NTFS volume cannot be read.";
    NtfsLogTorn "ntfs-log-torn"
        "A page of the NTFS journal was written only partly.";
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
        "A name refers to a file record that only extends another.";
    NtfsRecordFree "ntfs-record-free"
        "A reference leads to a file record that is not in use.";
    NtfsRecordTorn "ntfs-record-torn"
        "A file record was written only partly.";
    NtfsRuns "ntfs-runs"
        "The run list of a file is damaged.";
    NtfsRunsOverlap "ntfs-runs-overlap"
        "The run list of a file contains a cluster twice.";
    NtfsStaleReference "ntfs-stale-reference"
        "A reference leads to a file record that now belongs to another file.";
    NtfsStreamGap "ntfs-stream-gap"
        "A part of the run list of a file is missing.";
    NtfsStreamShort "ntfs-stream-short"
        "The data of a file ends before its length.";
    NtfsStreamSize "ntfs-stream-size"
        "The sizes in a data attribute contradict each other.";
    NtfsUpcase "ntfs-upcase"
        "The upcase table ($UpCase) of the NTFS volume is damaged.";
    NtfsVolume "ntfs-volume"
        "The NTFS volume has no version and flags ($Volume).";

    // FAT.
    FatBootSector "fat-boot-sector"
        "The volume does not begin with a valid FAT boot sector.";
    FatChainCluster "fat-chain-cluster"
        "A cluster chain contains an invalid cluster number.";
    FatChainCycle "fat-chain-cycle"
        "A cluster chain is a cycle.";
    FatChainShort "fat-chain-short"
        "A cluster chain ends before its file does.";
    FatCopies "fat-copies"
        "The copies of the FAT differ, so no file on the volume is enlarged.";
    FatDiskError "fat-disk-error"
        "The FAT volume is marked: a disk error occurred while it was mounted.";
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
