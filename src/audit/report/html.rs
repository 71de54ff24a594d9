//! One HTML file that holds everything: counts, charts, a table of all records, what the findings mean.
//!
//! Records are appended as they come, so that memory does not grow with them; the script in the page sorts, filters and
//! counts. It makes text of what it is given, never markup, and the page's own policy lets no other script run and
//! nothing be loaded: a host name or a path may come from an attacker.

use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::audit::Record;
use crate::audit::run::Summary;
use hivewright_hive::regf::timestamp::FileTime;

/// How a page of ours begins, and no other.
pub const BEGINNING: &str = "<!doctype html>\n<!-- hivewright audit -->\n";
const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// Writes the page up to the records.
///
/// # Errors
/// Those of `out`.
pub fn begin(out: &mut dyn Write) -> io::Result<()> {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    // Widths of bars are set by the script on elements, which no policy counts as a style in the page.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
    );
    write!(
        out,
        r#"{BEGINNING}<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hivewright audit</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>hivewright audit: AssumeUDPEncapsulationContextOnSendRule</h1>
<p class="headline" id="headline"></p>
<p class="under" id="under"></p>
<noscript><p>This report is drawn by a script inside of it. The records stand in its source as JSON, one a line.</p></noscript>
<div class="tiles" id="tiles"></div>
<div class="charts">
<section class="card"><h2>By value at next boot</h2><div id="by-rule"></div></section>
<section class="card"><h2>By Windows</h2><div id="by-windows"></div></section>
</div>
<div class="tools"><input id="filter" type="search" placeholder="Filter by target, host, Windows, finding" aria-label="Filter">
<button id="clear" type="button">Clear</button><span class="small" id="shown" role="status"></span></div>
<div class="wide"><table><thead><tr id="heads"></tr></thead><tbody id="rows"></tbody></table></div>
<p><button id="more" type="button" hidden>Show all</button></p>
<section class="card findings" id="findings" hidden><h2>What the findings mean</h2><ul id="explained"></ul></section>
<footer id="made">Made {now} by hivewright {version}.</footer>
</main>
<script type="application/json" id="records">[
"#,
        now = FileTime::now(),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// Appends one record.
///
/// # Errors
/// Those of `out`.
pub fn record(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    let mut line = inert(&record.line());
    line.pop();
    line.extend_from_slice(b",\n");
    out.write_all(&line)
}

/// Ends the page.
///
/// # Errors
/// Those of `out`.
pub fn end(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let summary = serde_json::to_vec(summary).map_err(io::Error::other)?;
    out.write_all(b"null]</script>\n<script type=\"application/json\" id=\"summary\">")?;
    out.write_all(&inert(&summary))?;
    write!(out, "</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")
}

/// JSON that cannot end the element it stands in, or open another: `<` and `>` only stand in strings, where their
/// escapes mean the same.
fn inert(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    for &byte in json {
        match byte {
            b'<' => out.extend_from_slice(b"\\u003c"),
            b'>' => out.extend_from_slice(b"\\u003e"),
            b'&' => out.extend_from_slice(b"\\u0026"),
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_an_image_cannot_leave_its_string() {
        let hostile = Record::new("</script><script>alert(1)</script><!-- & ' \" \u{2028}".to_owned());
        let mut page = Vec::new();
        record(&hostile, &mut page).unwrap();
        let text = String::from_utf8(page).unwrap();
        assert!(!text.contains(['<', '>', '&']), "{text}");
        let back: Record = serde_json::from_str(text.trim_end().trim_end_matches(',')).unwrap();
        assert_eq!(back, hostile);
    }

    #[test]
    fn the_page_is_whole_and_its_data_is_json() {
        let mut page = Vec::new();
        begin(&mut page).unwrap();
        record(&Record::new("a".to_owned()), &mut page).unwrap();
        record(&Record::new("b".to_owned()), &mut page).unwrap();
        end(&Summary::default(), &mut page).unwrap();
        let text = String::from_utf8(page).unwrap();
        let data = text.split("id=\"records\">").nth(1).unwrap().split("</script>").next().unwrap();
        let records: Vec<Option<Record>> = serde_json::from_str(data).unwrap();
        assert_eq!(records.iter().flatten().map(|r| r.target.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(text.ends_with("</html>\n") && !SCRIPT.contains("</script") && !STYLE.contains("</style"));
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("http"), "the script makes text, and loads nothing");
    }
}
