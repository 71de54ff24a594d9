//! The report in a browser.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use hivewright::internals::audit::Record;
use hivewright::internals::audit::record::{CheckResult, CheckStatus, Failure, Finding, Status, Verdict, Violation};
use hivewright::internals::audit::report::html::Page;
use hivewright::internals::audit::report::plain;
use hivewright::internals::audit::run::Summary;
use serde_json::Value;

/// Names that would become elements, scripts or another order of letters.
const HOSTILE: [&str; 6] = [
    "</script><img src=x onerror=\"document.title='owned'\">",
    "<svg onload=\"document.title='owned'\"></svg>",
    "\u{202e}gpj.exe\u{2066}",
    "javascript:document.title='owned'",
    "--><iframe srcdoc='<b>'></iframe>&lt;img&gt;",
    "__proto__",
];

/// Returns record `i`: by turns as expected, not as expected, with a finding, unreadable, without Windows.
fn record(i: usize) -> Record {
    let hostile = HOSTILE[i % HOSTILE.len()];
    let target = if i.is_multiple_of(50) {
        format!("{hostile} {i}")
    } else {
        format!("/srv/images/disk-{:05}.raw", i * 7919 % 10_007)
    };
    let mut record = Record::new(target);
    record.host_name = Some(if i.is_multiple_of(7) { hostile.to_owned() } else { format!("PC-{i}") });
    record.product = Some(["Windows 10 Pro", "Windows 11 Pro", hostile][i % 3].to_owned());
    record.at_next_boot =
        Some(Verdict { state: "unset".to_owned(), meaning: hostile.to_owned(), ..Verdict::default() });
    match i % 5 {
        0 => record.compliant = Some(true),
        1 => record.compliant = Some(false),
        2 => {
            let text = || hostile.to_owned();
            let code = if i.is_multiple_of(2) { hostile } else { "wrong-service" };
            record.findings =
                vec![Finding { code: code.to_owned(), place: text(), what: text(), advice: text(), offset: None }];
        }
        3 => {
            record.status = Status::Error;
            record.error =
                Some(Failure { code: "volume-kind".to_owned(), message: hostile.to_owned(), ..Failure::default() });
        }
        _ => record.status = Status::NoWindows,
    }
    record
}

fn page(records: &[Record]) -> String {
    let count = records.len() as u64;
    let summary = Summary {
        targets: count,
        records: count,
        read: count * 3 / 5,
        errors: count / 5,
        no_windows: count / 5,
        compliant: count / 5,
        not_compliant: count / 5,
        seconds: Some(1.5),
        ..Summary::default()
    };
    let (mut writer, mut page) = (Page::default(), Vec::new());
    writer.begin(&mut page).unwrap();
    records.iter().for_each(|record| writer.record(record, &mut page).unwrap());
    writer.end(&summary, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

/// Appends `what` to the page.
fn with(page: &str, what: &str) -> String {
    page.replace("\n</body>", &format!("\n{what}</body>"))
}

/// Removes the content security policy of the page, which allows no script of a test.
fn without_policy(page: &str) -> String {
    let begin = page.find("<meta http-equiv=\"Content-Security-Policy\"").unwrap();
    let end = begin + page[begin..].find('>').unwrap() + 1;
    [&page[..begin], &page[end..]].concat()
}

/// Returns the document of the page in a browser after its scripts ran.
fn dom(page: &str) -> Option<String> {
    if !crate::judges::has("chromium", "the report in a browser") {
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("report.html");
    std::fs::write(&file, page).unwrap();
    let output = browser(home.path()).arg("--dump-dom").arg(format!("file://{}", file.display())).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the browser failed: {stderr}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Returns a browser without connections of its own, which ends by itself.
fn browser(home: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args([
        "120",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
    ]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--user-data-dir={}", home.join("profile").display()));
    command
}

/// Returns the text between two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let text = text.split_once(before).unwrap_or_else(|| panic!("no {before}")).1;
    text.split_once(after).unwrap().0
}

#[test]
fn two_thousand_records_are_drawn_and_no_name_becomes_an_element() {
    let records: Vec<Record> = (0..2000).map(record).collect();
    let Some(dom) = dom(&page(&records)) else { return };
    assert_eq!(dom.matches("<tr class=\"row\">").count(), 2000);
    for element in ["<img", "<svg", "<iframe", "<a ", "<link"] {
        // The text of names has no raw angle brackets, neither on the page nor in the records.
        assert!(!dom.contains(element), "{element}");
    }
    assert_eq!(between(&dom, "<title>", "</title>"), "hivewright audit");
    assert!(between(&dom, "id=\"headline\"", "</p>").contains("400"), "{}", between(&dom, "id=\"headline\"", "</p>"));
    assert!(dom.contains("&lt;/script&gt;&lt;img src=x"), "the name is there, as text");
    let body = between(&dom, "id=\"rows\">", "</tbody>");
    assert!(!body.contains(['\u{202e}', '\u{2066}']) && body.contains("\u{fffd}gpj.exe"));
    println!("2,000 records drawn in {} ms", between(&dom, "data-ready=\"", "\""));
}

/// Ten thousand records with a hundred checks each are drawn, sorted and filtered by a check in a short time.
#[test]
fn ten_thousand_records_of_a_hundred_checks_can_be_used() {
    let check = |i: usize, number: usize| {
        let status = if (i + number).is_multiple_of(40) { CheckStatus::Fail } else { CheckStatus::Pass };
        let (policy, severity) = ("servers".to_owned(), "high".to_owned());
        CheckResult { policy, severity, check: format!("check-{number}"), status, keys: 1 }
    };
    let of = |i: usize| {
        let mut record = record(i);
        record.checks = (0..100).map(|number| check(i, number)).collect();
        let failing = record.checks.iter().filter(|it| it.status == CheckStatus::Fail);
        let violation = |it: &CheckResult| Violation {
            setting: it.check.clone(),
            by: it.policy.clone(),
            key: Some(format!(r"HKLM\SYSTEM\<b>{i}")),
            expected: "equals = 1".to_owned(),
            found: "REG_DWORD 0".to_owned(),
            title: Some("<i>A title</i>".to_owned()),
            ..Violation::default()
        };
        record.violations = failing.map(violation).collect();
        record
    };
    let records: Vec<Record> = (0..10_000).map(of).collect();
    let page = page(&records);
    assert!(page.len() < 30 << 20, "{} bytes", page.len());
    let script = "document.getElementById('all-checks').click();\
        const one = [...document.querySelectorAll('#by-check .bar')].find((b) => b.textContent.includes('check-39 '));\
        const begun = performance.now(); one.click(); document.body.getBoundingClientRect();\
        document.getElementById('results').textContent = JSON.stringify({ times: performance.now() - begun,\
        bars: document.querySelectorAll('#by-check .bar').length, shown: document.getElementById('shown').textContent,\
        elements: document.querySelectorAll('#by-check i:not([title])').length });";
    let driven = with(&without_policy(&page), &format!("<pre id=\"results\"></pre><script>{script}</script>"));
    let Some(dom) = dom(&driven) else { return };
    let results: Value = serde_json::from_str(between(&dom, "<pre id=\"results\">", "</pre>")).unwrap();
    let failing = records.iter().filter(|record| record.checks[39].status == CheckStatus::Fail).count();
    let shown = format!("{failing} of 10,000 records");
    assert_eq!((&results["bars"], &results["shown"], &results["elements"]), (&100.into(), &shown.into(), &0.into()));
    let ready: f64 = between(&dom, "data-ready=\"", "\"").parse().unwrap();
    println!("10,000 records of 100 checks: drawn in {ready} ms, filtered in {} ms", results["times"]);
    // A busy machine is slow, but quadratic growth takes minutes.
    assert!(ready < 20_000.0);
}

/// Performs actions of a user, and prints the visible state.
const DRIVER: &str = include_str!("page.js");

fn driven(page: &str) -> String {
    with(&without_policy(page), &format!("<pre id=\"results\"></pre><script>{DRIVER}</script>"))
}

#[test]
fn it_sorts_and_filters_and_opens() {
    let records: Vec<Record> = (0..2500).map(record).collect();
    let Some(dom) = dom(&driven(&page(&records))) else { return };
    let results = between(&dom, "<pre id=\"results\">", "</pre>");
    let results = results.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let results: Value = serde_json::from_str(&results).unwrap_or_else(|error| panic!("{error}: {results}"));
    let list =
        |name: &str| -> Vec<&str> { results[name].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect() };

    let first = list("first");
    let worst = [["not as expected"; 500], ["could not be read"; 500], ["review"; 500], ["as expected"; 500]].concat();
    assert_eq!(first, worst, "the worst come first, 2,000 of them");
    assert_eq!((&results["all"], &results["back"]), (&2500.into(), &2500.into()));

    let mut names: Vec<String> = records.iter().map(|record| plain(&record.target)).collect();
    names.sort_by_key(|name| name.to_lowercase());
    assert_eq!(list("up"), names);
    names.reverse();
    assert_eq!(list("down"), names);

    let is_meant = |r: &&Record| {
        r.findings.iter().any(|m| m.code == "wrong-service") && r.host_name.as_ref().unwrap().starts_with("PC-")
    };
    let meant = records.iter().filter(is_meant).count();
    assert_eq!(list("filtered"), vec!["wrong-service"; meant]);
    assert_eq!(results["shown"], format!("{meant} of 2,500 records"));
    assert_eq!((list("tile"), &results["pressed"]), (vec!["could not be read"; 500], &"true".into()));
    let eleven = |r: &&Record| r.status == Status::Read && r.product.as_deref() == Some("Windows 11 Pro");
    let eleven = records.iter().filter(eleven).count();
    assert_eq!((list("bar"), results["count"].as_u64()), (vec!["Windows 11 Pro"; eleven], Some(eleven as u64)));
    assert!(results["detail"].as_u64().unwrap() > 3 && results["elements"] == 0 && results["closed"] == 0, "{results}");
    println!("2,500 records, milliseconds: {}", results["times"]);
}

#[test]
fn it_runs_no_other_script_and_loads_nothing() {
    let whole = page(&[record(0), record(1)]);
    assert!(between(&whole, "Content-Security-Policy\" content=\"", "\"").starts_with("default-src 'none'; "));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let intruder = format!(
        "<script>document.title = \"owned\";</script><b id=\"b\" onclick=\"document.title = 'owned'\" style=\"color: red\"></b>\
         <script src=\"http://{address}/a.js\"></script><img src=\"http://{address}/a.png\">"
    );
    let Some(kept) = dom(&with(&whole, &intruder)) else { return };
    assert_eq!(between(&kept, "<title>", "</title>"), "hivewright audit");
    assert_eq!(kept.matches("<tr class=\"row\">").count(), 2);
    assert!(listener.accept().is_err(), "something was loaded");
    // Control: without the policy, the same script runs.
    let script = "<script>document.title = \"owned\";</script>";
    assert_eq!(between(&dom(&with(&without_policy(&whole), script)).unwrap(), "<title>", "</title>"), "owned");
}

/// An installation that is as expected and needs a review counts as both, and the headline agrees with the summary and
/// the exit status.
#[test]
fn the_counts_agree_with_the_text_and_the_exit_status() {
    let home = tempfile::tempdir().unwrap();
    let fixtures = crate::command::fixtures();
    let page = home.path().join("r.html");
    for (wanted, code) in [("any", 0), ("2", 1), ("unset", 1)] {
        let policy = home.path().join("policy.toml");
        let value = if wanted == "2" { wanted.to_owned() } else { format!("\"{wanted}\"") };
        std::fs::write(&policy, format!("[[expect]]\nvalue = {value}\n")).unwrap();
        let args = ["--json", "--policy", policy.to_str().unwrap(), "--report", page.to_str().unwrap(), "findings"];
        let run = super::audit(&fixtures, &args);
        let all = super::records(&run.out);
        let is = |compliant: bool| all.values().filter(|record| record["compliant"] == compliant).count();
        let (fine, not) = (is(true), is(false));
        assert!(
            fine > 1 && all.values().any(|it| it["compliant"] == true && it["findings"][0].is_object()),
            "{wanted}"
        );
        assert_eq!((run.code, not > 0), (code, code == 1), "{}", run.err);
        assert!(run.err.contains(&format!(", {fine} as expected")), "{wanted}: {}", run.err);
        let Some(dom) = dom(&std::fs::read_to_string(&page).unwrap()) else { return };
        let tiles = between(&dom, "id=\"tiles\"", "<div class=\"charts\">");
        let tile = |name: &str| {
            let (before, _) = tiles.split_once(&format!("</b>{name}<")).unwrap_or_else(|| panic!("no {name}: {tiles}"));
            before.rsplit('>').next().unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(tile("as expected"), fine, "{wanted}");
        let headline = between(&dom, "id=\"headline\"", "</p>");
        match not {
            0 => assert!(headline.contains(&format!("All {fine}<")), "{headline}"),
            _ => assert_eq!(tile("not as expected"), not, "{headline}"),
        }
    }
}
