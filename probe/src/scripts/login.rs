//! Scripts about how a stream begins and ends, and who holds a name.

use std::time::Duration;

use super::cast::{alone, pair};
use crate::case::{Group, Level};
use crate::element::with_stanzas;
use crate::script::{Answer, Script};
use crate::stage::{Fault, Stage};
use crate::wire::{Wire, digest, has_handshake, has_header, header, header_in};

pub(super) const SCRIPTS: &[Script] = &[
    alone("C-002", "fresh-ids", Group::Opening, "every stream has another id", fresh_ids),
    alone(
        "C-004",
        "silent-until-header",
        Group::Opening,
        "nothing is sent before the header is whole",
        silent,
    ),
    Script {
        level: Level::Should,
        ..alone(
            "C-014",
            "refusal-without-echo",
            Group::Opening,
            "the answer is not from an unknown domain",
            no_echo,
        )
    },
    alone("C-022", "shape-of-stream-error", Group::Opening, "one condition, a text at most", error_shape),
    alone("C-039", "replayed-digest", Group::Handshake, "not-authorized", replay),
    Script {
        level: Level::Should,
        ..pair("C-052", "second-log-in", Group::Handshake, "conflict for the newcomer", second_log_in)
    },
    pair("C-054", "stranger-displaces-nobody", Group::Handshake, "the stream that is there stays", stranger),
    pair("C-140", "end-without-trailer", Group::Closing, "the name is free at once", vanished),
    alone("C-144", "log-in-again", Group::Closing, "ten times in a row, without a conflict", again),
];

fn fresh_ids(stage: &mut Stage) -> Result<Answer, Fault> {
    let open = header(&stage.names.component);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut wire = stage.connect()?;
        match wire.open(open.as_bytes()) {
            Ok(id) => ids.push(id),
            Err(came) => return Ok(Answer::outside(format!("no header: {came:?}"))),
        }
        wire.finish();
    }
    let shortest = ids.iter().map(String::len).min().unwrap_or_default();
    Ok(match (ids[0] == ids[1], shortest) {
        (true, _) => Answer::outside("the same id twice"),
        // 128 bits take 22 characters at least, written as text.
        (false, 22..) => Answer::best(format!("different, {shortest} characters")),
        (false, _) => Answer::accepted(format!("different, {shortest} characters")),
    })
}

fn silent(stage: &mut Stage) -> Result<Answer, Fault> {
    let open = header(&stage.names.component);
    let mut wire = stage.connect()?;
    wire.send(&open.as_bytes()[..open.len() - 1]);
    wire.wait(stage.patience.silence, |_| false);
    let early = !wire.received().is_empty();
    wire.send(b">");
    let came = wire.wait(stage.patience.answer, has_header);
    wire.finish();
    Ok(match (early, came) {
        (false, true) => Answer::best("header after the last byte"),
        (true, _) => Answer::outside("speaks before the header is whole"),
        (false, false) => Answer::outside("no header"),
    })
}

fn ends(received: &[u8]) -> bool {
    received.trim_ascii_end().ends_with(b"</stream:stream>")
}

fn no_echo(stage: &mut Stage) -> Result<Answer, Fault> {
    let mut wire = stage.connect()?;
    let is_let_in = wire.log_in(header("nobody.invalid").as_bytes(), &stage.names.secret).is_ok();
    wire.finish();
    Ok(match header_in(wire.received()) {
        _ if is_let_in => Answer::accepted("any domain may connect"),
        None => Answer::outside("no header"),
        Some(at) if String::from_utf8_lossy(&wire.received()[at.clone()]).contains("nobody.invalid") => {
            Answer::outside("the unknown domain is in the answering header")
        }
        Some(_) => Answer::best("a header without it"),
    })
}

/// What comes of a wrong proof, or of a header of another domain already.
fn error_shape(stage: &mut Stage) -> Result<Answer, Fault> {
    let mut wire = stage.connect()?;
    if wire.open(header("nobody.invalid").as_bytes()).is_ok() && !wire.wait(stage.patience.silence, ends) {
        wire.send(format!("<handshake>{}</handshake>", digest("x", "x")).as_bytes());
        wire.wait(stage.patience.answer, ends);
    }
    wire.finish();
    let Some(at) = header_in(wire.received()) else { return Ok(Answer::outside("no header")) };
    let found = with_stanzas(&wire.received()[at.end..], |elements| {
        let error = elements.iter().find(|element| element.tag_name().name() == "error")?;
        let defined = |name: &str| {
            let in_namespace = error.children().filter(|child| {
                child.tag_name().namespace() == Some("urn:ietf:params:xml:ns:xmpp-streams")
                    && (child.tag_name().name() == "text") == (name == "text")
            });
            in_namespace.map(|child| child.tag_name().name().to_owned()).collect::<Vec<_>>()
        };
        Some((defined("condition"), defined("text").len()))
    });
    Ok(match found {
        Err(fault) => Answer::outside(format!("not well-formed: {fault}")),
        Ok(None) => Answer::outside("no stream error"),
        Ok(Some((conditions, texts))) if conditions.len() == 1 && texts <= 1 => {
            Answer::best(format!("{}, {texts} text", conditions[0]))
        }
        Ok(Some((conditions, texts))) => Answer::outside(format!("{conditions:?}, {texts} texts")),
    })
}

fn replay(stage: &mut Stage) -> Result<Answer, Fault> {
    let open = header(&stage.names.component);
    let mut first = stage.connect()?;
    let Ok(id) = first.open(open.as_bytes()) else { return Ok(Answer::outside("no header")) };
    let proof = format!("<handshake>{}</handshake>", digest(&id, &stage.names.secret));
    first.finish();
    let mut second = stage.connect()?;
    if second.open(open.as_bytes()).is_err() {
        return Ok(Answer::outside("no second header"));
    }
    second.take();
    second.send(proof.as_bytes());
    second.wait(stage.patience.answer, |b| has_handshake(b) || ends(b));
    second.finish();
    Ok(if has_handshake(second.received()) {
        Answer::outside("a proof for another stream is taken")
    } else if second.text().contains("not-authorized") {
        Answer::best("not-authorized")
    } else {
        Answer::accepted("refused in another way")
    })
}

/// Does what this connection sends still arrive at the receiver?
fn works(stage: &mut Stage, wire: &mut Wire) -> Result<bool, Fault> {
    let (component, id) = (stage.names.component.clone(), stage.next_question());
    let receiver = stage.names.receiver.clone().unwrap_or_default();
    wire.send(format!("<message from='{component}' to='{receiver}' id='m-{id}'/>").as_bytes());
    if !stage.ask(wire, &component, &id, stage.patience.answer) {
        return Ok(false);
    }
    let got = stage.drain_receiver()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&got).contains(&format!("m-{id}")))
}

fn second_log_in(stage: &mut Stage) -> Result<Answer, Fault> {
    let component = stage.names.component.clone();
    let mut old = stage.log_in(&component)?;
    let mut new = stage.connect()?;
    let taken = new.log_in(header(&component).as_bytes(), &stage.names.secret).is_ok();
    let refused = new.text().contains("<conflict");
    let old_works = works(stage, &mut old)?;
    let new_works = taken && works(stage, &mut new)?;
    new.finish();
    old.finish();
    Ok(match (old_works, new_works) {
        (true, false) if refused => Answer::best("conflict for the newcomer, the old one untouched"),
        (false, true) => Answer::accepted("the newcomer replaces the old one"),
        (true, true) => Answer::accepted("both are connected"),
        (true, false) => Answer::accepted("the newcomer is refused, without conflict"),
        (false, false) => Answer::outside("neither works any more"),
    })
}

fn stranger(stage: &mut Stage) -> Result<Answer, Fault> {
    let component = stage.names.component.clone();
    let mut wire = stage.log_in(&component)?;
    let mut stranger = stage.connect()?;
    let _ = stranger.open(header(&component).as_bytes());
    let while_open = works(stage, &mut wire)?;
    stranger.send(format!("<handshake>{}</handshake>", digest("x", "x")).as_bytes());
    stranger.wait(stage.patience.answer, ends);
    let after = works(stage, &mut wire)?;
    stranger.finish();
    wire.finish();
    Ok(match (while_open, after) {
        (true, true) => Answer::best("untouched by a header, and by a wrong proof"),
        (false, _) => Answer::outside("a header alone ends the other stream"),
        (true, false) => Answer::outside("a wrong proof ends the other stream"),
    })
}

fn vanished(stage: &mut Stage) -> Result<Answer, Fault> {
    let component = stage.names.component.clone();
    let mut wire = stage.log_in(&component)?;
    wire.finish();
    let ended = wire.closed();
    let (Some(mut receiver), Some(domain)) = (stage.receiver.take(), stage.names.receiver.clone()) else {
        return Ok(Answer::outside("the receiver is gone"));
    };
    receiver.take();
    receiver.send(format!("<message from='{domain}' to='{component}' id='gone'/>").as_bytes());
    let bounced = receiver.wait_for(stage.patience.answer, "gone");
    // The end of the bounce is part of the same write, or of one that follows at once.
    receiver.wait(Duration::from_millis(50), |b| b.ends_with(b"</message>"));
    receiver.take();
    stage.receiver = Some(receiver);
    Ok(match (ended, bounced) {
        (true, true) => Answer::best("closed, and what is sent to it bounces"),
        (true, false) => Answer::outside("what is sent to it vanishes"),
        (false, _) => Answer::outside("the connection is held open"),
    })
}

fn again(stage: &mut Stage) -> Result<Answer, Fault> {
    let component = stage.names.component.clone();
    for time in 1..=10 {
        let mut wire = stage.connect()?;
        if wire.log_in(header(&component).as_bytes(), &stage.names.secret).is_err() {
            return Ok(Answer::outside(format!("refused the {time}. time")));
        }
        wire.send(b"</stream:stream>");
        wire.finish();
    }
    Ok(Answer::best("ten times"))
}
