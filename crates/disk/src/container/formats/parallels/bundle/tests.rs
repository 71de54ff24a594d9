use super::*;

const TEXT: &str = "<?xml version='1.0' encoding='UTF-8'?>\n<Parallels_disk_image Version=\"1.0\">
    <Disk_Parameters><Disk_size>1</Disk_size><File>no.hds</File></Disk_Parameters>
    <StorageData><Storage><Start>0</Start><End>1</End><Blocksize>2048</Blocksize>
    <Image><GUID>{AAAA}</GUID><Type>Compressed</Type><File>vm&amp;1.{aaaa}.hds</File></Image>
    <Image><GUID>{bbbb}</GUID><Type>Compressed</Type><File>/elsewhere/vm.{bbbb}.hds</File></Image>
    </Storage></StorageData>
    <Snapshots><TopGUID>{bbbb}</TopGUID>
    <Shot><GUID>{bbbb}</GUID><ParentGUID>{aaaa}</ParentGUID></Shot>
    <Shot><GUID>{aaaa}</GUID><ParentGUID>{00000000-0000-0000-0000-000000000000}</ParentGUID></Shot>
    </Snapshots></Parallels_disk_image>";

/// Returns the children of the image with that name, or the error.
fn judged(text: &str, name: &str) -> std::result::Result<Option<Vec<String>>, Code> {
    let bundle = Bundle::of(text).map_err(|error| error.code())?;
    bundle.image(Path::new(name)).map(|image| bundle.judge(image)).transpose().map_err(|error| error.code())
}

#[test]
fn only_a_root_without_parent_is_the_whole_disk() {
    let root = "/f/vm&1.{aaaa}.hds";
    assert_eq!(judged(TEXT, root), Ok(Some(vec!["vm.{bbbb}.hds".to_owned()])));
    assert_eq!(judged(TEXT, "vm.{bbbb}.hds"), Err(Code::ParallelsSnapshot));
    assert_eq!(judged(TEXT, "renamed.{BBBB}.hds"), Err(Code::ParallelsSnapshot), "its GUID is in the name");
    assert_eq!(judged(TEXT, "no.hds"), Ok(None));
    assert_eq!(judged(&TEXT.replace("</Storage>", "</Storage><Storage></Storage>"), root), Err(Code::ParallelsSplit));
    assert_eq!(judged(&TEXT.replace("<Shot>", "<Shut>"), root), Err(Code::ParallelsDescriptor));
    assert_eq!(judged(&TEXT.replace("{00000000-", "{10000000-"), root), Err(Code::ParallelsSnapshot));
    assert_eq!(
        judged(&TEXT.replace("<ParentGUID>{aaaa}", "<ParentGUID>"), "vm.{bbbb}.hds"),
        Err(Code::ParallelsSnapshot)
    );
    let alone =
        format!("{}</Storage></StorageData></Parallels_disk_image>", TEXT.split_once("<Image><GUID>{b").unwrap().0);
    assert_eq!(judged(&alone, root), Ok(Some(vec![])), "a disk without snapshots need not have any shots");
    let image = Path::new("vm.hdd").join("vm&1.{aaaa}.hds");
    let advice = Bundle::of(&alone).unwrap().advice(Path::new("vm.hdd"));
    assert_eq!(advice, format!("name the image in it: {}", image.display()));
}

#[test]
fn any_text_is_parsed_without_panic() {
    for end in 0..TEXT.len() {
        assert_eq!(judged(&TEXT[..end], "x"), Err(Code::ParallelsDescriptor), "{end}");
    }
    let close = "</Parallels_disk_image>";
    for odd in ["<GUID>", "<Image><GUID>", "<Shot><ParentGUID>{", "<Image><File>../..", "<Image", "<Storage/>", "<é='>"]
    {
        for text in
            [format!("{odd}{close}"), format!("{odd}{odd}<{odd}{close}"), format!("{}{close}", odd.repeat(9000))]
        {
            let _ = judged(&text, "x.{}.hds");
        }
    }
    assert_eq!(judged(&TEXT.replace("<Shot>", &"<Shot>".repeat(2000)), "x").unwrap_err(), "parallels-descriptor");
    let long = hivewright_storage::memory::Memory::new(vec![b' '; (1 << 20) + 1]);
    assert_eq!(Bundle::read(&long).map(|_| ()).unwrap_err().code(), "parallels-descriptor");
}
