//! The exact text of `get`.

use super::{HiveState, Style};
use crate::settings::nat_t::{self, SettingReport};
use hivewright_fixtures::dirty::DIRTY;
use hivewright_fixtures::windows::service_path;
use hivewright_fixtures::{Built, Release, SystemHive};
use hivewright_hive::Hive;
use hivewright_hive::recover::{Log, Recovery, recover_without_base_block};

fn read(built: Built) -> SettingReport {
    nat_t::report(Hive::open(built.bytes).unwrap().primary_alone(), None).unwrap()
}

fn text(report: &SettingReport, state: HiveState, style: Style) -> String {
    let mut out = String::new();
    super::get(report, None, state, &mut out, style).unwrap();
    out
}

/// Returns the report of a replay of one old log with three pages.
fn recovery() -> Recovery {
    let dirty = DIRTY.iter().find(|dirty| dirty.name == "old-one-log").unwrap();
    let pair = (dirty.make)();
    let log = Log { name: "SYSTEM.LOG", bytes: &pair.logs[0].1 };
    recover_without_base_block(&pair.primary, &[log]).unwrap().report
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
    assert_eq!(plain(SystemHive::new(Release::Win10).with_right_setting(1, 2).build()), expected);
}

#[test]
fn different_boots_have_two_headlines() {
    let expected = r#"not set at next boot: Windows uses 0: no security association with a server
behind NAT
1 at capture: the server may be behind NAT; the client needs a public address
Windows Vista or later (PolicyAgent runs in svchost.exe), Service Pack 1, x64,
client, "FIXTURE"

  ControlSet001  current
    Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule = 1 (REG_DWORD)
    key last written 2019-04-17T18:40:00Z

  ControlSet002  default, last known good
    Services\PolicyAgent: not set (the default is 0)
    key last written 2019-04-17T18:40:00Z

Hive: clean
Findings:
  ControlSet001\Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule
    1 here, not set in ControlSet002, which the next boot uses
    -> a switch to this control set changes the answer; --control-set all makes
    them the same
"#;
    assert_eq!(plain(SystemHive::new(Release::Win7).select(1, 2, 0, 2).with_right_setting(1, 1).build()), expected);
}

#[test]
fn findings_and_related_values_have_place_and_meaning() {
    let expected = r#"not usable at next boot: REG_SZ of 4 bytes, not a REG_DWORD of 4: its effect in
Windows is unknown
Windows 8 or later (DriverDatabase 10.0) (PolicyAgent runs in svchost.exe), x64,
client, "FIXTURE"

  ControlSet001  current, default, last known good
    Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule
      = 0x32000000 (REG_SZ, 4 bytes)
    key last written 2019-04-17T18:40:00Z

Hive: dirty, read without its transaction logs: newer data may be missing
Findings:
  ControlSet001\Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule
    REG_SZ of 4 bytes: Windows expects a REG_DWORD
    -> `hivewright set` writes it as a REG_DWORD under the right service key
Related values:
  ControlSet001\Services\RasMan\Parameters\ProhibitIpSec = 1
    L2TP does not use IPsec, so the setting has no effect on L2TP connections
"#;
    let spec = SystemHive::new(Release::Win10).spec();
    let spec = spec.at(&service_path(1, "PolicyAgent"), |k| k.sz(hivewright_fixtures::SETTING, "2"));
    let spec = spec.at(&service_path(1, "RasMan\\Parameters"), |k| k.dword("ProhibitIpSec", 1));
    assert_eq!(text(&read(spec.build()), HiveState::DirtyAlone, Style::Plain), expected);
}

#[test]
fn no_select_no_answer() {
    let expected = r#"unknown at next boot: the hive has no key Select
Windows XP (PolicyAgent runs in lsass.exe, and IPSec is a driver), Service Pack
3, x86, client, "FIXTURE"

  ControlSet001  no role
    Services\IPSec: not set (the default is 0)
    key last written 2019-04-17T18:40:00Z

Hive: dirty, read with entry 6 of SYSTEM.LOG applied: 3 pages, 1536 bytes
      the primary file alone has the same setting
Findings:
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
fn colour_does_not_change_the_text() {
    let report = read(SystemHive::new(Release::Win10).with_right_setting(1, 3).build());
    let painted = text(&report, HiveState::DirtyAlone, Style::Colour);
    assert!(painted.starts_with("\x1b[1;31m3\x1b[0m at next boot: undefined"), "{painted}");
    let codes = ["\x1b[1;31m", "\x1b[1;33m", "\x1b[1m", "\x1b[0m"];
    let bare = codes.iter().fold(painted, |text, code| text.replace(code, ""));
    assert_eq!(bare, text(&report, HiveState::DirtyAlone, Style::Plain));
}

#[test]
fn the_bare_value_is_the_number_of_the_right_place() {
    let value = |built: Built| {
        let mut out = String::new();
        let is_present = super::value(&read(built), &mut out).unwrap();
        (is_present, out)
    };
    assert_eq!(value(SystemHive::new(Release::Win10).with_right_setting(1, 1).build()), (true, "1\n".to_owned()));
    assert_eq!(value(SystemHive::new(Release::Win10).build()), (false, String::new()));
    assert_eq!(value(SystemHive::new(Release::Win10).with_setting(1, "IPSec", 2).build()), (false, String::new()));
}
