//! A secret made at start, for a server without a configuration file.

use std::io;

use zeroize::Zeroizing;

/// 32 random letters and digits: 190 bits, and every client library hashes those alike.
pub(crate) fn generate() -> io::Result<String> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut secret = String::with_capacity(32);
    while secret.len() < 32 {
        let mut bytes = Zeroizing::new([0; 64]);
        getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
        // Bytes of 248 and more would make some digits likelier than others.
        let digits = bytes.iter().filter(|&&byte| byte < 248).map(|&byte| DIGITS[usize::from(byte) % 62]);
        secret.extend(digits.map(char::from).take(32 - secret.len()));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    #[test]
    fn secrets_are_letters_and_digits_and_never_the_same() {
        let (a, b) = (super::generate().unwrap(), super::generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 32);
        assert!(a.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
