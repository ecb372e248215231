//! Who is let in: limits on how many are there, on how many of them have not authenticated, and by source address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enjamb_core::connection::ConnectionEvent;
use enjamb_core::jid::Domain;
use enjamb_core::router::{Claim, DomainMap};
use enjamb_core::switch::Switch;
use enjamb_core::{Instant, Secret};
use enjamb_runtime::sources::{Denied, Permit, SourceLimiter};
use enjamb_runtime::{SharedSwitch, Timer};
use enjamb_tokio::TokioTimer;
use tokio::sync::Semaphore;

use crate::config;

/// What all connections of a listener share.
pub(crate) struct Place {
    /// Its address, for the log.
    pub(crate) listener: SocketAddr,
    /// Names the server to those that are turned away.
    pub(crate) host: Domain,
    pub(crate) switch: Arc<SharedSwitch>,
    /// What a component has to prove.
    secrets: Arc<[Secret]>,
    /// What it has to prove instead for some names.
    of_domains: Arc<DomainSecrets>,
    /// Whether it is still to be said what `domains` is good for.
    hints: AtomicBool,
}

impl Place {
    pub(crate) fn new(
        settings: &config::Listener,
        listener: SocketAddr,
        host: Domain,
        switch: &Arc<SharedSwitch>,
        of_domains: &Arc<DomainSecrets>,
    ) -> Self {
        let secrets = [Secret::new(settings.password.expose())].into();
        let hints = AtomicBool::new(settings.domains.is_none());
        Self {
            listener,
            host,
            switch: Arc::clone(switch),
            secrets,
            of_domains: Arc::clone(of_domains),
            hints,
        }
    }

    /// What proves the names of a claim. Nothing does if a prefix stands for names with different secrets.
    fn secrets_for(&self, claim: &Claim) -> Arc<[Secret]> {
        if self.of_domains.is_empty() {
            return Arc::clone(&self.secrets);
        }
        let mut found: Option<&Arc<[Secret]>> = None;
        for name in self.switch.names_of(claim) {
            let secrets = self.of_domains.get(name.as_str()).unwrap_or(&self.secrets);
            if found.is_some_and(|found| !Arc::ptr_eq(found, secrets)) {
                return Arc::new([]);
            }
            found = Some(secrets);
        }
        Arc::clone(found.unwrap_or(&self.secrets))
    }

    /// Whether a secret of its own proves a domain, and not the listener's.
    pub(crate) fn has_own_secret(&self, domain: &str) -> bool {
        self.of_domains.get(domain).is_some()
    }

    /// True once, if the listener has no `domains`.
    pub(crate) fn hints_at_domains(&self) -> bool {
        self.hints.swap(false, Ordering::Relaxed)
    }
}

/// The secrets of domains that have some of their own.
pub(crate) type DomainSecrets = DomainMap<Arc<[Secret]>>;

/// Takes the secrets of all sections that have some.
pub(crate) fn domain_secrets(sections: &[config::DomainSection]) -> DomainSecrets {
    let with_secrets = sections.iter().filter(|section| !section.secrets.is_empty());
    let secrets = |section: &config::DomainSection| {
        section.secrets.iter().map(|secret| Secret::new(secret.expose())).collect()
    };
    with_secrets.map(|section| (section.pattern.clone(), secrets(section))).collect()
}

/// A listener's admission.
pub(crate) struct Admission {
    pub(crate) place: Place,
    sources: Mutex<SourceLimiter>,
    /// For all connections.
    places: Semaphore,
    /// For those that have not authenticated.
    room: Semaphore,
}

impl Admission {
    pub(crate) fn new(settings: &config::Listener, place: Place) -> Arc<Self> {
        let sources = Mutex::new(SourceLimiter::new(settings.sources.clone()));
        let most = |number: usize| Semaphore::new(number.min(Semaphore::MAX_PERMITS));
        let unauthenticated = settings.max_unauthenticated.unwrap_or(config::UNAUTHENTICATED);
        let (places, room) = (most(settings.max_connections), most(unauthenticated));
        Arc::new(Self { place, sources, places, room })
    }

    /// Waits until there is room for one more, who is yet to authenticate. To be called before accepting.
    pub(crate) async fn next_guest(self: &Arc<Self>) -> Admitted {
        let place = self.places.acquire().await.expect("the semaphore is never closed");
        let room = self.room.acquire().await.expect("the semaphore is never closed");
        // The admitted gives both back. A permit that it owned would name its semaphore, as long as it lives.
        place.forget();
        room.forget();
        Admitted { admission: Arc::clone(self), permit: None, authenticated: false }
    }

    /// Forgets the failures of all sources.
    pub(crate) fn forgive(&self) {
        self.sources().forgive();
    }

    fn sources(&self) -> MutexGuard<'_, SourceLimiter> {
        // No call can leave the table between two states that matter.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    TokioTimer::default().now()
}

/// A connection, from before it is accepted until it is dropped.
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    /// Its source has let it in.
    permit: Option<Permit>,
    authenticated: bool,
}

impl Admitted {
    /// Lets it in, or says why not: it is to be closed at once then.
    pub(crate) fn enter(mut self, peer: SocketAddr) -> Result<Self, Denied> {
        let permit = self.admission.sources().enter(now(), peer.ip())?;
        self.permit = Some(permit);
        Ok(self)
    }

    pub(crate) fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.admission)
    }

    /// What all connections of its listener share.
    pub(crate) fn place(&self) -> &Place {
        &self.admission.place
    }

    /// Lets it try to prove a secret for its name, or says why not.
    pub(crate) fn claim(&mut self, claim: &Claim) -> Result<Arc<[Secret]>, Denied> {
        if let Some(permit) = &mut self.permit {
            self.admission.sources().claim(now(), permit, claim.name().as_str())?;
        }
        Ok(self.admission.place.secrets_for(claim))
    }

    /// Takes note of how the connection does.
    pub(crate) fn event(&mut self, event: &ConnectionEvent) {
        if matches!(event, ConnectionEvent::Bound { .. }) {
            self.give_back_room();
        }
        if let Some(permit) = &mut self.permit {
            self.admission.sources().note(now(), permit, event);
        }
    }

    fn give_back_room(&mut self) {
        if !self.authenticated {
            self.authenticated = true;
            self.admission.room.add_permits(1);
        }
    }

    /// The connection failed before the secret was proved.
    pub(crate) fn failed(&self) {
        if let Some(permit) = &self.permit {
            self.admission.sources().failed(now(), permit, None);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.admission.sources().leave(now(), permit);
        }
        self.give_back_room();
        self.admission.places.add_permits(1);
    }
}
