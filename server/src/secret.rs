//! Fresh secrets: for a server without a configuration file, and for a new file.

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

/// 40 random digits and letters from a to f: 160 bits, to be copied into other programs' files.
pub(crate) fn generate_hex() -> io::Result<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = Zeroizing::new([0; 20]);
    getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn hex_secrets_are_lower_case_and_never_the_same() {
        let (a, b) = (super::generate_hex().unwrap(), super::generate_hex().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 40);
        assert!(a.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    }

    #[test]
    fn secrets_are_letters_and_digits_and_never_the_same() {
        let (a, b) = (super::generate().unwrap(), super::generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 32);
        assert!(a.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
