//! The included policies.

use std::path::Path;

/// An included policy.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its name, for `--policy`.
    pub name: &'static str,
    /// The TOML text.
    pub text: &'static str,
}

/// All included policies.
pub const SHIPPED: [Shipped; 5] = [
    Shipped { name: "nat-t", text: include_str!("../../policies/nat-t.toml") },
    Shipped { name: "rdp-nla", text: include_str!("../../policies/rdp-nla.toml") },
    Shipped { name: "smb1-off", text: include_str!("../../policies/smb1-off.toml") },
    Shipped { name: "lsa-protection", text: include_str!("../../policies/lsa-protection.toml") },
    Shipped { name: "virtio-boot", text: include_str!("../../policies/virtio-boot.toml") },
];

impl Shipped {
    /// Returns the policy with that name. A path with a folder selects a file of the same name: `./nat-t`.
    pub fn named(name: &Path) -> Option<Self> {
        SHIPPED.into_iter().find(|shipped| name == Path::new(shipped.name))
    }

    /// Returns its purpose: the comment in its first line.
    pub fn about(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }
}
