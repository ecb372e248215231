//! Our component on other people's servers: Prosody and ejabberd let it in, carry its stanzas, and refuse it clearly.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use enjamb_core::connection::CloseReason;
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::{Limits, Secret, StreamCondition};
use enjamb_runtime::{Backoff, Component, ComponentSettings, ConnectError, Request, RequestError};
use enjamb_tests::foreign::{ForeignServer, Kind};
use enjamb_tests::server::SECRET;
use rustix::process::Signal;

const DOMAINS: [&str; 2] = ["a.localhost", "b.localhost"];

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn jid(text: &'static str) -> Jid<'static> {
    Jid::parse(text).unwrap()
}

fn settings(name: &str) -> ComponentSettings {
    ComponentSettings::new(domain(name), Secret::new(SECRET))
}

fn on_tokio<R>(script: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(script)
}

/// Two components talk to each other and to the host.
async fn talk(a: Component, b: Component) {
    for to in ["x@b.localhost/r", "b.localhost"] {
        let body = "caf\u{e9} &lt;\u{1f980}&gt; &amp;";
        let message = format!(
            "<message from='y@a.localhost' to='{to}' id='m'><body>{body}</body><e:x xmlns:e='urn:x' a='&quot;'><e:y/></e:x></message>"
        );
        a.send(message).await.unwrap();
        let got = b.next().await.unwrap();
        let got = got.as_stanza();
        assert_eq!(got.from().map(Jid::as_str), Some("y@a.localhost"));
        assert_eq!(got.to().map(Jid::as_str), Some(to));
        assert_eq!(got.children(), 2);
        let content = String::from_utf8_lossy(got.content());
        assert!(content.contains("caf\u{e9}") && content.contains("&lt;\u{1f980}"), "{content}");
    }

    let to = jid("b.localhost");
    let answer = async {
        let asked = b.next().await.unwrap();
        let asked = asked.as_stanza();
        let id = asked.id().unwrap().into_owned();
        b.send(format!(
            "<iq type='result' id='{id}' from='b.localhost' to='a.localhost'><q xmlns='urn:x'/></iq>"
        ))
        .await
        .unwrap();
    };
    let asking = a.request(Request::get(&to, "<query xmlns='jabber:iq:version'/>"));
    let (result, ()) = futures_util::future::join(asking, answer).await;
    assert_eq!(result.unwrap().as_stanza().children(), 1);

    // The host says pong.
    let host = jid("localhost");
    let pong = a.request(Request::get(&host, "<ping xmlns='urn:xmpp:ping'/>")).await.unwrap();
    assert_eq!(pong.as_stanza().from().map(Jid::as_str), Some("localhost"));

    // And what it does not know comes back as an error.
    let refused = a.request(Request::get(&host, "<what xmlns='urn:x:unheard-of'/>")).await;
    assert!(matches!(refused, Err(RequestError::Refused(_))), "{refused:?}");

    a.close();
    while a.next().await.is_some() {}
    assert!(matches!(a.end(), Some(CloseReason::ByUs)));
}

fn all_runtimes_talk(kind: Kind) {
    let server = ForeignServer::start(kind, &DOMAINS);
    let addr = server.addr();
    on_tokio(async {
        let connect = |name| enjamb_tokio::connect(addr, domain(name), Secret::new(SECRET));
        talk(connect(DOMAINS[0]).await.unwrap(), connect(DOMAINS[1]).await.unwrap()).await;
    });
    until_free(addr);
    smol::block_on(async {
        let connect = |name| enjamb_async_std::on_smol::connect(addr, domain(name), Secret::new(SECRET));
        talk(connect(DOMAINS[0]).await.unwrap(), connect(DOMAINS[1]).await.unwrap()).await;
    });
    until_free(addr);
    async_std::task::block_on(async {
        let connect = |name| enjamb_async_std::on_async_std::connect(addr, domain(name), Secret::new(SECRET));
        talk(connect(DOMAINS[0]).await.unwrap(), connect(DOMAINS[1]).await.unwrap()).await;
    });
}

/// The server has noticed that the components before are gone.
fn until_free(addr: SocketAddr) {
    on_tokio(async {
        for name in DOMAINS {
            let by = Instant::now() + Duration::from_secs(20);
            loop {
                match enjamb_tokio::connect(addr, domain(name), Secret::new(SECRET)).await {
                    Ok(component) => break component.close(),
                    Err(error) => assert!(Instant::now() < by, "{name}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    });
}

fn a_wrong_secret_is_refused(kind: Kind) {
    let server = ForeignServer::start(kind, &DOMAINS);
    on_tokio(async {
        let refused = enjamb_tokio::connect(server.addr(), domain(DOMAINS[0]), Secret::new("wrong")).await;
        let Err(error @ ConnectError::Refused(CloseReason::Error(_))) = &refused else {
            panic!("{refused:?}")
        };
        assert!(error.to_string().contains("not-authorized"), "{error}");
        // A person has to repair that: minutes, not seconds.
        assert!(Backoff::default().after_failure(error, 0) >= Duration::from_secs(300));
    });
}

/// Whether anybody is there is asked, the application does not see it, and a server that stands still is noticed.
fn a_silent_server_is_noticed(kind: Kind) {
    let server = ForeignServer::start(kind, &DOMAINS);
    let mut limits = Limits::default();
    (limits.ping, limits.ping_answer) = (Some(Duration::from_millis(500)), Duration::from_secs(2));
    let mut settings = settings(DOMAINS[0]);
    settings.limits = Arc::new(limits);
    on_tokio(async {
        let stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
        let component = enjamb_tokio::connect_over(stream, settings).await.unwrap();
        let nothing = tokio::time::timeout(Duration::from_secs(4), component.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        server.signal(Signal::STOP);
        let end = tokio::time::timeout(Duration::from_secs(20), component.next()).await;
        assert!(matches!(end, Ok(None)), "{end:?}");
        let Some(CloseReason::Error(error)) = component.end() else { panic!("{:?}", component.end()) };
        assert_eq!(error.condition, StreamCondition::ConnectionTimeout);
        server.signal(Signal::CONT);
    });
}

fn it_comes_back_with_the_server(kind: Kind) {
    let mut server = ForeignServer::start(kind, &DOMAINS);
    let mut backoff = Backoff::default();
    (backoff.first, backoff.most) = (Duration::from_millis(50), Duration::from_millis(200));
    let mut reconnecting = enjamb_tokio::Reconnecting::new(
        enjamb_tokio::Tokio,
        &server.addr().to_string(),
        settings(DOMAINS[0]),
        backoff,
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let first = runtime.block_on(reconnecting.next()).unwrap();
    server.restart();
    runtime.block_on(async {
        while first.next().await.is_some() {}
        assert!(first.end().is_some());
        let by = Instant::now() + Duration::from_secs(30);
        let again = loop {
            match reconnecting.next().await {
                Ok(component) => break component,
                Err(error) => assert!(Instant::now() < by, "{error}"),
            }
        };
        let own = jid(DOMAINS[0]);
        again.send(format!("<message from='{own}' to='{own}' id='back'/>")).await.unwrap();
        assert_eq!(again.next().await.unwrap().as_stanza().id().as_deref(), Some("back"));
    });
}

#[test]
fn prosody_carries_what_it_says_on_every_runtime() {
    all_runtimes_talk(Kind::Prosody);
}

#[test]
fn ejabberd_carries_what_it_says_on_every_runtime() {
    all_runtimes_talk(Kind::Ejabberd);
}

#[test]
fn prosody_says_that_the_secret_is_wrong() {
    a_wrong_secret_is_refused(Kind::Prosody);
}

#[test]
fn ejabberd_says_that_the_secret_is_wrong() {
    a_wrong_secret_is_refused(Kind::Ejabberd);
}

#[test]
fn a_prosody_that_stands_still_is_noticed() {
    a_silent_server_is_noticed(Kind::Prosody);
}

#[test]
fn an_ejabberd_that_stands_still_is_noticed() {
    a_silent_server_is_noticed(Kind::Ejabberd);
}

#[test]
fn prosody_restarts_and_it_comes_back() {
    it_comes_back_with_the_server(Kind::Prosody);
}

#[test]
fn ejabberd_restarts_and_it_comes_back() {
    it_comes_back_with_the_server(Kind::Ejabberd);
}

/// On Prosody a name that is taken stays with who has it.
#[test]
fn prosody_says_that_the_name_is_taken() {
    let server = ForeignServer::start(Kind::Prosody, &DOMAINS);
    on_tokio(async {
        let first =
            enjamb_tokio::connect(server.addr(), domain(DOMAINS[0]), Secret::new(SECRET)).await.unwrap();
        let refused = enjamb_tokio::connect(server.addr(), domain(DOMAINS[0]), Secret::new(SECRET)).await;
        let Err(ConnectError::Refused(CloseReason::Error(error))) = &refused else { panic!("{refused:?}") };
        assert_eq!(error.condition, StreamCondition::Conflict);
        assert!(first.end().is_none());
    });
}
