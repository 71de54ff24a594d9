//! Patterns of names, for hosts and lists where no shell resolves them.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::Finder;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::folder::EntryKind;
use hivewright_storage::probe;

/// Whether a path could be a pattern.
pub(super) fn is_pattern(path: &Path) -> bool {
    has_marks(&path.to_string_lossy())
}

fn has_marks(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// A pattern in which a `*` does not reach over a slash, and `**` does.
///
/// # Errors
/// `pattern`: it cannot be understood.
pub(in crate::audit) fn compile(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|e| {
        Error::new(
            Kind::NotFound,
            Code::Pattern,
            format!("the pattern \"{pattern}\" cannot be understood: {}", e.kind()),
        )
    })
}

impl Finder<'_> {
    /// Finds what a pattern stands for. Folders that it matches are walked; of the files that it matches, those count that
    /// look like targets.
    ///
    /// # Errors
    /// It is no pattern, or matches nothing.
    pub(super) fn matching(&mut self, pattern: &Path) -> Result<()> {
        let matcher = compile(&pattern.to_string_lossy())?;
        let (base, depth) = base(pattern);
        let mut folders = vec![(base, 0)];
        let mut matched = false;
        while let Some((folder, level)) = folders.pop().filter(|_| !self.done) {
            let names = match probe::list(&folder) {
                Ok(names) => names,
                // Nothing is below what is not there.
                Err(error) if error.kind() == Kind::NotFound => continue,
                Err(error) => {
                    // What is in there may match, and must not be lost without a word.
                    matched = true;
                    self.lost(&folder, error);
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
                // A pattern is text: of names that are not UTF-8 it fits those that look so.
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

/// The folder before the first part with marks, and how many levels are below it; none for any number.
fn base(pattern: &Path) -> (PathBuf, Option<usize>) {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    let marked = |part: &Component<'_>| has_marks(&part.as_os_str().to_string_lossy());
    let first = parts.iter().position(marked).unwrap_or(parts.len());
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
    fn patterns_part_at_slashes() {
        let matches = |pattern: &str, path: &str| compile(pattern).unwrap().is_match(path);
        assert!(matches("a/*.raw", "a/b.raw") && !matches("a/*.raw", "a/b/c.raw"));
        assert!(matches("a/**/c.raw", "a/b/b/c.raw") && matches("{a,b}/?.raw", "b/c.raw"));
        assert_eq!(compile("a[").unwrap_err().code(), "pattern");
        assert_eq!(base(Path::new("/x/y*/z")), (PathBuf::from("/x"), Some(2)));
        assert_eq!(base(Path::new("**/z")), (PathBuf::from("."), None));
    }
}
