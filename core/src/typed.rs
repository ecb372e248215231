//! Stanzas as typed values, with the feature `xso`.

use alloc::vec::Vec;

use rxml::Options;
use xso::FromXml;
use xso::error::Error;

use crate::namespaces as ns;
use crate::stanza::Stanza;
use crate::xml::escape::push_attribute;

impl Stanza<'_> {
    /// The stanza as a value: `xmpp_parsers::message::Message` and its like, a `minidom::Element`, or a type of your
    /// own that implements [`FromXml`]. The types of `xmpp-parsers` are those of a component's stream with its
    /// feature `component` alone; without it they take no stanza from here.
    ///
    /// The way back is [`xso::to_vec`], whose bytes `Component::send` of `enjamb-runtime` takes, and which
    /// makes the payload of a `Request`.
    ///
    /// # Errors
    /// [`TypeMismatch`](Error::TypeMismatch) where the stanza is another element than `T`; others where it is not
    /// what `T` says it must be.
    pub fn parse<T: FromXml>(&self) -> Result<T, Error> {
        let document = self.to_document();
        let mut options: Options = Options::default();
        // The scan has checked each length. For the parser one token may be all of it; it is set aside once.
        options.max_token_length = options.max_token_length.max(document.len());
        xso::from_bytes_with_options(&document, options)
    }

    /// What is written for a receiver inherits the stream's default namespace. By itself it has to declare it.
    fn to_document(&self) -> Vec<u8> {
        let mut document = Vec::with_capacity(self.raw().len() + 256);
        document.push(b'<');
        document.extend_from_slice(self.kind().as_str().as_bytes());
        push_attribute(&mut document, "xmlns", ns::COMPONENT);
        let written = self.to_vec();
        document.extend_from_slice(&written[1 + self.kind().as_str().len()..]);
        document
    }
}
