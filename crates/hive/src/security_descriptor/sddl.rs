//! Security descriptors as text (MS-DTYP 2.5.1; the names of sddl.h, "ACE Strings" and "SID Strings" of Microsoft).

mod names;
mod read;

use std::fmt::{self, Write};

use super::{Ace, AceBody, AceType, Acl, Guid, SecurityDescriptor, Sid, control, text_error};
use hivewright_error::Result;
use names::{ACE_FLAGS, ACE_TYPES, ACL_FLAGS, COMPOSITE_RIGHTS, LABEL_RIGHTS, NULL_ACL, RIGHTS, SIDS};

/// A descriptor as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sddl {
    /// The text.
    pub text: String,
    /// The parts of the descriptor that the text cannot represent.
    pub omitted: Vec<Omitted>,
}

/// A part of a descriptor that text cannot represent. None of them grants or denies anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Omitted {
    /// Control bits without letters.
    ControlBits(u16),
    /// The byte of the resource manager.
    ResourceManagerControl(u8),
    /// A list's revision that is not the one that its entries need.
    Revision(u8),
    /// Undefined bytes after the security identifier of an entry.
    BytesBehindSid(usize),
}

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Omitted::ControlBits(bits) => write!(f, "the control bits {bits:#06x}"),
            Omitted::ResourceManagerControl(byte) => write!(f, "the resource manager's byte {byte:#04x}"),
            Omitted::Revision(revision) => write!(f, "the revision {revision} of an access control list"),
            Omitted::BytesBehindSid(count) => write!(f, "{count} bytes after the security identifier of an entry"),
        }
    }
}

/// One of the two lists: its tag, and its control bits.
struct Part {
    tag: char,
    present: u16,
    auto_inherit_required: u16,
    auto_inherited: u16,
    protected: u16,
}

const DACL: Part = Part {
    tag: 'D',
    present: control::DACL_PRESENT,
    auto_inherit_required: control::DACL_AUTO_INHERIT_REQUIRED,
    auto_inherited: control::DACL_AUTO_INHERITED,
    protected: control::DACL_PROTECTED,
};

const SACL: Part = Part {
    tag: 'S',
    present: control::SACL_PRESENT,
    auto_inherit_required: control::SACL_AUTO_INHERIT_REQUIRED,
    auto_inherited: control::SACL_AUTO_INHERITED,
    protected: control::SACL_PROTECTED,
};

impl Part {
    /// Returns the control bit of each of the names in [`ACL_FLAGS`].
    fn flags(&self) -> [(&'static str, u16); 3] {
        let bits = [self.protected, self.auto_inherit_required, self.auto_inherited];
        std::array::from_fn(|i| (ACL_FLAGS[i], bits[i]))
    }

    fn bits(&self) -> u16 {
        self.present | self.auto_inherit_required | self.auto_inherited | self.protected
    }
}

impl SecurityDescriptor {
    /// Returns the descriptor as text. [`SecurityDescriptor::from_sddl`] makes the same of it, but for
    /// [`Sddl::omitted`].
    ///
    /// Rights are written as in Windows: by one name if one matches (`KA`), else by a name for each bit, else in
    /// hexadecimal. Security identifiers that are the same on every computer have their two letters.
    ///
    /// # Errors
    /// `sddl`: an entry has a type that text has no name for, or a condition or an attribute.
    pub fn to_sddl(&self) -> Result<Sddl> {
        let mut sddl = Sddl { text: String::new(), omitted: Vec::new() };
        let control = self.effective_control();
        let mut carried = control::SELF_RELATIVE;
        for (tag, sid) in [('O', &self.owner), ('G', &self.group)] {
            if let Some(sid) = sid {
                sddl.write(format_args!("{tag}:{}", SidName(sid)));
            }
        }
        for (part, acl) in [(DACL, &self.dacl), (SACL, &self.sacl)] {
            if control & part.present != 0 {
                sddl.list(&part, control, acl.as_ref())?;
                carried |= part.bits();
            }
        }
        if control & !carried != 0 {
            sddl.omitted.push(Omitted::ControlBits(control & !carried));
        }
        if self.resource_manager_control != 0 {
            sddl.omitted.push(Omitted::ResourceManagerControl(self.resource_manager_control));
        }
        Ok(sddl)
    }
}

impl Sddl {
    fn write(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }

    fn list(&mut self, part: &Part, control: u16, acl: Option<&Acl>) -> Result<()> {
        self.write(format_args!("{}:", part.tag));
        for (name, bit) in part.flags() {
            if control & bit != 0 {
                self.text.push_str(name);
            }
        }
        let Some(acl) = acl else {
            self.text.push_str(NULL_ACL);
            return Ok(());
        };
        if acl.revision != Acl::new(acl.aces.clone()).revision {
            self.omitted.push(Omitted::Revision(acl.revision));
        }
        acl.aces.iter().try_for_each(|ace| self.ace(ace))
    }

    fn ace(&mut self, ace: &Ace) -> Result<()> {
        let no_name = || text_error(format!("an entry of type {:#04x} cannot be written as text", ace.ace_type.0));
        let AceBody::Rights { mask, object_types, sid, data } = &ace.body else { return Err(no_name()) };
        let (name, _) = ACE_TYPES.iter().find(|(_, ace_type)| *ace_type == ace.ace_type).ok_or_else(no_name)?;
        if ace.ace_type.has_data() && !data.is_empty() {
            return Err(text_error(format!("the condition of an entry of type {name} cannot be written as text")));
        }
        if !data.is_empty() {
            self.omitted.push(Omitted::BytesBehindSid(data.len()));
        }
        self.write(format_args!("({name};"));
        for (name, flag) in ACE_FLAGS {
            if ace.has(flag) {
                self.text.push_str(name);
            }
        }
        let types = object_types.unwrap_or_default();
        let [object, inherited] = [types.object, types.inherited].map(OptionalGuid);
        let rights = RightsText { ace_type: ace.ace_type, mask: *mask };
        self.write(format_args!(";{rights};{object};{inherited};{})", SidName(sid)));
        Ok(())
    }
}

struct RightsText {
    ace_type: AceType,
    mask: u32,
}

impl fmt::Display for RightsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.ace_type == AceType::MANDATORY_LABEL;
        if let Some((name, _)) = COMPOSITE_RIGHTS.iter().find(|(_, mask)| !label && *mask == self.mask) {
            return f.write_str(name);
        }
        let names: &[(&str, u32)] = if label { &LABEL_RIGHTS } else { &RIGHTS };
        let named = names.iter().fold(0, |all, (_, bit)| all | bit);
        if self.mask == 0 || self.mask & !named != 0 {
            return write!(f, "{:#x}", self.mask);
        }
        names.iter().filter(|(_, bit)| self.mask & bit != 0).try_for_each(|(name, _)| f.write_str(name))
    }
}

struct SidName<'a>(&'a Sid);

impl fmt::Display for SidName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIDS.iter().find(|(_, sid)| sid.is(self.0)) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

struct OptionalGuid(Option<Guid>);

impl fmt::Display for OptionalGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |guid| guid.fmt(f))
    }
}

impl fmt::Display for Guid {
    /// Writes the form of MS-DTYP 2.3.4.3 without braces: the first three numbers are little-endian in the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, place) in Guid::TEXT_ORDER.into_iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_char('-')?;
            }
            write!(f, "{:02x}", self.0[place])?;
        }
        Ok(())
    }
}

impl Guid {
    /// The place in the bytes of each byte of the text.
    const TEXT_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security_descriptor::ObjectTypes;

    fn text(descriptor: &SecurityDescriptor) -> String {
        descriptor.to_sddl().unwrap().text
    }

    #[test]
    fn text_is_read_and_written_the_same() {
        // The first is Microsoft's example ("Security Descriptor String Format") without its domain; the last two are
        // those of keys of Windows 10.
        for sddl in [
            "O:AOG:S-1-5-21-1-2-3-512D:(A;;CCDCLCSWRPWPRCWDWOGA;;;S-1-0-0)",
            "",
            "D:",
            "S:",
            "D:NO_ACCESS_CONTROL",
            "D:PARAI(A;;KA;;;BA)S:PARAINO_ACCESS_CONTROL",
            "G:SYD:(D;OICINPIOIDCRSAFA;0x4000000;;;AN)",
            "O:BAD:(OA;CI;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;PS)(OD;;GR;;ab721a53-1e2f-11d0-9819-00aa0040529b;WD)",
            "S:(AU;SAFA;KA;;;WD)(ML;CI;NWNRNX;;;HI)(ML;;0x8;;;LW)(TL;;CC;;;S-1-19-512-4096)",
            "D:(A;;KR;;;AC)(A;;KW;;;RC)(A;;FA;;;LS)(A;;FR;;;NS)(A;;SDGXGWGR;;;AU)(A;;0x0;;;OW)",
            "O:BAG:SYD:PAI(A;CI;KA;;;SY)(A;CI;KA;;;BA)(A;CI;KR;;;BU)(A;CIIO;KA;;;CO)(A;CI;KR;;;S-1-15-3-1024-1-2-3)",
            "O:SYG:SYD:AI(A;ID;KR;;;BU)(A;CIIOID;GR;;;BU)S:AI(AU;CIIDSAFA;DCLCRPCRSDWDWO;;;WD)",
        ] {
            let read = SecurityDescriptor::from_sddl(sddl).unwrap();
            assert_eq!(text(&read), sddl);
            assert_eq!(read.to_sddl().unwrap().omitted, []);
            assert_eq!(SecurityDescriptor::from_bytes(&read.to_bytes().unwrap()).unwrap(), read, "{sddl}");
        }
    }

    #[test]
    fn omitted_parts_are_listed_or_refused() {
        let mut descriptor = SecurityDescriptor::from_sddl("O:BAD:(A;;KA;;;BA)").unwrap();
        descriptor.control |= control::OWNER_DEFAULTED | control::SACL_AUTO_INHERITED;
        descriptor.resource_manager_control = 7;
        let acl = descriptor.dacl.as_mut().unwrap();
        acl.revision = 4;
        let AceBody::Rights { data, .. } = &mut acl.aces[0].body else { panic!() };
        *data = vec![0; 4];
        let omitted = descriptor.to_sddl().unwrap().omitted;
        let bits = control::OWNER_DEFAULTED | control::SACL_AUTO_INHERITED;
        let expected = [
            Omitted::Revision(4),
            Omitted::BytesBehindSid(4),
            Omitted::ControlBits(bits),
            Omitted::ResourceManagerControl(7),
        ];
        assert_eq!(omitted, expected);
        for ace_type in [0x09, 0x12, 0x04, 0x40] {
            descriptor.dacl.as_mut().unwrap().aces[0].ace_type = AceType(ace_type);
            assert_eq!(descriptor.to_sddl().unwrap_err().code(), "sddl", "{ace_type:#x}");
        }
        let other = Ace { ace_type: AceType(0x04), flags: 0, body: AceBody::Other(vec![1, 2]) };
        descriptor.dacl = Some(Acl::new(vec![other]));
        assert_eq!(descriptor.to_sddl().unwrap_err().code(), "sddl");
    }

    #[test]
    fn guids_have_the_order_of_their_text() {
        let sddl = "D:(OA;;;00112233-4455-6677-8899-aabbccddeeff;;WD)";
        let read = SecurityDescriptor::from_sddl(sddl).unwrap();
        let AceBody::Rights { object_types: Some(ObjectTypes { object: Some(Guid(bytes)), .. }), .. } =
            &read.dacl.unwrap().aces[0].body
        else {
            panic!()
        };
        assert_eq!(*bytes, *b"\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
    }
}
