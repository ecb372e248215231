//! Scripts about stanzas on their way from one component to another.

use roxmltree::Node;

use super::cast::pair;
use crate::case::Group;
use crate::element::with_stanzas;
use crate::script::{Answer, Script};
use crate::stage::{Fault, Stage};

pub(super) const SCRIPTS: &[Script] = &[
    pair("C-093", "order-of-a-thousand", Group::Delivery, "each once, in the order sent", order),
    pair(
        "C-118",
        "same-tree",
        Group::Delivery,
        "the receiver's parser sees the tree that was sent",
        same_tree,
    ),
    pair("C-114", "to-own-domain", Group::Delivery, "delivered back once", to_itself),
];

/// Sends this as the component, and gives what the receiver got.
fn sent(stage: &mut Stage, stanzas: &str) -> Result<Vec<u8>, Fault> {
    let (component, id) = (stage.names.component.clone(), stage.next_question());
    let mut wire = stage.log_in(&component)?;
    wire.send(stanzas.as_bytes());
    stage.ask(&mut wire, &component, &id, stage.patience.answer);
    let got = stage.drain_receiver()?.unwrap_or_default();
    wire.finish();
    Ok(got)
}

fn order(stage: &mut Stage) -> Result<Answer, Fault> {
    const NUMBER: usize = 1000;
    let (from, to) = (stage.names.component.clone(), stage.names.receiver.clone().unwrap_or_default());
    // Bare and full addresses in turn: the order holds across them.
    let stanza = |n: usize| {
        let resource = if n.is_multiple_of(2) { "" } else { "/r" };
        format!("<message from='a@{from}{resource}' to='b@{to}{resource}' id='{n}'/>")
    };
    let got = sent(stage, &(0..NUMBER).map(stanza).collect::<String>())?;
    let ids = with_stanzas(&got, |stanzas| {
        let ids = stanzas.iter().map(|stanza| stanza.attribute("id").and_then(|id| id.parse().ok()));
        ids.collect::<Vec<Option<usize>>>()
    });
    Ok(match ids {
        Ok(ids) if ids.iter().copied().eq((0..NUMBER).map(Some)) => Answer::best("1000 of 1000, in order"),
        Ok(ids) => Answer::outside(format!("{} of 1000, not each once and in order", ids.len())),
        Err(fault) => Answer::outside(format!("not well-formed: {fault}")),
    })
}

fn same_tree(stage: &mut Stage) -> Result<Answer, Fault> {
    let (from, to) = (stage.names.component.clone(), stage.names.receiver.clone().unwrap_or_default());
    let stanza = format!(
        "<message from='{from}' to=\"{to}\" id='tree' xml:lang='de'><body>a&#32;&lt;b&gt; \u{1f600}<![CDATA[<c>]]></body>\
         <x xmlns='urn:x' a='&quot;&apos;&#9;&#10;'><y:z xmlns:y='urn:y' y:k='v'/><w xmlns=''/></x>\
         <q:r xmlns:q='urn:q'>t<q:s/>u</q:r></message>"
    );
    let got = sent(stage, &stanza)?;
    let before = with_stanzas(stanza.as_bytes(), |stanzas| stanzas.first().map(|s| tree(*s)));
    let after = with_stanzas(&got, |stanzas| stanzas.first().map(|s| tree(*s)));
    Ok(match after {
        Err(fault) => Answer::outside(format!("not well-formed: {fault}")),
        Ok(None) => Answer::outside("nothing arrives"),
        Ok(after) if Ok(&after) == before.as_ref() => Answer::best("the same"),
        Ok(_) => Answer::outside("another tree"),
    })
}

/// A stanza as all parsers have to see it, in one text.
fn tree(stanza: Node<'_, '_>) -> String {
    let mut out = String::new();
    for node in stanza.descendants() {
        let depth = node.ancestors().count();
        if node.is_text() {
            out += &format!("{depth} {:?}\n", node.text().unwrap_or_default());
            continue;
        }
        let mut attributes: Vec<_> =
            node.attributes().map(|a| format!("{:?} {} {:?}", a.namespace(), a.name(), a.value())).collect();
        attributes.sort();
        let name = node.tag_name();
        out += &format!("{depth} {:?} {} {attributes:?}\n", name.namespace(), name.name());
    }
    out
}

fn to_itself(stage: &mut Stage) -> Result<Answer, Fault> {
    let (own, id) = (stage.names.component.clone(), stage.next_question());
    let mut wire = stage.log_in(&own)?;
    wire.send(format!("<message from='a@{own}' to='b@{own}' id='own'/>").as_bytes());
    wire.wait_for(stage.patience.answer, "own");
    // Behind it nothing may come a second time.
    stage.ask(&mut wire, &own, &id, stage.patience.answer);
    let back = wire.take();
    wire.finish();
    let times = with_stanzas(&back, |stanzas| {
        stanzas.iter().filter(|stanza| stanza.attribute("id") == Some("own")).count()
    });
    Ok(match times {
        Ok(1) if !String::from_utf8_lossy(&back).contains("<error") => Answer::best("once"),
        Ok(1) => Answer::accepted("it bounces"),
        Ok(times) => Answer::outside(format!("{times} times")),
        Err(fault) => Answer::outside(format!("not well-formed: {fault}")),
    })
}
