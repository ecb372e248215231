//! Eight bytes at a time: which of them needs a look of its own.
//!
//! Each test gives a word in which the highest bit of a byte is set where the test holds for that byte of `word`.
//! Behind the first such byte it may be set for others, so only the first counts; and where a byte is not ASCII it may
//! be anything. So tests are joined with `|`, and then with [`not_ascii`], to find those as well, or with what `!` makes
//! of it, to pass them over.

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES * 0x80;

/// Bytes looked at in one go.
const WORD: usize = 8;

/// The eight bytes from `at` on, the first one lowest; `None` where there are fewer.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// Bytes of 0x80 and above.
#[inline(always)]
pub(crate) const fn not_ascii(word: u64) -> u64 {
    word
}

/// Bytes below `limit`.
#[inline(always)]
pub(crate) const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64)
}

/// Bytes of `limit` and above.
#[inline(always)]
pub(crate) const fn from(word: u64, limit: u8) -> u64 {
    (word & !HIGHS) + ONES * (0x80 - limit as u64)
}

/// Bytes that are `byte`.
#[inline(always)]
pub(crate) const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * byte as u64), 1)
}

/// Bytes that are `byte`, or `byte` without its second lowest bit, which must be set.
#[inline(always)]
pub(crate) const fn equal_but_2(word: u64, byte: u8) -> u64 {
    equal(word | (ONES * 2), byte)
}

/// The offset of the first byte from `at` on for which `tests` holds; the last bytes, fewer than a word, are asked
/// `test`, which says the same of one. The length if it holds for none.
#[inline(always)]
pub(crate) fn find(
    bytes: &[u8],
    mut at: usize,
    tests: impl Fn(u64) -> u64,
    test: impl Fn(u8) -> bool,
) -> usize {
    while let Some(word) = word(bytes, at) {
        let found = tests(word) & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| test(byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each test by itself finds what it says, as the first of a word's bytes, for every byte at every place.
    #[test]
    fn each_test_holds_for_the_bytes_that_it_names() {
        type Test = (fn(u64) -> u64, fn(u8) -> bool);
        let tests: [Test; 6] = [
            (|word| below(word, b' ') & !not_ascii(word), |byte| byte < b' '),
            (|word| not_ascii(word), |byte| byte >= 0x80),
            (|word| below(word, b' ') | not_ascii(word), |byte| !(b' '..0x80).contains(&byte)),
            (|word| from(word, b'{') | not_ascii(word), |byte| byte >= b'{'),
            (|word| equal(word, b'&') | not_ascii(word), |byte| byte == b'&' || byte >= 0x80),
            (
                |word| equal_but_2(word, b'>') | not_ascii(word),
                |byte| byte == b'<' || byte == b'>' || byte >= 0x80,
            ),
        ];
        for (of_word, of_byte) in tests {
            for byte in 0..=u8::MAX {
                for place in 0..20 {
                    let mut bytes = [b'a'; 20];
                    bytes[place] = byte;
                    let wanted = if of_byte(byte) { place } else { 20 };
                    assert_eq!(find(&bytes, 0, of_word, of_byte), wanted, "{byte:#x} at {place}");
                    assert_eq!(find(&bytes, place, of_word, of_byte), wanted, "{byte:#x} at {place}");
                }
            }
        }
    }

    /// What is set behind the first byte found does not matter, nor what stands there.
    #[test]
    fn the_first_of_several_is_found() {
        let tests = |word| equal(word, b'&') | below(word, b' ') | not_ascii(word);
        let test = |byte| byte == b'&' || !(b' '..0x80).contains(&byte);
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut bytes = [0; 24];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = b"abc&'%\x1f \x80\xff"[(state >> 60) as usize % 10];
            }
            let wanted = bytes.iter().position(|&byte| test(byte)).unwrap_or(24);
            assert_eq!(find(&bytes, 0, tests, test), wanted, "{bytes:x?}");
        }
    }
}
