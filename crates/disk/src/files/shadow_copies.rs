//! Counts the shadow copies of a volume by the names of their files.

/// The folder of the files in which Windows stores the differences between shadow copies and their volume.
pub const FOLDER: &str = "System Volume Information";
/// The suffix of their names (J. Metz, *Volume Shadow Snapshot (VSS) format*). The name begins with the identifier of
/// the shadow copy; the catalog's file has no identifier.
const IDENTIFIER: &str = "{3808876b-c176-4e48-b7ae-04046e6cc752}";

/// Returns whether a file of that name in [`FOLDER`] belongs to one shadow copy.
pub fn is_store(name: &str) -> bool {
    let Some((own, identifier)) = name.split_at_checked(IDENTIFIER.len()) else { return false };
    let like = IDENTIFIER.bytes().zip(own.bytes());
    identifier.eq_ignore_ascii_case(IDENTIFIER)
        && like.into_iter().all(|(model, byte)| if is_digit(model) { is_digit(byte) } else { model == byte })
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_and_other_files_are_not_shadow_copies() {
        let own = "{600F0B69-5bdf-11e3-9d6c-005056c00008}";
        assert!(is_store(&format!("{own}{IDENTIFIER}")) && is_store(&format!("{own}{}", IDENTIFIER.to_uppercase())));
        for name in [IDENTIFIER, own, "", "tracking.log", &format!("{IDENTIFIER}{own}"), &"\u{e4}".repeat(38)] {
            assert!(!is_store(name), "{name}");
        }
        assert!(!is_store(&format!("{}{IDENTIFIER}", own.replace('9', "g"))));
    }
}
