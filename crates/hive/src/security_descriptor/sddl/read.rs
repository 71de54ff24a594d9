//! Parses security descriptors from text.

use super::names::{ACE_FLAGS, ACE_TYPES, COMPOSITE_RIGHTS, DOMAIN_SIDS, LABEL_RIGHTS, NULL_ACL, RIGHTS, SIDS};
use super::{DACL, Part, SACL};
use crate::security_descriptor::sid::number;
use crate::security_descriptor::{
    Ace, AceBody, AceType, Acl, Guid, ObjectTypes, SecurityDescriptor, Sid, control, text_error,
};
use hivewright_error::{Error, Result};

impl SecurityDescriptor {
    /// Reads a descriptor from text. White space may lie between its parts and around the fields of an entry.
    ///
    /// # Errors
    /// `sddl`: the text breaks the grammar; it names a user or group of a domain by letters, which no offline program
    /// can resolve; or it has an entry with a condition or an attribute.
    pub fn from_sddl(text: &str) -> Result<Self> {
        let mut descriptor = SecurityDescriptor {
            control: control::SELF_RELATIVE,
            resource_manager_control: 0,
            owner: None,
            group: None,
            sacl: None,
            dacl: None,
        };
        let mut rest = text.trim();
        let mut seen = String::new();
        while !rest.is_empty() {
            let tag = rest.chars().next().unwrap_or_default();
            let body = rest[tag.len_utf8()..].strip_prefix(':').filter(|_| "OGDS".contains(tag)).ok_or_else(|| {
                text_error(format!("{:?} does not begin a part of a security descriptor", shortened(rest)))
                    .advise("write O:owner G:group D:(rights) S:(audits)")
            })?;
            if seen.contains(tag) {
                return Err(text_error(format!("the security descriptor has two parts {tag}:")));
            }
            seen.push(tag);
            rest = match tag {
                'O' | 'G' => {
                    let (name, behind) = split_sid(body);
                    let slot = if tag == 'O' { &mut descriptor.owner } else { &mut descriptor.group };
                    *slot = Some(sid(name.trim())?);
                    behind
                }
                'D' => list(&DACL, body, &mut descriptor.control, &mut descriptor.dacl)?,
                _ => list(&SACL, body, &mut descriptor.control, &mut descriptor.sacl)?,
            };
        }
        Ok(descriptor)
    }
}

/// Splits the security identifier at the start of `text` from the part after it, whose tag is the letter before a
/// colon.
fn split_sid(text: &str) -> (&str, &str) {
    let tag_at = text.find(':').and_then(|colon| text[..colon].char_indices().next_back()).map(|(at, _)| at);
    text.split_at(tag_at.unwrap_or(text.len()))
}

/// Reads the list at the start of `text` and returns the text after it.
fn list<'t>(part: &Part, text: &'t str, control: &mut u16, acl: &mut Option<Acl>) -> Result<&'t str> {
    *control |= part.present;
    let mut rest = text.trim_start();
    loop {
        if let Some(behind) = rest.strip_prefix(NULL_ACL) {
            return Ok(behind.trim_start());
        }
        let Some((name, bit)) = part.flags().into_iter().find(|(name, _)| rest.starts_with(name)) else { break };
        *control |= bit;
        rest = rest[name.len()..].trim_start();
    }
    let mut aces = Vec::new();
    while let Some(behind) = rest.strip_prefix('(') {
        let end = behind.find([')', '(']).filter(|&end| behind[end..].starts_with(')'));
        let end = end.ok_or_else(|| match behind.find('(') {
            Some(_) => text_error("entries with a condition or an attribute are not supported"),
            None => text_error(format!("the entry ({} has no closing bracket", shortened(behind))),
        })?;
        aces.push(ace(&behind[..end])?);
        rest = behind[end + 1..].trim_start();
    }
    *acl = Some(Acl::new(aces));
    Ok(rest)
}

fn ace(text: &str) -> Result<Ace> {
    let wrong = |what: &str| text_error(format!("the entry ({}): {what}", shortened(text)));
    let fields: Vec<&str> = text.splitn(8, ';').map(str::trim).collect();
    let &[ace_type, flags, rights, object, inherited, trustee] = &*fields else {
        return Err(
            wrong("it does not have six fields").advise("write (type;flags;rights;object;inherited object;SID)")
        );
    };
    let found = ACE_TYPES.iter().find(|(name, _)| *name == ace_type);
    let (_, ace_type) = *found.ok_or_else(|| wrong("its type is unknown"))?;
    let flags = names(flags, &ACE_FLAGS).ok_or_else(|| wrong("its flags are unknown"))?;
    let flags = flags.into_iter().fold(0, |all, flag| all | flag);
    let mask = mask(ace_type, rights).ok_or_else(|| wrong("its rights are unknown"))?;
    let guid = |text: &str| match text {
        "" => Ok(None),
        _ => Guid::from_text(text).map(Some).ok_or_else(|| wrong("an object type is not a GUID")),
    };
    let types = ObjectTypes { object: guid(object)?, inherited: guid(inherited)? };
    let object_types = ace_type.has_object_types().then_some(types);
    if object_types.is_none() && types != ObjectTypes::default() {
        return Err(wrong("entries of its type have no object types"));
    }
    let sid = sid(trustee)?;
    Ok(Ace { ace_type, flags, body: AceBody::Rights { mask, object_types, sid, data: Vec::new() } })
}

fn mask(ace_type: AceType, text: &str) -> Option<u32> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return u32::try_from(number(text)?).ok();
    }
    if ace_type == AceType::MANDATORY_LABEL {
        return names(text, &LABEL_RIGHTS).map(|bits| bits.into_iter().fold(0, |all, bit| all | bit));
    }
    let all = [&COMPOSITE_RIGHTS[..], &RIGHTS].concat();
    names(text, &all).map(|bits| bits.into_iter().fold(0, |all, bit| all | bit))
}

/// Returns the meanings of names of two letters, written without a gap.
fn names<T: Copy>(text: &str, known: &[(&str, T)]) -> Option<Vec<T>> {
    text.as_bytes()
        .chunks(2)
        .map(|letters| known.iter().find(|(name, _)| name.as_bytes() == letters).map(|&(_, meaning)| meaning))
        .collect()
}

fn sid(text: &str) -> Result<Sid> {
    if let Some((_, sid)) = SIDS.iter().find(|(name, _)| *name == text) {
        return Ok(sid.to_sid());
    }
    if let Some((name, rid)) = DOMAIN_SIDS.iter().find(|(name, _)| *name == text) {
        let what = format!("{name} is a user or group of a domain or a computer, which is unknown offline");
        return Err(text_error(what).advise(format!("write its identifier: S-1-5-21-...-{rid}")));
    }
    text.parse().map_err(|error: Error| match text.len() {
        2 => text_error(format!("{text:?} is not a name of a security identifier")),
        _ => error,
    })
}

impl Guid {
    /// Reads the form of MS-DTYP 2.3.4.3 without braces.
    fn from_text(text: &str) -> Option<Guid> {
        let raw = text.as_bytes();
        if raw.len() != 36 || [8, 13, 18, 23].iter().any(|&at| raw[at] != b'-') {
            return None;
        }
        let digits: Vec<u8> = raw.iter().copied().filter(|&byte| byte != b'-').collect();
        let mut guid = [0; 16];
        for (pair, place) in digits.chunks_exact(2).zip(Guid::TEXT_ORDER) {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            guid[place] = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        (digits.len() == 32).then_some(Guid(guid))
    }
}

/// Returns the beginning of a text, for a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_other_orders_are_read() {
        let text =
            "  S: AI ( AU ; SA FA ; KA ; ; ; WD ) \r\n D: P AI (A;;0x20019;;;BU)\n(A;;KX;;;S-1-5-32-545) G: SY O:BA ";
        // Letters of flags stand without a gap.
        assert!(SecurityDescriptor::from_sddl(text).is_err());
        let read = SecurityDescriptor::from_sddl(&text.replace("SA FA", "SAFA")).unwrap();
        let written = read.to_sddl().unwrap().text;
        assert_eq!(written, "O:BAG:SYD:PAI(A;;KR;;;BU)(A;;KR;;;BU)S:AI(AU;SAFA;KA;;;WD)");
        let order = SecurityDescriptor::from_sddl("D:AIP(A;;GRGWCC131072;;;WD)");
        assert!(order.is_err(), "numbers stand alone");
        let read = SecurityDescriptor::from_sddl("D:AIARP(A;FACI;GWCC;;;WD)(A;;131097;;;WD)(A;;;;;WD)").unwrap();
        assert_eq!(read.to_sddl().unwrap().text, "D:PARAI(A;CIFA;CCGW;;;WD)(A;;KR;;;WD)(A;;0x0;;;WD)");
    }

    #[test]
    fn wrong_text_is_refused() {
        for text in [
            "x",
            "O",
            "O:",
            "O:XX",
            "O:BAO:BA",
            "O:DA",
            "O:BAx",
            "D:X",
            "D:(A;;KA;;;BA",
            "D:(A;;KA;;;BA))",
            "D:(A;;KA;;BA)",
            "D:(A;;KA;;;BA;)",
            "D:(Q;;KA;;;BA)",
            "D:(A;XX;KA;;;BA)",
            "D:(A;C;KA;;;BA)",
            "D:(A;;KQ;;;BA)",
            "D:(A;;0x1ffffffff;;;BA)",
            "D:(A;;NW;;;BA)",
            "S:(ML;;KA;;;HI)",
            "D:(A;;KA;00112233-4455-6677-8899-aabbccddeeff;;BA)",
            "D:(OA;;KA;00112233-4455-6677-8899-aabbccddeefg;;BA)",
            "D:(OA;;KA;0011223344556677-8899-aabb-ccddeeff----;;BA)",
            "D:(XA;;KA;;;BA;(Member_of {SID(BA)}))",
            "D:(A;;KA;;;é)",
            "é:",
        ] {
            assert_eq!(SecurityDescriptor::from_sddl(text).unwrap_err().code(), "sddl", "{text}");
        }
    }

    #[test]
    fn a_group_of_a_domain_is_named_by_its_identifier() {
        let error = SecurityDescriptor::from_sddl("D:(A;;KA;;;DA)").unwrap_err();
        assert!(error.advice().unwrap().ends_with("-512"));
    }

    #[test]
    fn names_are_used_once() {
        let mut names: Vec<&str> =
            SIDS.iter().map(|(name, _)| *name).chain(DOMAIN_SIDS.map(|(name, _)| name)).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
