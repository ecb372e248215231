//! The judges of XML on the wire: rxml and roxmltree, which share no code with our scan.
//!
//! With the feature `interop`, libexpat judges the same bytes too: most receivers read our streams with it.

use enjamb_probe::STREAM;

use crate::differences::{line_ends, roxmltree_misreads};
use crate::tree::{Read, Tree};

/// Reads a namespace-well-formed document, or the beginning of one.
///
/// # Errors
/// Why a judge refuses it, or how two of them differ.
pub fn read(xml: &[u8]) -> Result<Read, String> {
    let document = line_ends(xml);
    let read = Read::by_rxml(&document, false).map_err(|why| format!("rxml: {why}"))?;
    if let Some(document) = closed(document, read.depth).filter(|document| !roxmltree_misreads(document)) {
        let tree = Tree::by_roxmltree(&document).map_err(|why| format!("roxmltree: {why}"))?;
        if tree.elements() != read.tree.elements() {
            return Err(format!("rxml and roxmltree differ: {:?}, {tree:?}", read.tree));
        }
    }
    #[cfg(feature = "interop")]
    agrees_with_expat(xml, &read)?;
    Ok(read)
}

/// Checks that this is a namespace-well-formed document, or the beginning of one.
///
/// # Errors
/// As [`read`].
pub fn check(xml: &[u8]) -> Result<(), String> {
    read(xml).map(|_| ())
}

/// Elements that follow each other on a component's stream, as trees.
///
/// # Panics
/// A judge refuses them.
#[must_use]
pub fn trees(elements: &[u8]) -> Vec<Tree> {
    match read(&[STREAM.as_bytes(), elements].concat()) {
        Ok(read) => read.tree.elements(),
        Err(why) => panic!("{why}: {}", String::from_utf8_lossy(elements)),
    }
}

/// One stanza, read as a child of a component's stream.
///
/// # Panics
/// A judge refuses it, or it is not one element.
#[must_use]
pub fn stanza(xml: &str) -> Tree {
    let mut trees = trees(xml.as_bytes());
    assert_eq!(trees.len(), 1, "{xml}");
    trees.remove(0)
}

/// A whole document for a parser that reads nothing less, unless the end is in the middle of a first-level element.
fn closed(mut document: Vec<u8>, depth: usize) -> Option<Vec<u8>> {
    match depth {
        0 if document.contains(&b'<') => Some(document),
        1 => {
            let mut tags = document.split(|&byte| byte == b'<').skip(1);
            let root = tags.find(|tag| !tag.starts_with(b"?"))?;
            let name = root.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/')).next()?;
            let end = [b"</", name, b">"].concat();
            document.extend_from_slice(&end);
            Some(document)
        }
        _ => None,
    }
}

/// expat takes it as well, and reads the same.
#[cfg(feature = "interop")]
fn agrees_with_expat(xml: &[u8], ours: &Read) -> Result<(), String> {
    let (theirs, error) = crate::expat::read(xml, false);
    if let Some(error) = error {
        return Err(format!("expat: {error}"));
    }
    // Parsers differ in how soon they give text that may go on.
    let is_whole = ours.depth < 2;
    if is_whole && (&theirs.root, theirs.tree.elements()) != (&ours.root, ours.tree.elements()) {
        return Err(format!("rxml and expat differ: {ours:?}, {theirs:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Event;

    #[test]
    fn well_formed_beginnings_pass_and_others_do_not() {
        assert_eq!(check(b"<a><b/>"), Ok(()));
        assert_eq!(check(b"<?xml version='1.0'?><p:a xmlns:p='urn:p'><b>"), Ok(()));
        for bad in ["<a><b></c>", "<a><p:b/>", "<a>&b;</a>", "<a b='' b=''>", "<a><!-- b --></a>"] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn roxmltree_judges_what_rxml_takes() {
        // Its prefix has no name.
        assert!(Read::by_rxml(b"<a xmlns:p='http://www.w3.org/2000/xmlns/'>", false).is_ok());
        let refused = check(b"<a xmlns:p='http://www.w3.org/2000/xmlns/'>").unwrap_err();
        assert!(refused.starts_with("roxmltree: "), "{refused}");
    }

    #[test]
    fn equal_trees_are_equal_however_they_are_written() {
        let one = stanza("<message to='a' id='1'><body>x&lt;<![CDATA[y]]></body></message>");
        let two = stanza(
            "<c:message xmlns:c='jabber:component:accept' id='1' to='a'><c:body>x&#60;y</c:body></c:message>",
        );
        assert_eq!(one, two);
        assert_eq!(one.0[2], Event::Text("x<y".into()));
        assert_ne!(one, stanza("<message xmlns='' to='a' id='1'><body>x&lt;y</body></message>"));
    }
}
