//! Shell globs, matched without a regular expression.

use thiserror::Error;

/// A shell pattern that has to match the whole text: `*`, `?`, `[a-z]`, `[!x]` or `[^x]`, and `\` before a
/// character that stands for itself.
///
/// The time to match is at most the product of both lengths, whatever the pattern, so a pattern has at most
/// [`MAX_LENGTH`](Self::MAX_LENGTH) characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`
    AnyRun,
    /// `?`
    AnyOne,
    Literal(char),
    /// `[..]`; the ranges include both ends.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Why a text is no glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GlobError {
    /// A `[` without its `]`.
    #[error("the bracket at character {at} is not closed")]
    UnclosedBracket {
        /// Its place in characters, from 1.
        at: usize,
    },
    /// A range that runs backwards, such as `[z-a]`, matches nothing.
    #[error("the range {from:?}-{to:?} runs backwards")]
    BackwardRange {
        /// Where the range starts.
        from: char,
        /// Where it ends.
        to: char,
    },
    /// It has more characters than a match may cost.
    #[error("it has {length} characters, and the limit is {limit}: use several patterns, or `user`, `server` or `resource` for a whole value", limit = Glob::MAX_LENGTH)]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// A `\` at the end.
    #[error("nothing stands behind the last backslash")]
    TrailingBackslash,
}

impl Glob {
    /// Characters of the longest pattern.
    pub const MAX_LENGTH: usize = 64;

    /// How many steps a match may take for each byte of the text, at most.
    pub(super) fn weight(&self) -> usize {
        let of_token = |token: &Token| match token {
            Token::Class { ranges, .. } => ranges.len().max(1),
            Token::AnyRun | Token::AnyOne | Token::Literal(_) => 1,
        };
        self.tokens.iter().map(of_token).sum()
    }

    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Names the part that can't be what its author meant.
    pub fn parse(pattern: &str) -> Result<Self, GlobError> {
        let chars: Vec<char> = pattern.chars().collect();
        if chars.len() > Self::MAX_LENGTH {
            return Err(GlobError::TooLong { length: chars.len() });
        }
        let mut tokens = Vec::with_capacity(chars.len());
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            at += 1;
            tokens.push(match c {
                '*' if tokens.last() == Some(&Token::AnyRun) => continue,
                '*' => Token::AnyRun,
                '?' => Token::AnyOne,
                '[' => {
                    let (class, end) = parse_class(&chars, at)?;
                    at = end;
                    class
                }
                '\\' => {
                    let escaped = *chars.get(at).ok_or(GlobError::TrailingBackslash)?;
                    at += 1;
                    Token::Literal(escaped)
                }
                literal => Token::Literal(literal),
            });
        }
        Ok(Self { tokens })
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.run(text, false)
    }

    /// Whether the whole of `text`, which is in lower case, matches the pattern in lower case.
    #[must_use]
    pub fn matches_lowercase(&self, text: &str) -> bool {
        self.run(text, true)
    }

    /// Goes back to the last `*` only: what an earlier one might take instead changes nothing.
    fn run(&self, text: &str, fold: bool) -> bool {
        let (mut token, mut rest) = (0, text);
        let mut last_star: Option<(usize, &str)> = None;
        loop {
            match (self.tokens.get(token), rest.chars().next()) {
                (Some(Token::AnyRun), _) => {
                    token += 1;
                    last_star = Some((token, rest));
                    continue;
                }
                (None, None) => return true,
                (Some(one), Some(c)) if one.takes(c, fold) => {
                    token += 1;
                    rest = &rest[c.len_utf8()..];
                    continue;
                }
                _ => {}
            }
            let Some((behind_star, taken_up_to)) = last_star else { return false };
            let Some(c) = taken_up_to.chars().next() else { return false };
            rest = &taken_up_to[c.len_utf8()..];
            token = behind_star;
            last_star = Some((behind_star, rest));
        }
    }
}

impl Token {
    fn takes(&self, c: char, fold: bool) -> bool {
        let lower = |c| if fold { lowercase(c) } else { c };
        match self {
            Self::AnyRun | Self::AnyOne => true,
            Self::Literal(literal) => lower(*literal) == c,
            Self::Class { negated, ranges } => {
                let within = |&(from, to): &(char, char)| {
                    (from..=to).contains(&c) || (lower(from)..=lower(to)).contains(&c)
                };
                ranges.iter().any(within) != *negated
            }
        }
    }
}

/// The lower case of a character where that is one character, else the character itself.
fn lowercase(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Reads a class whose `[` is just before `start`; gives back where it ends. A `]` that comes first, and a `-`
/// at either end, stand for themselves, as in a shell.
fn parse_class(chars: &[char], start: usize) -> Result<(Token, usize), GlobError> {
    let unclosed = GlobError::UnclosedBracket { at: start };
    let mut at = start;
    let negated = matches!(chars.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let first = at;
    let mut ranges = Vec::new();
    loop {
        let from = match *chars.get(at).ok_or(unclosed)? {
            ']' if at > first => return Ok((Token::Class { negated, ranges }, at + 1)),
            '\\' => {
                at += 1;
                *chars.get(at).ok_or(unclosed)?
            }
            c => c,
        };
        at += 1;
        let is_range = chars.get(at) == Some(&'-') && chars.get(at + 1).is_some_and(|&next| next != ']');
        if !is_range {
            ranges.push((from, from));
            continue;
        }
        at += 1 + usize::from(chars[at + 1] == '\\');
        let to = *chars.get(at).ok_or(unclosed)?;
        at += 1;
        if from > to {
            return Err(GlobError::BackwardRange { from, to });
        }
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn a_glob_matches_the_whole_text() {
        for (pattern, fits, differs) in [
            ("", "", "a"),
            ("abc", "abc", "abcd"),
            ("a*", "a", "ba"),
            ("*.spam.example", "a.b.spam.example", "spam.example"),
            ("*a*b*c", "xxaxbxabxc", "xxaxbxabx"),
            ("a?c", "aüc", "ac"),
            ("a**c", "abbc", "abb"),
            ("[a-c]x", "bx", "dx"),
            ("[!a-c]x", "dx", "bx"),
            ("[^a-c]x", "dx", "ax"),
            ("[]x]", "]", "["),
            ("[a-]", "-", "b"),
            ("[-a]", "-", "b"),
            ("[\\]-a]", "^", "b"),
            ("\\*", "*", "a"),
            ("\\[a]", "[a]", "a"),
            ("a]", "a]", "a"),
        ] {
            assert!(matches(pattern, fits), "{pattern:?} and {fits:?}");
            assert!(!matches(pattern, differs), "{pattern:?} and {differs:?}");
        }
        assert!(matches("*", "") && matches("*", "any"));
    }

    #[test]
    fn lower_case_is_compared_with_the_pattern_in_lower_case() {
        let glob = Glob::parse("Spam[A-C]Ü*").unwrap();
        assert!(glob.matches_lowercase("spambüx"));
        assert!(!glob.matches("spambüx"));
        assert!(!glob.matches_lowercase("spamdüx"));
        // Its lower case is two characters, so it stands for itself.
        assert!(Glob::parse("İ").unwrap().matches_lowercase("İ"));
    }

    #[test]
    fn what_its_author_cannot_have_meant_is_refused() {
        assert_eq!(Glob::parse("ab[c"), Err(GlobError::UnclosedBracket { at: 3 }));
        assert_eq!(Glob::parse("[]"), Err(GlobError::UnclosedBracket { at: 1 }));
        assert_eq!(Glob::parse("[a-\\"), Err(GlobError::UnclosedBracket { at: 1 }));
        assert_eq!(Glob::parse("[z-a]"), Err(GlobError::BackwardRange { from: 'z', to: 'a' }));
        assert_eq!(Glob::parse("a\\"), Err(GlobError::TrailingBackslash));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(31);
        assert!(!matches(&format!("{pattern}b"), &"a".repeat(2000)));
        assert!(matches(&pattern, &"a".repeat(2000)));
    }
}
