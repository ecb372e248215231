//! Local parts: opaque but for what no local part may hold, and for what shows nothing.

use alloc::borrow::Cow;
use alloc::string::String;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, GeneralCategory, JoiningType,
};
use icu_properties::{
    CodePointMapData, CodePointMapDataBorrowed, CodePointSetData, CodePointSetDataBorrowed,
};

use super::error::{JidError, JidPart, check_length};

/// Checks a local part. Letters, digits, signs and symbols of any kind pass, as sent: whether a user may have that name
/// is for the domain behind the `@`.
pub(super) fn check(local: &str) -> Result<(), JidError> {
    check_length(JidPart::Local, local)?;
    for (at, found) in local.char_indices() {
        let fits = match found {
            '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@' => false,
            '!'..='~' => true,
            NON_JOINER => joins(&local[..at], &local[at + found.len_utf8()..]),
            JOINER => ends_in_virama(&local[..at]),
            _ => !found.is_whitespace() && !found.is_control() && !is_invisible(found),
        };
        if !fits {
            return Err(JidError::Forbidden { part: JidPart::Local, found });
        }
    }
    Ok(())
}

/// A local part as it is compared (RFC 7622, section 3.3; RFC 8265, section 3.3): full-width letters are usual ones, upper
/// case is lower case, and what may be written in two ways is composed.
pub(super) fn fold(local: &str) -> Cow<'_, str> {
    const NORMALIZER: ComposingNormalizerBorrowed<'_> = ComposingNormalizerBorrowed::new_nfc();
    if local.is_ascii() {
        let is_folded = !local.bytes().any(|byte| byte.is_ascii_uppercase());
        return if is_folded { Cow::Borrowed(local) } else { Cow::Owned(local.to_ascii_lowercase()) };
    }
    let narrow = |c: char| match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        other => other,
    };
    let lower: String = local.chars().map(narrow).flat_map(char::to_lowercase).collect();
    Cow::Owned(NORMALIZER.normalize(&lower).into_owned())
}

const NON_JOINER: char = '\u{200C}';
const JOINER: char = '\u{200D}';

/// Characters that show nothing by themselves. RFC 7622 forbids them and RFC 6122 drops many of them, so that one local
/// part could pass for another.
fn is_invisible(c: char) -> bool {
    const IGNORABLE: CodePointSetDataBorrowed<'_> = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    const CATEGORY: CodePointMapDataBorrowed<'_, GeneralCategory> = CodePointMapData::new();
    IGNORABLE.contains(c) || CATEGORY.get(c) == GeneralCategory::Format
}

/// May a joiner stand behind `before`, whatever follows? (RFC 5892, appendix A.2)
fn ends_in_virama(before: &str) -> bool {
    const CLASS: CodePointMapDataBorrowed<'_, CanonicalCombiningClass> = CodePointMapData::new();
    before.chars().next_back().is_some_and(|c| CLASS.get(c) == CanonicalCombiningClass::Virama)
}

/// May a non-joiner stand between these two? (RFC 5892, appendix A.1)
fn joins(before: &str, behind: &str) -> bool {
    const TYPE: CodePointMapDataBorrowed<'_, JoiningType> = CodePointMapData::new();
    let opaque = |c: &JoiningType| *c != JoiningType::Transparent;
    let left = || before.chars().rev().map(|c| TYPE.get(c)).find(opaque);
    let right = || behind.chars().map(|c| TYPE.get(c)).find(opaque);
    ends_in_virama(before)
        || (matches!(left(), Some(JoiningType::LeftJoining | JoiningType::DualJoining))
            && matches!(right(), Some(JoiningType::RightJoining | JoiningType::DualJoining)))
}
