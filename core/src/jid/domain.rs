//! Canonical domain names: equal names have one spelling, and no name passes for another.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use icu_normalizer::ComposingNormalizerBorrowed;
use idna::AsciiDenyList;
use idna::uts46::{ErrorPolicy, Hyphens, ProcessingError, ProcessingSuccess, Uts46};

use super::error::{JidError, JidPart, MAX_PART};

/// The longest label that DNS carries, in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// A canonical domain name that is cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Canonicalises a name, see [`canonical_domain`].
    ///
    /// # Errors
    ///
    /// As [`canonical_domain`].
    pub fn parse(raw: &str) -> Result<Self, JidError> {
        canonical_domain(raw).map(|name| Self(Arc::from(&*name)))
    }

    /// The name `prefix.host`, which a subdomain component has under one host.
    ///
    /// # Errors
    ///
    /// Where both together are no domain name: too long, an IP literal, or labels that no bidirectional name
    /// may mix (RFC 5893).
    pub fn under(prefix: &Self, host: &Self) -> Result<Self, JidError> {
        let both = alloc::format!("{prefix}.{host}");
        // Each of them is canonical, so both together are, but for the rules of addresses and of scripts that run to the
        // left: those look at all labels.
        let may_be_address = both.ends_with(|last: char| last.is_ascii_digit()) || both.contains('[');
        if both.len() <= MAX_PART && !may_be_address && !has_right_to_left(&both) {
            return Ok(Self(both.into()));
        }
        Self::parse(&both)
    }

    /// The canonical name, to be shared.
    pub(super) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The canonical name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Domain {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Whether a character may be of a script that runs from right to left, by its block (DerivedBidiClass.txt).
fn has_right_to_left(name: &str) -> bool {
    let is_of_such_a_block = |c: char| {
        matches!(c, '\u{590}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFF}')
            || matches!(c, '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
    };
    !name.is_ascii() && name.chars().any(is_of_such_a_block)
}

/// Brings a domain into the form in which names are compared: lower case, U-labels in NFC (RFC 7622 section
/// 3.2.1), one final dot taken off, an IPv6 address in its shortest form, an IPv4 address only in the one it has.
/// Borrowed where `raw` is that already.
///
/// Stricter than UTS 46 asks for: a name that it would accept by dropping characters or by replacing them with
/// others than their lower case (full-width letters, ideographic dots, soft hyphens) is refused. `_` is let
/// through, for component names use it.
///
/// # Errors
///
/// Says which rule the name breaks.
pub fn canonical_domain(raw: &str) -> Result<Cow<'_, str>, JidError> {
    let name = raw.strip_suffix('.').unwrap_or(raw);
    match name.len() {
        0 => return Err(JidError::Empty(JidPart::Domain)),
        1..=MAX_PART => {}
        bytes => return Err(JidError::TooLong { part: JidPart::Domain, bytes }),
    }
    if name.starts_with('[') {
        return canonical_ipv6(raw);
    }
    let seen = check_ascii(name)?;
    if is_numbers_alone(name) && name.parse::<Ipv4Addr>().is_err() {
        return Err(JidError::NotIpv4);
    }
    if seen.idna {
        canonical_idna(name)
    } else if seen.upper {
        Ok(Cow::Owned(name.to_ascii_lowercase()))
    } else {
        Ok(Cow::Borrowed(name))
    }
}

/// Whether each label is a number, decimal or hexadecimal, so that the name may be an IPv4 address to a resolver of
/// it (`inet_aton`). A name that ends in an address, such as `component.10.0.0.1`, is not one of those.
fn is_numbers_alone(name: &str) -> bool {
    name.split('.').all(|label| match label.as_bytes() {
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    })
}

/// What one pass over the bytes of a name found.
struct Seen {
    upper: bool,
    /// Something that only IDNA can judge: a byte over 0x7F or an A-label.
    idna: bool,
}

/// Checks what ASCII alone can tell; a label that is not ASCII is checked again once it is mapped.
fn check_ascii(name: &str) -> Result<Seen, JidError> {
    let mut seen = Seen { upper: false, idna: false };
    for label in name.split('.') {
        let mut ascii = true;
        for (place, byte) in label.bytes().enumerate() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
                b'A'..=b'Z' => seen.upper = true,
                0x80.. => ascii = false,
                _ => {
                    let found = label[place..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                    return Err(JidError::Forbidden { part: JidPart::Domain, found });
                }
            }
        }
        if label.is_empty() {
            return Err(JidError::EmptyLabel);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(JidError::LabelHyphen);
        }
        if ascii && label.len() > MAX_LABEL {
            return Err(JidError::LabelTooLong { bytes: label.len() });
        }
        seen.idna |= !ascii || is_a_label(label);
    }
    Ok(seen)
}

fn is_a_label(label: &str) -> bool {
    label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"))
}

/// An address literal; a dot behind the bracket is no part of it.
fn canonical_ipv6(raw: &str) -> Result<Cow<'_, str>, JidError> {
    let inner = raw.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(JidError::NotIpv6)?;
    let address: Ipv6Addr = inner.parse().map_err(|_| JidError::NotIpv6)?;
    let written = alloc::format!("[{address}]");
    Ok(if written == raw { Cow::Borrowed(raw) } else { Cow::Owned(written) })
}

/// What no domain may hold of ASCII, as [`check_ascii`] has it: composition makes signs of other characters.
const SIGNS: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

/// The path for names that are not plain ASCII. `name` has passed [`check_ascii`].
fn canonical_idna(name: &str) -> Result<Cow<'_, str>, JidError> {
    let refused = || JidError::Idna { bytes: name.len() };
    let mapped = map(name, true).map_err(|_| refused())?;
    // As DNS would carry it, to be looked at.
    let carried = map(&mapped, false).map_err(|_| refused())?;

    let labels = || mapped.split('.').zip(carried.split('.'));
    if labels().count() != name.split('.').count() {
        return Err(refused());
    }
    for (sent, (mapped, carried)) in name.split('.').zip(labels()) {
        let faithful = if is_a_label(sent) {
            !mapped.is_ascii() && carried.eq_ignore_ascii_case(sent)
        } else {
            mapped_by_case_only(sent, mapped)
        };
        if !faithful || is_a_label(mapped) || mapped.chars().any(is_joiner) {
            return Err(refused());
        }
        if carried.len() > MAX_LABEL {
            return Err(JidError::LabelTooLong { bytes: carried.len() });
        }
    }
    if mapped.len() > MAX_PART {
        return Err(JidError::TooLong { part: JidPart::Domain, bytes: mapped.len() });
    }
    Ok(if mapped == name { Cow::Borrowed(name) } else { Cow::Owned(mapped) })
}

/// A name as UTS 46 maps it, in U-labels or in A-labels.
fn map(name: &str, unicode: bool) -> Result<String, ProcessingError> {
    let (bytes, hyphens) = (name.as_bytes(), Hyphens::CheckFirstLast);
    let (policy, mut mapped) = (ErrorPolicy::FailFast, String::new());
    match Uts46::new().process(bytes, SIGNS, hyphens, policy, |_, _, _| unicode, &mut mapped, None)? {
        ProcessingSuccess::Passthrough => Ok(name.into()),
        ProcessingSuccess::WroteToSink => Ok(mapped),
    }
}

/// Whether a label became `mapped` by composition and lower-casing alone. Its own spelling is tried, too:
/// IDNA's Cherokee is in what Unicode calls upper case.
fn mapped_by_case_only(sent: &str, mapped: &str) -> bool {
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    let lower = sent.chars().flat_map(char::to_lowercase);
    nfc.normalize_iter(lower).eq(mapped.chars()) || nfc.normalize_iter(sent.chars()).eq(mapped.chars())
}

/// The two characters that IDNA 2008 allows in context and that show nothing.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}
