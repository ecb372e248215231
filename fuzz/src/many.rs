//! Lists out of a fuzzer's bytes, dense: `arbitrary` itself tosses a coin before each element, so that its lists are
//! mostly empty.

use std::ops::Deref;

use arbitrary::{Arbitrary, Result, Unstructured};

/// A few of them; as the last field of a script, as many as the bytes give.
#[derive(Debug)]
pub(crate) struct Many<T>(Vec<T>);

impl<T> Deref for Many<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Many<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let length = u.int_in_range(0..=6)?;
        (0..length).map(|_| T::arbitrary(u)).collect::<Result<_>>().map(Self)
    }

    fn arbitrary_take_rest(mut u: Unstructured<'a>) -> Result<Self> {
        let mut all = Vec::new();
        while !u.is_empty() {
            all.push(T::arbitrary(&mut u)?);
        }
        Ok(Self(all))
    }
}

/// Up to 255 bytes.
#[derive(Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Arbitrary<'a> for Bytes<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let length = usize::from(u8::arbitrary(u)?).min(u.len());
        u.bytes(length).map(Self)
    }
}
