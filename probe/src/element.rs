//! Stanzas that a server sent, to be looked at.

use roxmltree::{Document, Node};

use crate::judge::STREAM;

/// Gives what `look` finds in the stanzas of these bytes, which came after the negotiation.
///
/// # Errors
/// They are not well-formed.
pub(crate) fn with_stanzas<T>(bytes: &[u8], look: impl FnOnce(&[Node<'_, '_>]) -> T) -> Result<T, String> {
    let text = String::from_utf8_lossy(bytes);
    let stanzas = text.trim_ascii_end().strip_suffix("</stream:stream>").unwrap_or(&text);
    let whole = format!("{STREAM}{stanzas}</stream:stream>");
    let document = Document::parse(&whole).map_err(|error| error.to_string())?;
    let nodes: Vec<_> = document.root_element().children().filter(Node::is_element).collect();
    Ok(look(&nodes))
}

/// Gives what `look` finds in the one stanza with this id.
///
/// # Errors
/// They are not well-formed, or not exactly one has it.
pub(crate) fn with_stanza<T>(
    bytes: &[u8],
    id: &str,
    look: impl FnOnce(Node<'_, '_>) -> T,
) -> Result<T, String> {
    with_stanzas(bytes, |stanzas| {
        let found: Vec<_> = stanzas.iter().filter(|stanza| stanza.attribute("id") == Some(id)).collect();
        match found.as_slice() {
            [one] => Ok(look(**one)),
            [] => Err("nothing comes back with its id".into()),
            more => Err(format!("{} stanzas come back with its id", more.len())),
        }
    })?
}

/// The `<error/>` of a stanza: its type and its conditions.
pub(crate) fn error_of(stanza: Node<'_, '_>) -> Option<(String, Vec<String>)> {
    let error = stanza.children().find(|child| child.tag_name().name() == "error")?;
    let conditions = error.children().filter(|child| {
        child.tag_name().namespace() == Some("urn:ietf:params:xml:ns:xmpp-stanzas")
            && child.tag_name().name() != "text"
    });
    let conditions = conditions.map(|condition| condition.tag_name().name().to_owned()).collect();
    Some((error.attribute("type").unwrap_or_default().to_owned(), conditions))
}
