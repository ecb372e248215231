//! What is played. Each gives its transcript, which is the same on every runtime.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use enjamb_core::OwnedStanza;
use enjamb_core::jid::Jid;
use enjamb_core::router::{BindPolicy, ConflictBehaviour};
use enjamb_core::switch::Switch;
use enjamb_runtime::{Backoff, Component, ConnectError, Reconnect, Request, RequestError, Timer};
use futures_util::{SinkExt, StreamExt, stream};

use super::runtime::Runtime;
use super::stage::{Stage, kind_of, quick_limits, settings, shown};

/// Two components exchange stanzas, hear of one that nobody serves, and close.
pub async fn meet<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    stage.listener.limits = Arc::new(quick_limits());
    let ((a, a_log), (b, b_log)) = (stage.component("a.example").await, stage.component("b.example").await);
    let mut said = Vec::new();
    for n in 0..3 {
        a.send(format!("<message to='x@b.example' from='y@a.example'><body>{n}</body></message>"))
            .await
            .expect("it is open");
        said.push(format!("b: {}", next(&b).await));
        b.send(format!("<message to='y@a.example'><body>{n}, too</body></message>"))
            .await
            .expect("it is open");
        said.push(format!("a: {}", next(&a).await));
    }
    a.send("<message to='nobody.example' id='lost'><body/></message>").await.expect("it is open");
    said.push(format!("a: {}", next(&a).await));
    a.close();
    said.push(format!("server of a: {}", stage.end_of(&a_log).await));
    said.push(format!("a: {}", end(&a).await));
    b.send("<message to='a.example' id='late'/>").await.expect("it is open");
    said.push(format!("b: {}", next(&b).await));
    drop(b);
    said.push(format!("server of b: {}", stage.end_of(&b_log).await));
    said
}

/// A peer shuts its side behind its last stanza: it is delivered, and the peer still gets the closing tag.
pub async fn half_close<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    let (b, _) = stage.component("b.example").await;
    let (mut peer, log) = stage.peer("a.example").await;
    peer.write("<message to='b.example'><body>last</body></message>").await;
    peer.shut().await;
    let rest = peer.rest().await;
    vec![
        format!("b: {}", next(&b).await),
        format!("peer: {rest}"),
        format!("server: {}", stage.end_of(&log).await),
    ]
}

/// Both of two components send 5 MB to each other at once, and take what comes.
pub async fn both_write<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    let ((a, _), (b, _)) = (stage.component("a.example").await, stage.component("b.example").await);
    let sending = both(pour(&a, "b.example"), pour(&b, "a.example"));
    let (_, (at_a, at_b)) = both(sending, both(drain(&a), drain(&b))).await;
    vec![format!("a: {at_a} in order"), format!("b: {at_b} in order")]
}

/// One peer reads nothing: what is sent to it bounces in the end, and nobody else waits for it longer than that.
pub async fn stall<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    stage.listener.queue_mark = 64 * 1024;
    stage.listener.stall = Duration::from_millis(200);
    let ((a, _), (b, _)) = (stage.component("a.example").await, stage.component("b.example").await);
    let (deaf, _log) = stage.peer("deaf.example").await;
    let heard = Cell::new(false);
    let flood = async {
        let body = "x".repeat(8000);
        while !heard.get() {
            a.send(format!("<message to='deaf.example' id='much'><body>{body}</body></message>"))
                .await
                .expect("it is open");
        }
    };
    let answer = async {
        let answer = next(&a).await;
        heard.set(true);
        answer
    };
    let ((), answer) = both(flood, answer).await;
    let mut said = vec![format!("a: {answer}")];
    a.send("<message to='b.example'><body>still here</body></message>").await.expect("it is open");
    said.push(format!("b: {}", next(&b).await));
    drop(deaf);
    said
}

/// Alarms that ring late: what is overdue is seen then, and not before its time.
pub async fn late<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    let mut limits = quick_limits();
    limits.negotiation_step = Duration::from_millis(50);
    stage.listener.limits = Arc::new(limits.clone());
    stage.late = Duration::from_millis(100);
    let (mut silent, log) = {
        let (stream, log) = stage.accept().await;
        (super::stage::Peer::of(stream), log)
    };
    let rest = silent.rest().await;
    let condition = if rest.contains("<connection-timeout ") { "connection-timeout" } else { &rest };
    let mut said = vec![format!("peer: {condition}"), format!("server: {}", stage.end_of(&log).await)];

    let (ours, theirs) = stage.runtime.pair().await;
    let mut settings = settings("a.example");
    settings.limits = Arc::new(limits);
    let timer = stage.timer();
    let begun = timer.now();
    let (component, connection) = Component::connect(settings, ours, timer);
    stage.runtime.spawn_component(connection);
    let refused = component.established().await.expect_err("nobody answers");
    let waited = stage.timer().now().since(begun);
    said.push(format!("component: {}", kind_of(&refused)));
    said.push(format!("in time: {}", waited >= Duration::from_millis(150)));
    drop(theirs);
    said
}

/// Futures that are dropped where they wait: one that takes a stanza loses none, and a connection leaves nothing.
pub async fn cancel<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime.clone());
    let (b, _) = stage.component("b.example").await;
    let (a, connection, log) = stage.undriven("a.example").await;
    let moment = Duration::from_millis(20);
    let mut said = Vec::new();
    {
        let script = async {
            a.established().await.expect("the name is free");
            said.push(format!("nothing came: {}", runtime.within(moment, a.next()).await.is_none()));
            b.send("<message to='a.example'><body>1</body></message>").await.expect("it is open");
            said.push(format!("a: {}", next(&a).await));
            // The answer to a request that nobody waits for any more is a stanza like others.
            let to = Jid::parse("b.example").expect("an address");
            let ask = a.request(Request::get(&to, "<ping xmlns='urn:xmpp:ping'/>"));
            said.push(format!("no answer: {}", runtime.within(moment, ask).await.is_none()));
            let id = b.next().await.and_then(|asked| asked.as_stanza().id().map(String::from));
            let answer = format!("<iq type='result' id='{}' to='a.example'/>", id.expect("it is asked"));
            b.send(answer).await.expect("it is open");
            said.push(format!("a, unasked: {}", next(&a).await));
        };
        let (mut connection, mut script) = (pin!(connection.run()), pin!(script));
        std::future::poll_fn(|cx| {
            let _running = connection.as_mut().poll(cx);
            script.as_mut().poll(cx)
        })
        .await;
        // Here the connection is dropped, while it waits.
    }
    said.push(format!("a: {}", end(&a).await));
    said.push(format!("server: {}", stage.end_of(&log).await));
    b.send("<message to='a.example' id='gone'/>").await.expect("it is open");
    said.push(format!("b: {}", next(&b).await));
    let (_again, _) = stage.component("a.example").await;
    said.push("the name is free".into());
    said
}

/// The server stops while a peer is in the middle of a stanza: all that was taken is sent, and everybody hears why.
pub async fn shutdown<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    stage.listener.limits = Arc::new(quick_limits());
    let (b, b_log) = stage.component("b.example").await;
    let (mut peer, log) = stage.peer("a.example").await;
    peer.write("<message to='b.example'><body>whole</body></message><message to='b.example'><body>ha").await;
    let mut said = vec![format!("b: {}", next(&b).await)];
    stage.switch.shut_down();
    let rest = peer.rest().await;
    let is_told = rest.starts_with("<stream:error><system-shutdown ") && rest.ends_with("</stream:stream>");
    said.push(format!("peer is told: {is_told}"));
    // Its connection lingers until it closes, too.
    drop(peer);
    said.push(format!("b got more: {}", b.next().await.is_some()));
    said.push(format!("b: {}", end(&b).await));
    said.push(format!("server of a: {}", stage.end_of(&log).await));
    said.push(format!("server of b: {}", stage.end_of(&b_log).await));
    said
}

/// A component whose name is taken waits longer before it tries again, and is let in once the name is free.
pub async fn come_back<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime.clone());
    let (holder, log) = stage.component("a.example").await;
    let mut backoff = Backoff::default();
    backoff.first = Duration::from_millis(1);
    backoff.refused = Duration::from_millis(150);
    let mut reconnect = Reconnect::new(runtime.timer(), backoff);
    let mut said = Vec::new();

    let refused = reconnect.attempt(0, stage.try_component("a.example")).await;
    said.push(match refused {
        Err(ConnectError::Refused(end)) => format!("refused: {}", kind_of(&end)),
        other => format!("{other:?}"),
    });
    let begun = runtime.timer().now();
    holder.close();
    said.push(format!("holder: {}", stage.end_of(&log).await));
    let a = reconnect.attempt(0, stage.try_component("a.example")).await.expect("the name is free");
    let waited = runtime.timer().now().since(begun);
    // The delay counts from the call of `attempt`, after the holder's end.
    said.push(format!("waited: {}", waited >= Duration::from_millis(150)));
    a.send("<message to='a.example'><body>back</body></message>").await.expect("it is open");
    said.push(format!("a: {}", next(&a).await));
    a.close();
    said.push(format!("a: {}", end(&a).await));
    let again = reconnect.attempt(0, stage.try_component("a.example")).await;
    said.push(format!("again: {}", again.is_ok()));
    said
}

/// A component that another one replaces waits longer, too, before it takes the name back.
pub async fn replaced<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime.clone());
    let terms = BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() };
    stage.listener.policy = Arc::new(terms);
    let mut backoff = Backoff::default();
    backoff.first = Duration::from_millis(1);
    backoff.refused = Duration::from_millis(150);
    let mut reconnect = Reconnect::new(runtime.timer(), backoff);
    let a = reconnect.attempt(0, stage.try_component("a.example")).await.expect("the name is free");
    let (newcomer, _) = stage.component("a.example").await;
    let mut said = vec![format!("a: {}", end(&a).await)];
    let begun = runtime.timer().now();
    let again = reconnect.attempt(0, stage.try_component("a.example")).await;
    let waited = runtime.timer().now().since(begun);
    said.push(format!("waited: {}", waited >= Duration::from_millis(150)));
    said.push(format!("again: {}", again.is_ok()));
    said.push(format!("newcomer: {}", end(&newcomer).await));
    said
}

/// Requests: answered by the host, refused for a name that nobody serves, and late where a peer says nothing or
/// somebody else answers; then the stream ends.
pub async fn request<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    let ((a, _), (b, _)) = (stage.component("a.example").await, stage.component("b.example").await);
    let (c, _) = stage.component("c.example").await;
    let (short, long) = (Duration::from_millis(60), Duration::from_secs(20));
    let ask = |to: &'static str, timeout| {
        let a = a.clone();
        async move {
            let to = Jid::parse(to).expect("an address");
            let ping = Request::get(&to, "<ping xmlns='urn:xmpp:ping'/>").timeout(timeout);
            match a.request(ping).await {
                Ok(answer) => {
                    format!("result from {:?}", answer.as_stanza().from().map(|from| from.as_str()))
                }
                Err(RequestError::Refused(answer)) => shown(&answer.as_stanza()),
                Err(error) => error.to_string(),
            }
        }
    };
    let mut said = vec![ask("host.example", long).await, ask("nobody.example", long).await];
    let silent = async {
        let asked = b.next().await.expect("it is asked");
        let id = asked.as_stanza().id().expect("an iq has one").into_owned();
        c.send(format!("<iq type='result' id='{id}' to='a.example'/>")).await.expect("it is open");
    };
    let (late, ()) = both(ask("b.example", short), silent).await;
    said.push(late);
    said.push(format!("a, unasked: {}", next(&a).await));
    let stop = async {
        drop(b.next().await);
        stage.switch.shut_down();
    };
    let (ended, ()) = both(ask("b.example", long), stop).await;
    said.push(ended);
    said
}

/// Requests that are none are not sent, and an answer to one that somebody else asked is no answer.
pub async fn no_request<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    let ((a, _), (b, _)) = (stage.component("a.example").await, stage.component("b.example").await);
    let to = Jid::parse("b.example").expect("an address");
    let mut said = Vec::new();
    for payload in ["", "text", "<a/><b/>", "<a/>text", "<x:a/>", "<a>"] {
        let error = a.request(Request::set(&to, payload)).await.expect_err("it is not one element");
        said.push(format!("{payload:?}: {error}"));
    }
    let answers = async {
        let asked = b.next().await.expect("it is asked");
        let asked = asked.as_stanza();
        let id = asked.id().expect("an iq has one").into_owned();
        // Of another id, of another type, from another address of the same component; and then the answer.
        for iq in [
            "type='result' id='enjamb-999'".into(),
            format!("type='get' id='{id}'"),
            format!("type='result' id='{id}' from='x@b.example'"),
            format!("type='result' id='{id}' from='b.example'"),
        ] {
            b.send(format!("<iq to='y@a.example' {iq}><n/></iq>")).await.expect("it is open");
        }
    };
    let from = Jid::parse("y@a.example").expect("an address");
    let (answer, ()) = both(a.request(Request::set(&to, "<do xmlns='urn:x'/>").from(&from)), answers).await;
    said.push(format!("answer: {}", answer.is_ok()));
    for _ in 0..3 {
        said.push(format!("a, unasked: {}", next(&a).await));
    }
    said
}

/// The component as a stream and a sink: 1,000 stanzas to itself, and the end.
pub async fn combine<R: Runtime>(runtime: R) -> Vec<String> {
    let mut stage = Stage::new(runtime);
    let (a, log) = stage.component("a.example").await;
    let mut sink = a.clone();
    let numbered = |n: usize| Ok(format!("<message to='a.example' id='{n}'><body>{n}</body></message>"));
    let mut numbers = stream::iter((0..1000).map(numbered));
    let is_next = |(n, stanza): &(usize, OwnedStanza)| {
        let is_next = stanza.as_stanza().id().as_deref() == Some(&*n.to_string());
        std::future::ready(is_next)
    };
    let in_order = a.clone().take(1000).enumerate().filter(is_next).count();
    let (sent, in_order) = both(sink.send_all(&mut numbers), in_order).await;
    let mut said = vec![format!("sent: {sent:?}"), format!("a: {in_order} in order")];
    let refused = sink.send("<message").await;
    said.push(format!("a half: {}", refused.expect_err("it is no stanza")));
    said.push(format!("closed: {:?}", SinkExt::<String>::close(&mut sink).await));
    said.push(format!("server: {}", stage.end_of(&log).await));
    said.push(format!("more: {:?}", sink.send("<message/>").await));
    said
}

async fn next(component: &Component) -> String {
    let stanza = component.next().await.expect("the stream lives");
    shown(&stanza.as_stanza())
}

/// How the stream ended, once it has.
async fn end(component: &Component) -> String {
    while component.next().await.is_some() {}
    component.end().as_ref().map_or("open".into(), kind_of)
}

const POURED: usize = 500;

/// Sends 5 MB in numbered stanzas.
async fn pour(component: &Component, to: &str) {
    let body = "x".repeat(10_000);
    for n in 0..POURED {
        let stanza = format!("<message to='{to}' id='{n}'><body>{body}</body></message>");
        component.send(stanza).await.expect("it is open");
    }
}

/// Takes that many, and gives how many came in order.
async fn drain(component: &Component) -> usize {
    let mut in_order = 0;
    for n in 0..POURED {
        let stanza = component.next().await.expect("the stream lives");
        in_order += usize::from(stanza.as_stanza().id().as_deref() == Some(&*n.to_string()));
    }
    in_order
}

/// Both results, once both are there.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    std::future::poll_fn(|cx| {
        if of_a.is_none()
            && let Poll::Ready(result) = a.as_mut().poll(cx)
        {
            of_a = Some(result);
        }
        if of_b.is_none()
            && let Poll::Ready(result) = b.as_mut().poll(cx)
        {
            of_b = Some(result);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (of_a, of_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}
