//! The domains that the cases speak of, on the server that is probed.

use std::borrow::Cow;

use memchr::memmem;

/// What the cases call the component that sends their bytes, the one that may receive, one that is allowed in and never
/// connected, and the server itself.
const COMPONENT: &str = "comp.example";
const RECEIVER: &str = "peer.example";
const AWAY: &str = "down.example";
const HOST: &str = "host.example";

/// The domains of the probed server, and the secret of its components.
#[derive(Clone, Debug)]
pub struct Names {
    /// The component that sends.
    pub component: String,
    /// The component that receives, which cases of an open stream need.
    pub receiver: Option<String>,
    /// A component that the server knows and that is not connected.
    pub away: Option<String>,
    /// The server's own domain.
    pub host: String,
    /// The secret of these components.
    pub secret: String,
}

impl Names {
    /// `comp.example`, `peer.example` and `down.example` at `host.example`, as the cases are written.
    #[must_use]
    pub fn standard(secret: &str) -> Self {
        Self {
            component: COMPONENT.into(),
            receiver: Some(RECEIVER.into()),
            away: Some(AWAY.into()),
            host: HOST.into(),
            secret: secret.into(),
        }
    }

    /// May cases be played that spell `comp.example` in other ways?
    pub(crate) fn are_standard(&self) -> bool {
        self.component == COMPONENT
    }

    /// The bytes of a case with these names in them, or `None` where one is missing.
    pub(crate) fn put_into(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let mut bytes = bytes;
        for (written, ours) in [
            (COMPONENT, Some(&self.component)),
            (RECEIVER, self.receiver.as_ref()),
            (AWAY, self.away.as_ref()),
            (HOST, Some(&self.host)),
        ] {
            if memmem::find(&bytes, written.as_bytes()).is_some() {
                bytes = replaced(bytes, written, ours?);
            }
        }
        Some(bytes)
    }

    /// The secret as text of an element.
    pub(crate) fn escaped_secret(&self) -> Cow<'_, str> {
        if self.secret.contains(['&', '<', '>']) {
            self.secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()
        } else {
            self.secret.as_str().into()
        }
    }
}

/// These bytes with each `mark` replaced.
pub(crate) fn replaced(bytes: Vec<u8>, mark: &str, value: &str) -> Vec<u8> {
    let marks: Vec<usize> = memmem::find_iter(&bytes, mark).collect();
    if marks.is_empty() {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for at in marks {
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(value.as_bytes());
        from = at + mark.len();
    }
    out.extend_from_slice(&bytes[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_replaced_and_a_missing_one_leaves_the_case_out() {
        let mut names = Names::standard("s");
        let written = b"from='a@comp.example' to='peer.example' comp.example".to_vec();
        assert_eq!(names.put_into(written.clone()).as_ref(), Some(&written));
        names.component = "bot.localhost".into();
        let put = names.put_into(written.clone()).expect("no name is missing");
        assert_eq!(put, b"from='a@bot.localhost' to='peer.example' bot.localhost");
        names.receiver = None;
        assert_eq!(names.put_into(written), None);
    }
}
