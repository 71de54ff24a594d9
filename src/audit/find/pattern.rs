//! Name patterns, for hosts and lists without a shell that expands them.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::Finder;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe::{self, EntryKind};

/// Returns whether a path contains characters of a pattern.
pub(super) fn is_pattern(path: &Path) -> bool {
    has_pattern_characters(&path.to_string_lossy())
}

fn has_pattern_characters(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Compiles a pattern in which `*` does not match a slash and `**` does.
///
/// # Errors
/// `pattern`: the syntax is invalid.
pub(crate) fn compile(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|e| {
        Error::new(Kind::NotFound, Code::Pattern, format!("the pattern \"{pattern}\" is invalid: {}", e.kind()))
    })
}

impl Finder<'_> {
    /// Finds the targets that a pattern matches. Matching folders are walked; a matching file is a target if its
    /// contents or its name make it one.
    ///
    /// # Errors
    /// The pattern is invalid, or matches nothing.
    pub(super) fn matching(&mut self, pattern: &Path) -> Result<()> {
        let matcher = compile(&pattern.to_string_lossy())?;
        let (base, depth) = base(pattern);
        let mut folders = vec![(base, 0)];
        let mut matched = false;
        while let Some((folder, level)) = folders.pop().filter(|_| !self.done) {
            let names = match probe::list(&folder) {
                Ok(names) => names,
                // A missing folder contains nothing.
                Err(error) if error.kind() == Kind::NotFound => continue,
                Err(error) => {
                    // Its contents may match, so the error is reported.
                    matched = true;
                    self.unreadable(&folder, error);
                    continue;
                }
            };
            let (mut below, mut waiting) = (Vec::new(), Vec::new());
            for named in names {
                let path = if folder == Path::new(".") && !pattern.starts_with(".") {
                    PathBuf::from(&named.name)
                } else {
                    folder.join(&named.name)
                };
                // A pattern is text; a name that is not UTF-8 is matched by its approximation.
                let is_match = matcher.is_match(&*path.to_string_lossy());
                matched |= is_match;
                match named.kind {
                    EntryKind::File if is_match => self.file(&path, &mut waiting),
                    EntryKind::Folder if is_match => self.walk(&path),
                    EntryKind::Folder if depth.is_none_or(|depth| level + 1 < depth) => below.push((path, level + 1)),
                    _ => {}
                }
            }
            self.release(&mut waiting, false);
            folders.extend(below.into_iter().rev());
        }
        if matched {
            return Ok(());
        }
        Err(Error::new(Kind::NotFound, Code::NoFile, format!("nothing matches {}", pattern.display())))
    }
}

/// Returns the folder before the first component with pattern characters, and the number of levels below it; `None` for
/// any number.
fn base(pattern: &Path) -> (PathBuf, Option<usize>) {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    let has_pattern = |part: &Component<'_>| has_pattern_characters(&part.as_os_str().to_string_lossy());
    let first = parts.iter().position(has_pattern).unwrap_or(parts.len());
    let base: PathBuf = parts[..first].iter().collect();
    let rest = &parts[first..];
    let any = rest.iter().any(|part| part.as_os_str().to_string_lossy().contains("**"));
    let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
    (base, (!any).then_some(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_does_not_match_a_slash() {
        let matches = |pattern: &str, path: &str| compile(pattern).unwrap().is_match(path);
        assert!(matches("a/*.raw", "a/b.raw") && !matches("a/*.raw", "a/b/c.raw"));
        assert!(matches("a/**/c.raw", "a/b/b/c.raw") && matches("{a,b}/?.raw", "b/c.raw"));
        assert_eq!(compile("a[").unwrap_err().code(), "pattern");
        assert_eq!(base(Path::new("/x/y*/z")), (PathBuf::from("/x"), Some(2)));
        assert_eq!(base(Path::new("**/z")), (PathBuf::from("."), None));
    }
}
