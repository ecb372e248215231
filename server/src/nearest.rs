//! The known name nearest to a typing error.

use crate::printable::printable;

/// The known name that `name` is most likely a typing error of: at most one letter in three differs.
pub(crate) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Longer than any name worth comparing; the comparison takes quadratic time.
    if name.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = plain(name);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean ..." for [`nearest`].
pub(crate) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{}`?", printable(near)))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["password", "port", "proto"];
        assert_eq!(nearest("pasword", known), Some("password"));
        assert_eq!(nearest("Port", known), Some("port"));
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest(&"p".repeat(1000), known), None);
        assert_eq!(nearest("check-from", ["check_from"]), Some("check_from"));
    }
}
