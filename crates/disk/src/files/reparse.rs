//! Reparse points: links, and files whose contents a filter driver of Windows makes.

use hivewright_error::{Code, Error, Kind};
use hivewright_storage::advised;

const OF_LINK: &str = "name its target";
const OF_FILTERED: &str = "copy the file with the Windows that stores it so, and edit the copy";

/// Returns the error for the file or folder at `path` with a reparse point of that tag. `None` for a folder whose own
/// entries are used.
pub(crate) fn refusal(path: &str, tag: u32, is_folder: bool) -> Option<Error> {
    // The entries of a folder are used unless the tag is a name surrogate (Microsoft, "Reparse point tags", bit N).
    // This includes folders of cloud files.
    const ANOTHER_NAME: u32 = 0x2000_0000;
    if is_folder && tag & ANOTHER_NAME == 0 && tag != 0 {
        return None;
    }
    let compressed = of_compressed();
    let (code, what, advice) = match tag {
        0xa000_0003 => (Code::FileReparse, "a junction or mount point", OF_LINK),
        0xa000_000c => (Code::FileReparse, "a symbolic link", OF_LINK),
        0x8000_0017 => (Code::FileFiltered, "a file compressed by Windows (WOF: compact OS or WIMBoot)", &*compressed),
        0x8000_0013 => (Code::FileFiltered, "a deduplicated file", OF_FILTERED),
        tag if tag & ANOTHER_NAME == 0 && tag != 0 => {
            (Code::FileFiltered, "a file whose contents Windows generates", OF_FILTERED)
        }
        _ => (Code::FileReparse, "a reparse point", OF_LINK),
    };
    let what = format!("{path} is {what}, tag {tag:#010x}");
    Some(Error::new(Kind::Unsupported, code, what).advise(advice))
}

fn of_compressed() -> String {
    format!(
        "uncompress it with `{}` and its path, in that Windows or in another one that has the disk attached; or copy it with Windows, and edit the copy",
        advised::UNCOMPRESS_WOF
    )
}
