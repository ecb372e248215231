//! Who holds which name, and who may send to whom: too slow to use and too plain to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::server_script::GRANTS;

/// A component: its claim, and which of the listeners it came by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) name: String,
    pub(crate) is_prefix: bool,
    pub(crate) listener: usize,
}

/// Of each name a list of those that want it, the first of whom holds it; `None` is the server itself.
#[derive(Default)]
pub(crate) struct Model {
    wants: Vec<(String, Option<usize>)>,
    pub(crate) bound: BTreeMap<usize, Bound>,
    /// Names that components have let go of, and that none holds.
    recent: BTreeSet<String>,
}

impl Model {
    pub(crate) fn new(hosts: &[&str]) -> Self {
        let wants = hosts.iter().map(|host| ((*host).to_owned(), None)).collect();
        Self { wants, bound: BTreeMap::new(), recent: BTreeSet::new() }
    }

    /// Who holds a name: nobody, the server (`Some(None)`) or a component.
    pub(crate) fn holder(&self, name: &str) -> Option<Option<usize>> {
        self.wants.iter().find(|(wanted, _)| wanted == name).map(|(_, who)| *who)
    }

    pub(crate) fn is_host(&self, name: &str) -> bool {
        self.holder(name) == Some(None)
    }

    fn hosts(&self) -> Vec<String> {
        self.wants.iter().filter(|(_, who)| who.is_none()).map(|(name, _)| name.clone()).collect()
    }

    /// The names that a component asks for.
    pub(crate) fn names(&self, bound: &Bound) -> Vec<String> {
        if bound.is_prefix {
            self.hosts().iter().map(|host| format!("{}.{host}", bound.name)).collect()
        } else {
            vec![bound.name.clone()]
        }
    }

    /// Whom a newcomer displaces, or with which condition it is refused.
    pub(crate) fn bind(&mut self, conn: usize, newcomer: Bound) -> Result<BTreeSet<usize>, &'static str> {
        let names = self.names(&newcomer);
        if names.iter().any(|name| self.is_host(name)) {
            return Err("conflict");
        }
        let grant = &GRANTS[newcomer.listener];
        if !names.iter().all(|name| grant.may_give(name)) {
            return Err("host-unknown");
        }
        let mut displaced: BTreeSet<usize> = names.iter().filter_map(|name| self.holder(name)?).collect();
        let same_prefix =
            |other: &Bound| newcomer.is_prefix && other.is_prefix && other.name == newcomer.name;
        displaced.extend(self.bound.iter().filter(|(_, other)| same_prefix(other)).map(|(by, _)| *by));
        let stays =
            |old: &usize| !grant.kick_old || GRANTS[self.bound[old].listener].realm() != grant.realm();
        if displaced.iter().any(stays) {
            return Err("conflict");
        }
        for old in &displaced {
            self.unbind(*old);
        }
        self.wants.splice(0..0, names.into_iter().map(|name| (name, Some(conn))));
        self.bound.insert(conn, newcomer);
        self.forget_held();
        Ok(displaced)
    }

    pub(crate) fn unbind(&mut self, conn: usize) {
        let names: BTreeSet<String> = self.wants.iter().map(|(name, _)| name.clone()).collect();
        let held = names.into_iter().filter(|name| self.holder(name) == Some(Some(conn)));
        let held: Vec<String> = held.collect();
        self.recent.extend(held);
        self.wants.retain(|(_, who)| *who != Some(conn));
        self.bound.remove(&conn);
        self.forget_held();
    }

    fn forget_held(&mut self) {
        let recent = std::mem::take(&mut self.recent);
        self.recent = recent.into_iter().filter(|name| !matches!(self.holder(name), Some(Some(_)))).collect();
    }

    /// A component had the name, and is expected back.
    pub(crate) fn is_recent(&self, name: &str) -> bool {
        self.recent.contains(name)
    }

    fn prefixes(&self) -> Vec<(String, usize)> {
        let prefixes = self.bound.iter().filter(|(_, bound)| bound.is_prefix);
        let mut prefixes: Vec<_> = prefixes.map(|(conn, bound)| (bound.name.clone(), *conn)).collect();
        prefixes.sort();
        prefixes
    }

    /// Whether the host is there then.
    pub(crate) fn add_host(&mut self, host: &str) -> bool {
        match self.holder(host) {
            Some(None) => return true,
            Some(Some(_)) => return false,
            None => {}
        }
        self.wants.push((host.into(), None));
        for (prefix, conn) in self.prefixes() {
            let name = format!("{prefix}.{host}");
            if GRANTS[self.bound[&conn].listener].may_give(&name) {
                self.wants.push((name, Some(conn)));
            }
        }
        self.forget_held();
        true
    }

    pub(crate) fn remove_host(&mut self, host: &str) {
        if self.is_host(host) {
            self.wants.retain(|(name, who)| name != host || who.is_some());
            for (prefix, conn) in self.prefixes() {
                let name = format!("{prefix}.{host}");
                self.wants.retain(|(wanted, who)| *wanted != name || *who != Some(conn));
            }
        }
    }

    /// What a host lists, in order; `is_hidden` says it of a listener.
    pub(crate) fn items(&self, host: &str, is_hidden: impl Fn(usize) -> bool) -> Vec<String> {
        let visible = self.bound.iter().filter(|(_, bound)| !is_hidden(bound.listener));
        let mut items: Vec<String> = visible
            .filter_map(|(conn, bound)| {
                if !bound.is_prefix {
                    return Some(bound.name.clone());
                }
                let name = format!("{}.{host}", bound.name);
                (self.holder(&name) == Some(Some(*conn))).then_some(name)
            })
            .collect();
        items.sort();
        items
    }
}
