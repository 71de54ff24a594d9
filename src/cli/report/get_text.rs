//! What users of `get` see, word for word.

use super::{HiveState, Style};
use crate::settings::nat_t::{self, SettingReport};
use hivewright_fixtures::dirty::DIRTY;
use hivewright_fixtures::windows::service_path;
use hivewright_fixtures::{Built, Release, SystemHive};
use hivewright_hive::Hive;
use hivewright_hive::recover::{Log, Recovery, recover_headless};

fn read(built: Built) -> SettingReport {
    nat_t::report(Hive::open(built.bytes).unwrap().primary_alone(), None).unwrap()
}

fn text(report: &SettingReport, state: HiveState, style: Style) -> String {
    let mut out = String::new();
    super::get(report, state, &mut out, style).unwrap();
    out
}

/// What a replay of one old log of three pages reports.
fn recovery() -> Recovery {
    let dirty = DIRTY.iter().find(|dirty| dirty.name == "old-one-log").unwrap();
    let pair = (dirty.make)();
    let log = Log { name: "SYSTEM.LOG", bytes: &pair.logs[0].1 };
    recover_headless(&pair.primary, &[log]).unwrap().report
}

fn plain(built: Built) -> String {
    text(&read(built), HiveState::Clean, Style::Plain)
}

#[test]
fn the_answer_comes_first() {
    let expected = r#"2 at next boot: server and client may both be behind NAT
Windows 8 or later (DriverDatabase 10.0) (PolicyAgent runs in svchost.exe), x64,
client, "FIXTURE"

  ControlSet001  current, default, last known good
    Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule = 2 (REG_DWORD)
    key last written 2019-04-17T18:40:00Z

Hive: clean
"#;
    assert_eq!(plain(SystemHive::new(Release::Win10).with_right_rule(1, 2).build()), expected);
}

#[test]
fn two_boots_two_answers() {
    let expected = r#"not set at next boot: Windows takes 0, no security association with a server
behind NAT
1 at capture: the server may be behind NAT, the client needs a public address
Windows Vista or later (PolicyAgent runs in svchost.exe), Service Pack 1, x64,
client, "FIXTURE"

  ControlSet001  current
    Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule = 1 (REG_DWORD)
    key last written 2019-04-17T18:40:00Z

  ControlSet002  default, last known good
    Services\PolicyAgent: not set (Windows takes 0)
    key last written 2019-04-17T18:40:00Z

Hive: clean
Watch out:
  ControlSet001\Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule
    1 here, not set in ControlSet002, which the next boot takes
    -> a switch to this control set changes the answer; --control-set all makes
    them the same
"#;
    assert_eq!(plain(SystemHive::new(Release::Win7).select(1, 2, 0, 2).with_right_rule(1, 1).build()), expected);
}

#[test]
fn mistakes_and_neighbours_have_place_and_advice() {
    let expected = r#"not usable at next boot: REG_SZ of 4 bytes, not a REG_DWORD of 4: what Windows
does with it is not established
Windows 8 or later (DriverDatabase 10.0) (PolicyAgent runs in svchost.exe), x64,
client, "FIXTURE"

  ControlSet001  current, default, last known good
    Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule
      = 0x32000000 (REG_SZ, 4 bytes)
    key last written 2019-04-17T18:40:00Z

Hive: dirty, and read without its transaction logs: newer data may be missing
Watch out:
  ControlSet001\Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule
    REG_SZ of 4 bytes: Windows expects a REG_DWORD
    -> `hivewright set` writes it as a REG_DWORD where Windows looks
Nearby:
  ControlSet001\Services\RasMan\Parameters\ProhibitIpSec = 1
    L2TP without IPsec: for L2TP connections the setting is moot
"#;
    let spec = SystemHive::new(Release::Win10).spec();
    let spec = spec.at(&service_path(1, "PolicyAgent"), |k| k.sz(hivewright_fixtures::RULE, "2"));
    let spec = spec.at(&service_path(1, "RasMan\\Parameters"), |k| k.dword("ProhibitIpSec", 1));
    assert_eq!(text(&read(spec.build()), HiveState::DirtyAlone, Style::Plain), expected);
}

#[test]
fn no_select_no_answer() {
    let expected = r#"unknown at next boot: the hive has no key Select
Windows XP (PolicyAgent runs in lsass.exe, and IPSec is a driver), Service Pack
3, x86, client, "FIXTURE"

  ControlSet001  no role
    Services\IPSec: not set (Windows takes 0)
    key last written 2019-04-17T18:40:00Z

Hive: dirty, read with entry 6 of SYSTEM.LOG applied: 3 pages, 1536 bytes
      its primary file alone says the same
Watch out:
  Select
    the hive has no key Select
    -> a write needs --control-set NNN
"#;
    let built = SystemHive::new(Release::XpSp3).sets(&[1]).without_select().build();
    let report = read(built);
    let recovery = recovery();
    let state = HiveState::Recovered { recovery: &recovery, primary_alone: Some(&report) };
    assert_eq!(text(&report, state, Style::Plain), expected);
}

#[test]
fn colour_changes_no_letter() {
    let report = read(SystemHive::new(Release::Win10).with_right_rule(1, 3).build());
    let painted = text(&report, HiveState::DirtyAlone, Style::Colour);
    assert!(painted.starts_with("\x1b[1;31m3\x1b[0m at next boot: undefined"), "{painted}");
    let codes = ["\x1b[1;31m", "\x1b[1;33m", "\x1b[1m", "\x1b[0m"];
    let bare = codes.iter().fold(painted, |text, code| text.replace(code, ""));
    assert_eq!(bare, text(&report, HiveState::DirtyAlone, Style::Plain));
}

#[test]
fn the_bare_value_is_what_stands_there() {
    let value = |built: Built| {
        let mut out = String::new();
        let there = super::value(&read(built), &mut out).unwrap();
        (there, out)
    };
    assert_eq!(value(SystemHive::new(Release::Win10).with_right_rule(1, 1).build()), (true, "1\n".to_owned()));
    assert_eq!(value(SystemHive::new(Release::Win10).build()), (false, String::new()));
    assert_eq!(value(SystemHive::new(Release::Win10).with_rule(1, "IPSec", 2).build()), (false, String::new()));
}
