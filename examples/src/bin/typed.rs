//! A component with the types of `xmpp-parsers`: `typed ADDRESS DOMAIN SECRET HOST`. It asks the host what it is,
//! and answers those who ask what it is itself, or whether it is there.

use enjamb_core::jid::Jid;
use enjamb_core::xso;
use enjamb_runtime::Request;
use enjamb_tokio::{Domain, Secret, connect};
use xmpp_parsers::disco::{DiscoInfoQuery, DiscoInfoResult, Identity};
use xmpp_parsers::iq::{Iq, IqHeader, IqPayload};
use xmpp_parsers::minidom::Element;
use xmpp_parsers::ns;
use xmpp_parsers::ping::Ping;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let [address, domain, secret, host] =
        std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let component = connect(address, Domain::parse(&domain)?, Secret::new(secret)).await?;

    let query = String::from_utf8(xso::to_vec(&DiscoInfoQuery { node: None })?)?;
    let answer = component.request(Request::get(&Jid::parse(&host)?, &query)).await?;
    if let Iq::Result { payload: Some(payload), .. } = answer.as_stanza().parse()? {
        for identity in DiscoInfoResult::try_from(payload)?.identities {
            println!("{host} is a {}/{}", identity.category, identity.type_);
        }
    }

    while let Some(received) = component.next().await {
        // Messages and presence are none, and this component has nothing to say to them.
        let Ok(iq) = received.as_stanza().parse::<Iq>() else { continue };
        let (IqHeader { from, to, id }, payload) = iq.split();
        let Some(payload) = answer_to(payload) else { continue };
        let answer = payload.assemble(IqHeader { from: to, to: from, id });
        component.send(xso::to_vec(&answer)?).await?;
    }
    Ok(())
}

/// The answer to a request; an answer has none.
fn answer_to(payload: IqPayload) -> Option<IqPayload> {
    let (IqPayload::Get(query) | IqPayload::Set(query)) = payload else { return None };
    Some(if query.is("query", ns::DISCO_INFO) {
        IqPayload::Result(Some(Element::from(what_it_is())))
    } else if Ping::try_from(query).is_ok() {
        IqPayload::Result(None)
    } else {
        let text = "Ask what this is, or whether it is there";
        IqPayload::Error(StanzaError::new(
            ErrorType::Cancel,
            DefinedCondition::ServiceUnavailable,
            "en",
            text,
        ))
    })
}

fn what_it_is() -> DiscoInfoResult {
    DiscoInfoResult {
        node: None,
        identities: vec![Identity::new("component", "generic", "en", "an example")],
        features: [ns::DISCO_INFO, ns::PING].map(String::from).into(),
        extensions: Vec::new(),
    }
}
