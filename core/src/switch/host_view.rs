//! What a host's answers take from the switch.

use alloc::string::String;

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
    fn items(&self, host: &str, each: &mut dyn FnMut(&Domain)) {
        self.switch.read(|directory| directory.router.items(host).for_each(each));
    }

    fn utc(&self) -> String {
        self.now.utc()
    }
}
