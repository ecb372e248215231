//! Scripts about what the server answers itself: errors, and what its host is asked.

use super::cast::{alone, pair};
use crate::case::{Group, Level};
use crate::element::{error_of, with_stanza};
use crate::script::{Answer, Script};
use crate::stage::{Fault, Stage};

const INFO: &str = "http://jabber.org/protocol/disco#info";
const ITEMS: &str = "http://jabber.org/protocol/disco#items";

pub(super) const SCRIPTS: &[Script] = &[
    alone("C-097", "bounce-swaps-addresses", Group::Routing, "from and to change places", swapped),
    alone("C-098", "bounce-keeps-id", Group::Routing, "the id comes back as it was, however odd", odd_id),
    Script {
        level: Level::May,
        ..alone("C-099", "bounce-without-payload", Group::Routing, "an error alone", no_payload)
    },
    alone("C-100", "shape-of-stanza-error", Group::Routing, "a type and one condition", error_shape),
    alone("C-116", "bare-and-full-alike", Group::Routing, "the same error for both", bare_and_full),
    alone("C-105", "ping", Group::Routing, "a result with the same id", ping),
    Script {
        level: Level::Should,
        ..alone("C-108", "disco-info", Group::Routing, "identity and features", info)
    },
    Script {
        level: Level::Should,
        ..pair("C-109", "disco-items", Group::Routing, "the connected components", items)
    },
];

/// Sends this stanza, whose id is given as it is read, and gives all that came until an answer with it was there.
fn answer(stage: &mut Stage, id: &str, stanza: &str) -> Result<Vec<u8>, Fault> {
    let component = stage.names.component.clone();
    let mut wire = stage.log_in(&component)?;
    wire.send(stanza.as_bytes());
    wire.wait(stage.patience.answer, |bytes| with_stanza(bytes, id, |_| ()).is_ok());
    let came = wire.take();
    wire.finish();
    Ok(came)
}

/// A message that nobody can get, and what comes back.
fn bounce(stage: &mut Stage, id: &str, to: &str) -> Result<Vec<u8>, Fault> {
    let from = stage.names.component.clone();
    answer(
        stage,
        id,
        &format!("<message from='a@{from}/r' to='{to}' id='{id}'><body>secret words</body></message>"),
    )
}

fn judged(found: Result<Answer, String>) -> Result<Answer, Fault> {
    Ok(found.unwrap_or_else(Answer::outside))
}

fn swapped(stage: &mut Stage) -> Result<Answer, Fault> {
    let came = bounce(stage, "b1", "b@nowhere.invalid/x")?;
    let to = format!("a@{}/r", stage.names.component);
    judged(with_stanza(&came, "b1", |stanza| {
        let addresses = (stanza.attribute("from"), stanza.attribute("to"));
        if addresses == (Some("b@nowhere.invalid/x"), Some(&to)) {
            Answer::best("swapped")
        } else {
            Answer::outside(format!("from {:?} to {:?}", addresses.0, addresses.1))
        }
    }))
}

fn odd_id(stage: &mut Stage) -> Result<Answer, Fault> {
    let from = stage.names.component.clone();
    let odd = "a<&\">'\n\tz";
    let escaped = "a&lt;&amp;&quot;&gt;&apos;&#10;&#9;z";
    let iq = format!(
        "<iq type='get' from='{from}' to='nowhere.invalid' id='{escaped}'><q xmlns='jabber:iq:version'/></iq>"
    );
    let came = answer(stage, odd, &iq)?;
    judged(with_stanza(&came, odd, |_| Answer::best("the same")))
}

fn no_payload(stage: &mut Stage) -> Result<Answer, Fault> {
    let came = bounce(stage, "b2", "nowhere.invalid")?;
    judged(with_stanza(&came, "b2", |stanza| match stanza.children().filter(|c| c.is_element()).count() {
        1 => Answer::best("an error alone"),
        _ => Answer::accepted("what was sent, and the error"),
    }))
}

fn error_shape(stage: &mut Stage) -> Result<Answer, Fault> {
    let came = bounce(stage, "b3", "nowhere.invalid")?;
    judged(with_stanza(&came, "b3", |stanza| match error_of(stanza) {
        Some((kind, conditions)) if conditions.len() == 1 && !kind.is_empty() => {
            Answer::best(format!("{kind}, {}", conditions[0]))
        }
        other => Answer::outside(format!("{other:?}")),
    }))
}

fn bare_and_full(stage: &mut Stage) -> Result<Answer, Fault> {
    let mut errors = Vec::new();
    for (id, to) in [("b4", "b@nowhere.invalid"), ("b5", "b@nowhere.invalid/r")] {
        let came = bounce(stage, id, to)?;
        match with_stanza(&came, id, error_of) {
            Ok(error) => errors.push(error),
            Err(fault) => return Ok(Answer::outside(fault)),
        }
    }
    Ok(if errors[0] == errors[1] { Answer::best("the same") } else { Answer::outside(format!("{errors:?}")) })
}

/// An iq get to the host, and what comes back.
fn asked(stage: &mut Stage, id: &str, payload: &str) -> Result<Vec<u8>, Fault> {
    let (from, to) = (stage.names.component.clone(), stage.names.host.clone());
    answer(stage, id, &format!("<iq type='get' from='{from}' to='{to}' id='{id}'>{payload}</iq>"))
}

fn ping(stage: &mut Stage) -> Result<Answer, Fault> {
    let came = asked(stage, "p1", "<ping xmlns='urn:xmpp:ping'/>")?;
    let host = stage.names.host.clone();
    judged(with_stanza(&came, "p1", |stanza| match (stanza.attribute("type"), stanza.attribute("from")) {
        (Some("result"), Some(from)) if from == host => Answer::best("result"),
        (Some("error"), _) => Answer::accepted("error, which also says that it lives"),
        other => Answer::outside(format!("{other:?}")),
    }))
}

fn info(stage: &mut Stage) -> Result<Answer, Fault> {
    let came = asked(stage, "d1", &format!("<query xmlns='{INFO}'/>"))?;
    judged(with_stanza(&came, "d1", |stanza| {
        let count = |name: &str| stanza.descendants().filter(|n| n.tag_name().name() == name).count();
        match (stanza.attribute("type"), count("identity"), count("feature")) {
            (Some("result"), 1.., 1..) => Answer::best("identity and features"),
            (Some("error"), ..) => Answer::accepted("error"),
            other => Answer::outside(format!("{other:?}")),
        }
    }))
}

fn items(stage: &mut Stage) -> Result<Answer, Fault> {
    let came = asked(stage, "d2", &format!("<query xmlns='{ITEMS}'/>"))?;
    let receiver = stage.names.receiver.clone();
    judged(with_stanza(&came, "d2", |stanza| {
        let listed = stanza.descendants().filter_map(|node| node.attribute("jid"));
        match (stanza.attribute("type"), listed.into_iter().any(|jid| Some(jid) == receiver.as_deref())) {
            (Some("result"), true) => Answer::best("the other component is listed"),
            (Some("result"), false) => Answer::accepted("the other component is not listed"),
            (Some("error"), _) => Answer::accepted("error"),
            other => Answer::outside(format!("{other:?}")),
        }
    }))
}
