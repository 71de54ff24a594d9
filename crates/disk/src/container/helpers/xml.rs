//! A reader for the subset of XML in descriptions of images: start tags with their attributes and the text after them.
//! End tags and everything else are skipped, so only the order of the tags is known.

/// A start tag, without the prefix of its namespace.
pub(in crate::container) struct Tag<'a> {
    pub(in crate::container) name: &'a str,
    attributes: &'a str,
    text: &'a str,
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

impl Tag<'_> {
    pub(in crate::container) fn attribute(&self, wanted: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some((name, after)) = rest.split_once('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, after) = after[1..].split_once(quote)?;
            if local(name.trim()) == wanted {
                return Some(entities(value));
            }
            rest = after;
        }
        None
    }

    /// Returns the text between the tag and the next one, without surrounding white space.
    pub(in crate::container) fn text(&self) -> String {
        entities(self.text.trim())
    }
}

/// Returns the text with its character references resolved (XML 1.0, 4.1 and 4.6). Unknown references are unchanged.
pub(crate) fn entities(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('&') {
        out += before;
        // The search for the end is limited to the length of a reference; otherwise a text of ampersands takes
        // quadratic time.
        let end = after.bytes().take(LONGEST_REFERENCE).position(|byte| byte == b';');
        let found = end.and_then(|end| Some((character(&after[..end])?, end)));
        rest = match found {
            Some((c, end)) => {
                out.push(c);
                &after[end + 1..]
            }
            None => {
                out.push('&');
                after
            }
        };
    }
    out + rest
}

/// Maximum length of a reference: `#1114111;` or `#x10ffff;`, with some leading zeros.
const LONGEST_REFERENCE: usize = 16;

fn character(name: &str) -> Option<char> {
    const KNOWN: [(&str, char); 5] = [("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\''), ("amp", '&')];
    if let Some(number) = name.strip_prefix('#') {
        let (digits, base) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
        return char::from_u32(u32::from_str_radix(digits, base).ok()?);
    }
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, c)| *c)
}

/// Iterates over the start tags in order. Comments and other markup are skipped.
pub(in crate::container) struct Tags<'a>(&'a str);

impl<'a> Tags<'a> {
    pub(in crate::container) fn of(text: &'a str) -> Self {
        Tags(text)
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let rest = &self.0[self.0.find('<')? + 1..];
            let skipped = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>"), ("!", ">"), ("/", ">")];
            if let Some((_, end)) = skipped.iter().find(|(start, _)| rest.starts_with(start)) {
                self.0 = &rest[rest.find(end)? + end.len()..];
                continue;
            }
            let end = end_of_tag(rest)?;
            self.0 = &rest[end + 1..];
            let tag = rest[..end].trim_end_matches('/');
            let (name, attributes) = tag.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((tag, ""));
            let text = self.0.split('<').next().unwrap_or_default();
            return Some(Tag { name: local(name), attributes, text });
        }
    }
}

/// Returns the index of the first `>` outside of quotes.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, b) in text.bytes().enumerate() {
        match (quote, b) {
            (None, b'>') => return Some(i),
            (None, b'"' | b'\'') => quote = Some(b),
            (Some(open), b) if open == b => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_references_are_resolved() {
        for (text, expected) in [
            ("Joe&#39;s &amp;amp; &#xe9;&#233; PC", "Joe's &amp; \u{e9}\u{e9} PC"),
            ("a & b &; &none; &#xd800; &#; &#x110000;", "a & b &; &none; &#xd800; &#; &#x110000;"),
            ("&lt;&gt;&quot;&apos;", "<>\"'"),
            ("&", "&"),
            (
                "&\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9};",
                "&\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9};",
            ),
        ] {
            assert_eq!(entities(text), expected);
        }
        let many = "&".repeat(4 << 20);
        assert_eq!(entities(&many), many, "and at once");
    }

    #[test]
    fn text_ends_at_the_next_tag() {
        let tags: Vec<(String, String)> =
            Tags::of("<a>\n x &amp; y <b/><c>z</c> <d").map(|tag| (tag.name.to_owned(), tag.text())).collect();
        let expected = [("a", "x & y"), ("b", ""), ("c", "z")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(tags, expected);
    }
}
