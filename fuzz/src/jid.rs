//! Addresses have one canonical form, and the one that another library gives.

use std::borrow::Cow;

use enjamb_core::jid::{Domain, Jid, MAX_PART, canonical_domain};

/// Reads `data` as an address.
///
/// # Panics
/// Its canonical form is not an address, or has a part that is too long; or the `jid` crate, if it takes the address, reads
/// another domain or other parts.
pub fn canonical_is_canonical(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(address) = Jid::parse(text) else { return };
    let whole = address.as_str();
    let again = Jid::parse(whole).expect("a canonical address is an address");
    assert!(again == address && again.is_verbatim(), "{whole:?} is not canonical");
    if address.is_verbatim() {
        assert_eq!(whole, text);
    }
    let domain = address.domain();
    assert!(matches!(canonical_domain(domain), Ok(Cow::Borrowed(same)) if same == domain));
    assert_eq!(Domain::parse(domain).map(|parsed| parsed.as_str() == domain), Ok(true));
    let local = address.local().map_or(String::new(), |local| format!("{local}@"));
    let resource = address.resource().map_or(String::new(), |resource| format!("/{resource}"));
    assert_eq!([&local, domain, &resource].concat(), whole, "the parts are not the whole");
    for part in [address.local(), Some(domain), address.resource()].into_iter().flatten() {
        assert!((1..=MAX_PART).contains(&part.len()), "a part of {} bytes", part.len());
    }
    agrees_with_the_jid_crate(text, &address);
}

/// It folds local parts (RFC 3920), which we leave as sent (see `docs/decisions/opaque-local-parts.md`), leaves IPv6 addresses and A-labels as they are, and cuts an
/// address with a final dot otherwise; apart from ASCII the two follow different tables.
fn agrees_with_the_jid_crate(text: &str, ours: &Jid<'_>) {
    let Ok(theirs) = jid::Jid::new(text) else { return };
    let has_final_dot = text.split('/').next().is_some_and(|bare| bare.ends_with('.'));
    if has_final_dot || !text.is_ascii() || text.to_ascii_lowercase().contains("xn--") {
        return;
    }
    let domain = theirs.domain().as_str();
    assert!(domain.starts_with('[') || domain == ours.domain(), "{domain:?} is {:?} to us", ours.domain());
    assert_eq!(theirs.node().map(|node| node.as_str().to_owned()), ours.local().map(str::to_ascii_lowercase));
    assert_eq!(theirs.resource().map(|resource| resource.as_str()), ours.resource());
}
