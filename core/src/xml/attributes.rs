//! The attributes of a start tag, of which none may be given twice.

use alloc::vec::Vec;

use super::span::{Attribute, Name};

/// The attributes of a start tag. Whether one is given twice costs a few comparisons for each, however many there are.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    list: Vec<Attribute>,
    /// Places in the list, in an order of the names, or of those that have a namespace.
    order: Vec<u32>,
}

/// So many are compared one by one, which is faster.
const FEW: usize = 8;

impl Attributes {
    pub(super) fn clear(&mut self) {
        self.list.clear();
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
        let key = |name: Name| {
            let name = name.whole(input);
            (name.len(), name)
        };
        if list.len() == FEW {
            order.clear();
            order.extend(0..FEW as u32);
            order.sort_unstable_by_key(|&place| key(list[place as usize].name));
        }
        let place = order.binary_search_by_key(&key(name), |&place| key(list[place as usize].name));
        if let Err(at) = place {
            order.insert(at, list.len() as u32);
        }
        place.is_err()
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
        match order.binary_search_by_key(&key(place), |&place| key(place as usize)) {
            Ok(at) => Some(list[order[at] as usize].namespace),
            Err(at) => {
                order.insert(at, place as u32);
                None
            }
        }
    }

    pub(super) fn release(&mut self) {
        self.list.shrink_to(0);
        self.order.shrink_to(0);
    }
}
