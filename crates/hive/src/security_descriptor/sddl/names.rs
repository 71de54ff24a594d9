//! The names of SDDL (MS-DTYP 2.5.1.1; sddl.h; Microsoft, "SID Strings" and "ACE Strings").

use super::super::{AceType, WellKnownSid, rights};

/// A list that is null.
pub(super) const NULL_ACL: &str = "NO_ACCESS_CONTROL";

/// Control bits of a list: protected, to be inherited, made by inheritance.
pub(super) const ACL_FLAGS: [&str; 3] = ["P", "AR", "AI"];

/// Types of entries.
pub(super) const ACE_TYPES: [(&str, AceType); 17] = [
    ("A", AceType::ALLOWED),
    ("D", AceType::DENIED),
    ("AU", AceType::AUDIT),
    ("AL", AceType(0x03)),
    ("OA", AceType(0x05)),
    ("OD", AceType(0x06)),
    ("OU", AceType(0x07)),
    ("OL", AceType(0x08)),
    ("XA", AceType(0x09)),
    ("XD", AceType(0x0a)),
    ("ZA", AceType(0x0b)),
    ("XU", AceType(0x0d)),
    ("ML", AceType::MANDATORY_LABEL),
    ("RA", AceType(0x12)),
    ("SP", AceType(0x13)),
    ("TL", AceType(0x14)),
    ("FL", AceType(0x15)),
];

/// Flags of entries, from the lowest bit on.
pub(super) const ACE_FLAGS: [(&str, u8); 8] =
    [("OI", 0x01), ("CI", 0x02), ("NP", 0x04), ("IO", 0x08), ("ID", 0x10), ("CR", 0x20), ("SA", 0x40), ("FA", 0x80)];

/// Names for several rights at once: those of keys, and those of files.
pub(super) const COMPOSITE_RIGHTS: [(&str, u32); 8] = [
    ("KA", rights::ALL),
    ("KR", rights::READ),
    ("KW", rights::WRITE),
    ("KX", rights::EXECUTE),
    ("FA", 0x001f_01ff),
    ("FR", 0x0012_0089),
    ("FW", 0x0012_0116),
    ("FX", 0x0012_00a0),
];

/// Names for a right each, from the lowest bit on.
pub(super) const RIGHTS: [(&str, u32); 17] = [
    ("CC", 0x0001),
    ("DC", 0x0002),
    ("LC", 0x0004),
    ("SW", 0x0008),
    ("RP", 0x0010),
    ("WP", 0x0020),
    ("DT", 0x0040),
    ("LO", 0x0080),
    ("CR", 0x0100),
    ("SD", 0x0001_0000),
    ("RC", 0x0002_0000),
    ("WD", 0x0004_0000),
    ("WO", 0x0008_0000),
    ("GA", rights::GENERIC_ALL),
    ("GX", rights::GENERIC_EXECUTE),
    ("GW", rights::GENERIC_WRITE),
    ("GR", rights::GENERIC_READ),
];

/// The rights of a mandatory label.
pub(super) const LABEL_RIGHTS: [(&str, u32); 3] = [("NW", 1), ("NR", 2), ("NX", 4)];

const fn nt(subauthorities: &'static [u32]) -> WellKnownSid {
    WellKnownSid::new(5, subauthorities)
}

const fn label(level: &'static [u32]) -> WellKnownSid {
    WellKnownSid::new(16, level)
}

/// Security identifiers that are the same on every computer.
pub(super) const SIDS: [(&str, WellKnownSid); 49] = [
    ("AA", nt(&[32, 579])),
    ("AC", WellKnownSid::new(15, &[2, 1])),
    ("AN", nt(&[7])),
    ("AO", nt(&[32, 548])),
    ("AS", WellKnownSid::new(18, &[1])),
    ("AU", nt(&[11])),
    ("BA", nt(&[32, 544])),
    ("BG", nt(&[32, 546])),
    ("BO", nt(&[32, 551])),
    ("BU", nt(&[32, 545])),
    ("CD", nt(&[32, 574])),
    ("CG", WellKnownSid::new(3, &[1])),
    ("CO", WellKnownSid::new(3, &[0])),
    ("CY", nt(&[32, 569])),
    ("ED", nt(&[9])),
    ("ER", nt(&[32, 573])),
    ("ES", nt(&[32, 576])),
    ("HA", nt(&[32, 578])),
    ("HI", label(&[12288])),
    ("IS", nt(&[32, 568])),
    ("IU", nt(&[4])),
    ("LS", nt(&[19])),
    ("LU", nt(&[32, 559])),
    ("LW", label(&[4096])),
    ("ME", label(&[8192])),
    ("MP", label(&[8448])),
    ("MS", nt(&[32, 577])),
    ("MU", nt(&[32, 558])),
    ("NO", nt(&[32, 556])),
    ("NS", nt(&[20])),
    ("NU", nt(&[2])),
    ("OW", WellKnownSid::new(3, &[4])),
    ("PO", nt(&[32, 550])),
    ("PS", nt(&[10])),
    ("PU", nt(&[32, 547])),
    ("RA", nt(&[32, 575])),
    ("RC", nt(&[12])),
    ("RD", nt(&[32, 555])),
    ("RE", nt(&[32, 552])),
    ("RM", nt(&[32, 580])),
    ("RU", nt(&[32, 554])),
    ("SI", label(&[16384])),
    ("SO", nt(&[32, 549])),
    ("SS", WellKnownSid::new(18, &[2])),
    ("SU", nt(&[6])),
    ("SY", nt(&[18])),
    ("UD", nt(&[84, 0, 0, 0, 0, 0])),
    ("WD", WellKnownSid::new(1, &[0])),
    ("WR", nt(&[33])),
];

/// Names for users and groups of a domain or of a computer, and their relative identifiers: which domain is meant is
/// not known offline.
pub(super) const DOMAIN_SIDS: [(&str, u32); 17] = [
    ("AP", 525),
    ("CA", 517),
    ("CN", 522),
    ("DA", 512),
    ("DC", 515),
    ("DD", 516),
    ("DG", 514),
    ("DU", 513),
    ("EA", 519),
    ("EK", 527),
    ("KA", 526),
    ("LA", 500),
    ("LG", 501),
    ("PA", 520),
    ("RO", 498),
    ("RS", 553),
    ("SA", 518),
];
