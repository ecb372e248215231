//! Namespace names.

/// Content namespace of a component's stream (XEP-0114).
pub(crate) const COMPONENT: &str = "jabber:component:accept";
/// Content namespace that some libraries write on stanzas.
pub(crate) const CLIENT: &str = "jabber:client";
/// Likewise.
pub(crate) const SERVER: &str = "jabber:server";
/// Namespace of `<stream:stream>` (RFC 6120, 4.8.1).
pub(crate) const STREAMS: &str = "http://etherx.jabber.org/streams";
/// What the prefix `xml` is bound to.
pub(crate) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// What the prefix `xmlns` is bound to.
pub(crate) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// Conditions of stanza errors (RFC 6120, 8.3.2).
pub(crate) const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// Application-specific conditions such as `stanza-too-big` (XEP-0205).
pub(crate) const ERRORS: &str = "urn:xmpp:errors";
