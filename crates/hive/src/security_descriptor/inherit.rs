//! The descriptor of a new key (MS-DTYP 2.5.3.4; Microsoft, "ACE Inheritance Rules" and "DACL for a New Object").

use super::{Ace, AceBody, Acl, SecurityDescriptor, Sid, ace_flags, control, rights};

impl SecurityDescriptor {
    /// Returns the descriptor that a new subkey of a key with this one gets, when its creator gives none.
    ///
    /// - Entries that containers inherit come over. One with a placeholder (CREATOR OWNER, CREATOR GROUP) or generic
    ///   rights comes twice: resolved for the new key, and as it is for what will be below it.
    /// - Entries for objects that are no containers come over for what will be below.
    /// - Entries are marked as inherited, and the list as made by inheritance, where the parent's list is so marked
    ///   (measured on hives of Windows XP to 10: 17,300 of 18,700 keys whose list is their parent's by these rules,
    ///   but not the parent's very descriptor; most others lie below keys whose list was changed later).
    /// - Owner and group are those of the parent. Windows takes them from the token of the creator, which there is
    ///   none of offline. A parent without them gives administrators and local system.
    /// - A parent whose list has no inheritable entry gives the default list of an administrator's token: all rights
    ///   for administrators and local system (measured on boot configuration data). There too Windows asks the token.
    /// - Audits and labels are inherited in the same way; without inheritable ones there are none.
    pub fn for_new_key(&self) -> SecurityDescriptor {
        let owner = self.owner.clone().unwrap_or_else(|| Sid::ADMINISTRATORS.to_sid());
        let group = self.group.clone().unwrap_or_else(|| Sid::SYSTEM.to_sid());
        let inherit = |acl: &Option<Acl>, mark: u16| {
            let mark = if self.control & mark == 0 { 0 } else { ace_flags::INHERITED };
            inherited(acl.as_ref()?, mark, &owner, &group)
        };
        let (dacl_mark, sacl_mark) = (control::DACL_AUTO_INHERITED, control::SACL_AUTO_INHERITED);
        let sacl = inherit(&self.sacl, sacl_mark);
        let dacl = inherit(&self.dacl, dacl_mark).or_else(|| Some(default_list()));
        let marks = self.control & (dacl_mark | sacl_mark);
        let mut child =
            SecurityDescriptor { control: marks, resource_manager_control: 0, owner: None, group: None, sacl, dacl };
        child.control = child.effective_control();
        (child.owner, child.group) = (Some(owner), Some(group));
        child
    }
}

fn default_list() -> Acl {
    Acl::new([Sid::ADMINISTRATORS, Sid::SYSTEM].map(|sid| Ace::allow(0, rights::ALL, sid.to_sid())).into())
}

/// Returns the entries that a container inherits; `None` if there is none.
fn inherited(acl: &Acl, mark: u8, owner: &Sid, group: &Sid) -> Option<Acl> {
    let aces: Vec<Ace> = acl.aces.iter().flat_map(|ace| inherited_from(ace, mark, owner, group)).flatten().collect();
    (!aces.is_empty()).then_some(Acl { revision: acl.revision, aces })
}

/// Returns the entries that a container gets of one of its parent's: one that counts for it, and one for what is below.
/// `mark` is set on both.
fn inherited_from(ace: &Ace, mark: u8, owner: &Sid, group: &Sid) -> [Option<Ace>; 2] {
    const PASSED_ON: u8 = ace_flags::OBJECT_INHERIT | ace_flags::CONTAINER_INHERIT;
    let kept = ace.flags & !(PASSED_ON | ace_flags::NO_PROPAGATE | ace_flags::INHERIT_ONLY) | mark;
    let passed_on = ace.flags & PASSED_ON;
    let below = |flags: u8| {
        let passes_on = !ace.has(ace_flags::NO_PROPAGATE) && passed_on != 0;
        passes_on.then(|| Ace { flags: kept | passed_on | flags, ..ace.clone() })
    };
    // A type of objects is never that of a key.
    let for_type = matches!(&ace.body, AceBody::Rights { object_types: Some(types), .. } if types.inherited.is_some());
    if !ace.has(ace_flags::CONTAINER_INHERIT) || for_type {
        return [None, below(ace_flags::INHERIT_ONLY)];
    }
    let resolved = resolve(&ace.body, owner, group);
    if resolved == ace.body {
        return [None, below(0).or_else(|| Some(Ace { flags: kept, ..ace.clone() }))];
    }
    [Some(Ace { flags: kept, ace_type: ace.ace_type, body: resolved }), below(ace_flags::INHERIT_ONLY)]
}

/// Puts owner and group in the place of placeholders, and rights to keys in the place of generic ones.
fn resolve(body: &AceBody, owner: &Sid, group: &Sid) -> AceBody {
    let mut resolved = body.clone();
    if let AceBody::Rights { mask, sid, .. } = &mut resolved {
        *mask = map_generic(*mask);
        if Sid::CREATOR_OWNER.is(sid) {
            *sid = owner.clone();
        } else if Sid::CREATOR_GROUP.is(sid) {
            *sid = group.clone();
        }
    }
    resolved
}

/// Maps generic rights to those of keys.
fn map_generic(mask: u32) -> u32 {
    const MAPPING: [(u32, u32); 4] = [
        (rights::GENERIC_READ, rights::READ),
        (rights::GENERIC_WRITE, rights::WRITE),
        (rights::GENERIC_EXECUTE, rights::EXECUTE),
        (rights::GENERIC_ALL, rights::ALL),
    ];
    MAPPING
        .iter()
        .fold(mask, |mask, &(generic, rights)| if mask & generic != 0 { mask & !generic | rights } else { mask })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(parent: &str) -> String {
        let child = SecurityDescriptor::from_sddl(parent).unwrap().for_new_key();
        assert_eq!(SecurityDescriptor::from_bytes(&child.to_bytes().unwrap()).unwrap(), child);
        child.to_sddl().unwrap().text
    }

    #[test]
    fn containers_inherit_by_the_flags() {
        for (parent, expected) in [
            ("(A;;KA;;;WD)(A;CI;KR;;;BU)", "(A;CIID;KR;;;BU)"),
            ("(A;OICI;KR;;;BU)", "(A;OICIID;KR;;;BU)"),
            ("(A;CIIO;KR;;;BU)", "(A;CIID;KR;;;BU)"),
            ("(A;CINP;KR;;;BU)", "(A;ID;KR;;;BU)"),
            ("(A;OI;KR;;;BU)", "(A;OIIOID;KR;;;BU)"),
            ("(A;OIIO;KR;;;BU)", "(A;OIIOID;KR;;;BU)"),
            ("(A;OINP;KR;;;BU)(A;CI;KR;;;WD)", "(A;CIID;KR;;;WD)"),
            ("(A;CIID;KR;;;BU)", "(A;CIID;KR;;;BU)"),
            ("(D;CI;KW;;;BU)(A;CI;KA;;;WD)", "(D;CIID;KW;;;BU)(A;CIID;KA;;;WD)"),
            ("(A;CI;GR;;;BU)", "(A;ID;KR;;;BU)(A;CIIOID;GR;;;BU)"),
            ("(A;CINP;GA;;;BU)", "(A;ID;KA;;;BU)"),
            ("(A;CI;CCGW;;;BU)", "(A;ID;CCDCLCRC;;;BU)(A;CIIOID;CCGW;;;BU)"),
            ("(A;CIIO;KA;;;CO)", "(A;ID;KA;;;LS)(A;CIIOID;KA;;;CO)"),
            ("(A;CIIO;GX;;;CG)", "(A;ID;KR;;;NS)(A;CIIOID;GX;;;CG)"),
            (
                "(OA;CI;KR;;ab721a53-1e2f-11d0-9819-00aa0040529b;BU)",
                "(OA;CIIOID;KR;;ab721a53-1e2f-11d0-9819-00aa0040529b;BU)",
            ),
        ] {
            let expected = format!("O:LSG:NSD:AI{expected}");
            assert_eq!(child(&format!("O:LSG:NSD:PARAI{parent}")), expected, "{parent}");
        }
    }

    #[test]
    fn entries_are_marked_where_the_parent_s_list_is() {
        let parent = "O:BAG:SYD:P(A;CI;KR;;;BU)(A;CIIO;GA;;;CO)(A;CIID;KR;;;WD)S:AI(ML;CI;NW;;;HI)";
        let expected = "O:BAG:SYD:(A;CI;KR;;;BU)(A;;KA;;;BA)(A;CIIO;GA;;;CO)(A;CIID;KR;;;WD)S:AI(ML;CIID;NW;;;HI)";
        assert_eq!(child(parent), expected);
        let child = SecurityDescriptor::from_sddl("O:BAG:SYD:(A;CI;KR;;;BU)S:AI").unwrap().for_new_key();
        assert_eq!((child.control, child.sacl), (0x8804, None));
    }

    #[test]
    fn without_inheritable_entries_an_administrator_s_default_counts() {
        let default = "D:(A;;KA;;;BA)(A;;KA;;;SY)";
        for list in ["D:(A;;KR;;;BU)", "D:", "D:NO_ACCESS_CONTROL", ""] {
            assert_eq!(child(&format!("O:SYG:BU{list}")), format!("O:SYG:BU{default}"));
        }
        assert_eq!(child("D:(A;CI;KR;;;CO)"), "O:BAG:SYD:(A;;KR;;;BA)(A;CIIO;KR;;;CO)");
    }

    #[test]
    fn audits_and_labels_are_inherited_too() {
        let parent = "O:BAG:SYD:AI(A;CI;KR;;;BU)S:AI(AU;CISAFA;GW;;;WD)(ML;CI;NW;;;HI)(AU;SA;KA;;;WD)";
        let expected = "O:BAG:SYD:AI(A;CIID;KR;;;BU)S:AI(AU;IDSAFA;KW;;;WD)(AU;CIIOIDSAFA;GW;;;WD)(ML;CIID;NW;;;HI)";
        assert_eq!(child(parent), expected);
    }
}
