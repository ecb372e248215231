//! The child elements of a stanza as it was written for its receiver: checked, without CDATA sections, and with every prefix
//! that it uses declared.

use super::names::leading_blanks;
use super::tag::checked_start_tag;

/// A child element.
#[derive(Debug)]
pub(crate) struct ChildName<'a> {
    local: &'a [u8],
    /// Its namespace name as it is written; empty if it is the stanza's own.
    namespace: &'a [u8],
}

impl ChildName<'_> {
    pub(crate) fn is(&self, local: &str, namespace: &str) -> bool {
        self.local == local.as_bytes() && self.is_in(namespace)
    }

    pub(crate) fn is_in(&self, namespace: &str) -> bool {
        self.namespace == namespace.as_bytes()
    }

    pub(crate) fn is_own(&self, local: &str) -> bool {
        self.local == local.as_bytes() && self.namespace.is_empty()
    }
}

/// The child elements, in order.
pub(crate) fn children(stanza: &[u8]) -> impl Iterator<Item = ChildName<'_>> {
    let (mut at, mut depth) = (0, 0);
    core::iter::from_fn(move || {
        loop {
            at += memchr::memchr(b'<', stanza.get(at..)?)?;
            if stanza.get(at + 1) == Some(&b'/') {
                depth -= 1;
                at += 2;
                continue;
            }
            let (child, end, is_empty) = start_tag(stanza, at)?;
            at = end;
            depth += i32::from(!is_empty);
            if depth - i32::from(!is_empty) == 1 {
                return Some(child);
            }
        }
    })
}

/// The name of the element that begins there, where its tag ends, and whether it is empty.
fn start_tag(stanza: &[u8], at: usize) -> Option<(ChildName<'_>, usize, bool)> {
    let (name, attributes) = checked_start_tag(stanza, at)?;
    let prefix = name.prefix(stanza);
    let declares = |written: &[u8]| match prefix {
        b"" => written == b"xmlns",
        prefix => written.strip_prefix(b"xmlns:") == Some(prefix),
    };
    let (mut namespace, mut end) = (None, name.end());
    for attribute in attributes {
        if declares(attribute.name.whole(stanza)) {
            namespace = Some(attribute.value.of(stanza));
        }
        end = attribute.whole.end as usize;
    }
    if namespace.is_none() && !prefix.is_empty() && at > 0 {
        let (_, mut outer) = checked_start_tag(stanza, 0)?;
        let declared = outer.find(|attribute| declares(attribute.name.whole(stanza)));
        namespace = declared.map(|attribute| attribute.value.of(stanza));
    }
    end += leading_blanks(stanza.get(end..)?);
    let is_empty = stanza.get(end) == Some(&b'/');
    let child = ChildName { local: name.local(stanza), namespace: namespace.unwrap_or_default() };
    Some((child, end + 1 + usize::from(is_empty), is_empty))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn children_are_found_at_one_depth_with_their_namespaces() {
        let stanza = "<message xmlns:p='urn:p' a='>'>x<body>1 &lt; 2</body ><a xmlns='urn:a'><b/><p:c>/></p:c></a>\
            <p:d/><q:e xmlns:q = \"urn:q\" b='/>'\n/>y</message>";
        let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
        let found: Vec<_> =
            children(stanza.as_bytes()).map(|child| (text(child.local), text(child.namespace))).collect();
        let wanted = [("body", ""), ("a", "urn:a"), ("d", "urn:p"), ("e", "urn:q")];
        assert_eq!(found, wanted.map(|(local, namespace)| (local.into(), namespace.into())));
        for empty in ["<message/>", "<message a='b' />", "<message></message>", "<message>text</message>"] {
            assert_eq!(children(empty.as_bytes()).count(), 0, "{empty}");
        }
    }
}
