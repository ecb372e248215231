//! How an uplink's stream begins, is closed when nobody needs it, and ends.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::presence::append_unavailable;
use super::{CLOSING, ConnectWhen, PRESENCE, SHARE, Trouble, Uplink, UplinkEvent};
use crate::close::CloseReason;
use crate::connection::ClientConnectionEvent;
use crate::jid::Jid;
use crate::queue::Buffer;
use crate::stanza::{Envelope, StanzaKind};
use crate::switch::{
    Metric, Switch, ask, begin_closing, end_closing, give_notice, has_held, hold_time, holder, set_away,
    set_up,
};
use crate::time::{Instant, Now};
use crate::xml::escape::push_attribute;

/// How long a stream stays at least after its last component has gone.
const LINGER: Duration = Duration::from_secs(1);
/// How long it stays at most after that until all is answered: the server may take nothing.
const LATE: Duration = Duration::from_secs(10);

impl<S: Switch> Uplink<S> {
    /// Takes what others left for the server, and the switch's order to end; looks who holds the domain now.
    pub(super) fn look(&mut self, switch: &S, now: Now) {
        let order = match &mut self.stream {
            Some(stream) if stream.connection.is_open() && !stream.connection.is_closing() => {
                stream.collect(switch, &self.port, now)
            }
            _ => switch.queue(&self.port, |queue| queue.take_order()),
        };
        if order.is_some() {
            self.end(switch, now);
        }
        let epoch = switch.shared().epoch();
        if mem::replace(&mut self.epoch, epoch) == epoch {
            return;
        }
        let (holder, vacant_since) = holder(switch, &self.config.domain);
        // A component may have come and gone between two looks.
        if holder == self.holder && (holder.is_some() || vacant_since <= self.vacant_since) {
            return;
        }
        self.holder = holder;
        self.presences = None;
        self.closing_at = None;
        if holder.is_some() {
            self.vacant_since = None;
            self.ping_for_loops(switch, now);
        } else {
            self.vacant_since = vacant_since.or(Some(now.monotonic));
            self.linger = hold_time(switch, &self.config.domain).max(LINGER);
        }
    }

    /// The switch ends it: what waits for the server is still written.
    fn end(&mut self, switch: &S, now: Now) {
        self.is_over = true;
        if let Some(stream) = &mut self.stream {
            if stream.connection.is_open() {
                let queued = switch.queue(&self.port, |queue| queue.close());
                stream.connection.output().join(&queued);
            }
            stream.connection.close_within(now);
        }
    }

    /// When the stream is closed if no component comes.
    pub(super) fn close_at(&self) -> Option<Instant> {
        let since = self.vacant_since.filter(|_| self.config.connect == ConnectWhen::WithComponent)?;
        Some(since + self.linger)
    }

    /// Closes the stream once it was not needed for long enough, and everything that was held for the component is answered.
    pub(super) fn go_on_closing(&mut self, switch: &S, now: Now) {
        let Some(stream) = &mut self.stream else { return };
        if stream.connection.is_closing() {
            // Once all is written.
            stream.connection.close(now);
        }
        if !stream.connection.is_open() || stream.connection.is_closing() || self.holder.is_some() {
            return;
        }
        let Some(close_at) = self.close_at().filter(|at| *at <= now.monotonic) else { return };
        let Some(stream) = &mut self.stream else { return };
        if self.closing_at.is_none() && !begin_closing(switch, &self.config.domain) {
            return;
        }
        if self.closing_at.replace(now.monotonic + CLOSING).is_none() {
            self.events.push(UplinkEvent::NotNeeded { after: self.linger });
        }
        let is_written = switch.queue(&self.port, |queue| queue.status().stanzas == 0);
        if close_at + LATE <= now.monotonic || is_written && !has_held(switch, &self.config.domain) {
            stream.connection.close(now);
        }
    }

    /// Takes what happened on the connection.
    pub(super) fn publish(&mut self, switch: &S, now: Now) {
        while let Some(event) = self.stream.as_mut().and_then(|stream| stream.connection.poll_event()) {
            match event {
                ClientConnectionEvent::Established => self.established(switch, now),
                ClientConnectionEvent::Closed(reason) => self.ended(switch, now, reason),
            }
        }
        if let Some(stream) = &mut self.stream
            && stream.has_loop
            && stream.connection.is_open()
            && !stream.connection.is_closing()
        {
            self.events.push(UplinkEvent::Loop);
            stream.connection.close(now);
        }
        let Some(stream) = &mut self.stream else { return };
        let passed_over = stream.connection.take_passed_over();
        let dropped = passed_over.ignored + passed_over.too_long_dropped;
        switch.metrics().add(Metric::DroppedRejected, dropped);
        switch.metrics().add(Metric::Rejected, passed_over.too_long);
        switch.metrics().add(Metric::DroppedUndeliverable, passed_over.after_end);
        for _ in 0..passed_over.too_long + passed_over.too_long_dropped {
            self.events.push_too_long(now.monotonic);
        }
    }

    fn established(&mut self, switch: &S, now: Now) {
        if let Some(stream) = &mut self.stream {
            stream.established_at = Some(now.monotonic);
        }
        self.away_since = None;
        set_up(switch, &self.port);
        self.events.push(UplinkEvent::Established);
        self.ping_for_loops(switch, now);
    }

    /// The stream is over. What was not sent is held, or answered.
    fn ended(&mut self, switch: &S, now: Now, reason: CloseReason) {
        let Some(stream) = &mut self.stream else { return };
        let established_at = stream.established_at;
        let has_loop = stream.has_loop;
        let rest =
            if established_at.is_some() { stream.connection.output().cut() } else { Buffer::default() };
        if established_at.is_some() {
            let output = stream.connection.output();
            let unsent =
                set_away(switch, now.monotonic, &self.port, (output, rest), self.config.hold_terms());
            self.left.extend(Some(unsent).filter(|unsent| !unsent.is_empty()));
            self.away_since.get_or_insert(now.monotonic);
            switch.write(|directory| directory.forget_announced(&self.config.domain));
        }
        end_closing(switch, &self.config.domain);
        self.closing_at = None;
        let lived = established_at.map(|at| now.monotonic.since(at));
        let trouble = if has_loop {
            Some(Trouble::Loop)
        } else if reason == CloseReason::ByUs {
            None
        } else {
            Some(Trouble::of(&reason))
        };
        let random = self.next_random();
        match trouble {
            Some(trouble) => self.retry.note(now.monotonic, trouble, lived, random),
            None => self.retry.clear(),
        }
        let (was_established, retry_at) = (established_at.is_some(), self.retry.at());
        self.events.push(UplinkEvent::Closed { reason, trouble, was_established, retry_at });
    }

    /// The connection is gone, or about to go.
    pub(super) fn drop_stream(&mut self, switch: &S) {
        if let Some(mut stream) = self.stream.take() {
            switch.metrics().add(Metric::Torn, stream.connection.output().is_torn().into());
            switch.queue(&self.port, |queue| queue.note_in_flight(&Buffer::default(), false));
        }
    }

    /// Answers the next stanzas that were not sent.
    pub(super) fn bounce(&mut self, switch: &S, now: Now) {
        let mut rest = SHARE;
        for unsent in &mut self.left {
            rest -= unsent.bounce(switch, now.monotonic, rest) as usize;
        }
        self.left.retain(|unsent| !unsent.is_empty());
    }

    /// Asks the component whether it is there. If the server sends that back to us, each of two is the other's component.
    fn ping_for_loops(&mut self, switch: &S, now: Now) {
        let is_open = self.stream.as_ref().is_some_and(|stream| stream.established_at.is_some());
        let Some(holder) = self.holder.filter(|_| is_open) else { return };
        let id = format!("enjamb-loop-{:08x}{:08x}", self.next_random(), self.next_random());
        let domain = self.config.domain.as_str();
        let (host, port) =
            switch.read(|directory| (directory.first_host().cloned(), directory.ports.get(&holder).cloned()));
        let Some(port) = port else { return };
        let own = || [domain, "/", &id].concat();
        let from = host.map_or_else(own, |host| String::from(host.as_str()));
        let to = Jid::of_domain(&self.config.domain);
        if let Ok(from) = Jid::parse(&from) {
            let write = |out: &mut Vec<u8>| append_ping(from.as_str(), domain, &id, out);
            ask(switch, now.monotonic, (self.port.as_ref().id, &port), (&from, &to, &id), write);
        }
        if let Some(stream) = &mut self.stream {
            stream.loop_ping = id;
        }
    }

    /// When the component is told that the server's users are not available any more.
    pub(super) fn presences_at(&self) -> Option<Instant> {
        self.presences.as_ref().filter(|presences| !presences.is_empty())?;
        Some(self.away_since? + self.config.hold.max(PRESENCE))
    }

    /// Tells the component that users are not available any more, a share of them.
    pub(super) fn end_presences(&mut self, switch: &S, now: Now) {
        if self.presences_at().is_none_or(|at| now.monotonic < at) {
            return;
        }
        let port = self.holder.and_then(|id| switch.read(|directory| directory.ports.get(&id).cloned()));
        for _ in 0..SHARE {
            let Some((port, presences)) = port.as_ref().zip(self.presences.as_mut()) else { return };
            let Some((from, to)) = presences.take() else { return };
            give_notice(switch, now.monotonic, port, |out| append_unavailable(&from, &to, out));
        }
    }
}

/// Appends a ping (XEP-0199).
fn append_ping(from: &str, to: &str, id: &str, out: &mut Vec<u8>) -> Envelope {
    let start = out.len();
    out.extend_from_slice(b"<iq");
    for (name, value) in [("from", from), ("to", to), ("id", id), ("type", "get")] {
        push_attribute(out, name, value);
    }
    out.extend_from_slice(b"><ping xmlns='urn:xmpp:ping'/></iq>");
    Envelope::of_answer(StanzaKind::Iq, &out[start..])
}
