//! The attributes of a start tag, of which none may be given twice.

use alloc::vec::Vec;

use super::order::{Order, hash};
use super::span::{Attribute, Name};

/// The attributes of a start tag. Whether one is given twice costs a few comparisons for each, however many there are.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    list: Vec<Attribute>,
    /// By their names as written, if they are more than a few; then by namespace and local name.
    order: Order,
}

/// Up to this many are compared one by one, which is faster.
const FEW: usize = 8;

impl Attributes {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.order.clear();
    }

    pub(super) fn as_slice(&self) -> &[Attribute] {
        &self.list
    }

    /// Adds an attribute; false if its name is written as that of another.
    #[inline(always)]
    pub(super) fn push(&mut self, attribute: Attribute, input: &[u8]) -> bool {
        let is_new = if self.list.len() < FEW {
            !self.list.iter().any(|other| other.name.is_same(attribute.name, input))
        } else {
            self.note_name(attribute.name, input)
        };
        self.list.push(attribute);
        is_new
    }

    #[inline(never)]
    fn note_name(&mut self, name: Name, input: &[u8]) -> bool {
        let Self { list, order } = self;
        let mut note = |place: usize, name: &[u8]| {
            let hash = hash(name);
            let found = order.find(hash, |place| list[place].name.whole(input).cmp(name));
            if let Err(at) = found {
                order.insert(at, hash, place);
            }
            found.is_err()
        };
        if list.len() == FEW {
            for (place, attribute) in list.iter().enumerate() {
                note(place, attribute.name.whole(input));
            }
        }
        note(list.len(), name.whole(input))
    }

    /// Forgets which namespaces were noted.
    pub(super) fn begin_namespaces(&mut self) {
        self.order.clear();
    }

    /// Notes the namespace of the attribute at this place, as a number. Returns that of another with the same local name
    /// for which `same` gives the same number.
    pub(super) fn note_namespace(
        &mut self,
        place: usize,
        namespace: u64,
        same: impl Fn(u64) -> u64,
        input: &[u8],
    ) -> Option<u64> {
        let Self { list, order } = self;
        list[place].namespace = namespace;
        let key = |place: usize| (same(list[place].namespace), list[place].name.local(input));
        let (number, local) = key(place);
        let hash = hash(local) ^ number as u32;
        match order.find(hash, |place| key(place).cmp(&(number, local))) {
            Ok(found) => Some(list[found.place].namespace),
            Err(at) => {
                order.insert(at, hash, place);
                None
            }
        }
    }

    pub(super) fn release(&mut self) {
        self.list.shrink_to(0);
        self.order.release();
    }
}
