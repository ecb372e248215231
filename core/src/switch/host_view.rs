//! What a host's answers take from the switch.

use alloc::string::String;
use alloc::vec::Vec;

use super::ports::Switch;
use crate::host::HostDirectory;
use crate::jid::Domain;
use crate::time::Now;

/// What a host's answers take from the switch.
pub(crate) struct HostView<'a, S> {
    pub(crate) switch: &'a S,
    pub(crate) now: Now,
}

impl<S: Switch> HostDirectory for HostView<'_, S> {
    fn items(&self, host: &str) -> Vec<Domain> {
        let Ok(host) = Domain::parse(host) else { return Vec::new() };
        let with_hidden = self.switch.shared().list_hidden();
        let mut items = self.switch.read(|directory| directory.router.items_as_they_came(&host, with_hidden));
        items.sort_unstable();
        items
    }

    fn utc(&self) -> String {
        self.now.utc()
    }
}
