//! `enjamb demo`: a server and two components in one terminal, each stanza shown as it passes.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, Switch, SwitchConfig};
use enjamb_core::{Secret, StanzaKind};
use enjamb_runtime::{Component, SharedSwitch};
use tokio::net::TcpListener;

use crate::secret;
use crate::terminal::{complain, say};

/// Runs the demonstration.
#[must_use]
pub fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(show())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("enjamb demo: {error}"));
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

async fn show() -> Result<()> {
    let screen = Screen { colour: std::io::stdout().is_terminal() };
    let secret = secret::generate()?;
    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?])));
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    let listener = Arc::new(ListenerConfig::new(Secret::new(secret.as_str())));
    tokio::spawn(enjamb_tokio::serve(socket, Arc::clone(&switch), listener));
    screen.say(&format!("A server for 'localhost' listens on {address}. Two components connect to it:"));

    let weather = Actor::connect(&screen, address, "weather.localhost", &secret).await?;
    let bot = Actor::connect(&screen, address, "bot.localhost", &secret).await?;

    screen.say("The bot asks the server who is there (XEP-0030):");
    bot.send(&screen, "<iq type='get' id='1' from='bot.localhost' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>").await?;
    bot.receive(&screen).await?;

    screen.say("It asks the other component something, and that one answers:");
    bot.send(&screen, "<message id='2' from='lena@bot.localhost/1' to='weather.localhost'><body>Will it rain in Bergen?</body></message>").await?;
    weather.receive(&screen).await?;
    weather.send(&screen, "<message id='3' from='weather.localhost' to='lena@bot.localhost/1'><body>Yes. ☔</body></message>").await?;
    bot.receive(&screen).await?;

    screen.say("It writes to a domain that nobody serves, and is told so:");
    bot.send(&screen, "<message id='4' from='lena@bot.localhost/1' to='somebody@nowhere.example'><body>Hello?</body></message>").await?;
    bot.receive(&screen).await?;

    screen.say("It pretends to be somebody else, and is told that, too:");
    bot.send(&screen, "<message id='5' from='president@elsewhere.example' to='weather.localhost'><body>Obey!</body></message>").await?;
    bot.receive(&screen).await?;

    screen.say("The server stops, and says why:");
    switch.shut_down();
    for actor in [&weather, &bot] {
        while actor.component.next().await.is_some() {}
        let end = actor.component.end().map(|end| end.to_string()).unwrap_or_default();
        screen.line(actor.name, "<--", &end, Paint::Red);
    }
    screen.say("Now start your own with 'enjamb'; it prints what to paste into slixmpp and xmpp.js.");
    Ok(())
}

struct Actor {
    name: &'static str,
    component: Component,
}

impl Actor {
    async fn connect(screen: &Screen, address: SocketAddr, name: &'static str, secret: &str) -> Result<Self> {
        let component = enjamb_tokio::connect(address, Domain::parse(name)?, Secret::new(secret)).await?;
        screen.line(name, "<->", "connected, and authenticated by the handshake", Paint::Dim);
        Ok(Self { name, component })
    }

    async fn send(&self, screen: &Screen, stanza: &str) -> Result<()> {
        screen.line(self.name, "-->", stanza, Paint::Cyan);
        Ok(self.component.send(stanza).await?)
    }

    async fn receive(&self, screen: &Screen) -> Result<()> {
        let received = tokio::time::timeout(Duration::from_secs(5), self.component.next()).await?;
        let received = received.ok_or("the server closed the stream")?;
        let stanza = received.as_stanza();
        let paint = match (stanza.kind(), stanza.stanza_type().as_deref()) {
            (_, Some("error")) => Paint::Red,
            (StanzaKind::Iq | StanzaKind::Message | StanzaKind::Presence, _) => Paint::Green,
        };
        screen.line(self.name, "<--", &String::from_utf8_lossy(stanza.raw()), paint);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Paint {
    Dim,
    Cyan,
    Green,
    Red,
}

struct Screen {
    colour: bool,
}

impl Screen {
    fn say(&self, text: &str) {
        if self.colour { say(format_args!("\n\x1b[1m{text}\x1b[0m")) } else { say(format_args!("\n{text}")) }
    }

    fn line(&self, name: &str, arrow: &str, text: &str, paint: Paint) {
        let code = match paint {
            Paint::Dim => "2",
            Paint::Cyan => "36",
            Paint::Green => "32",
            Paint::Red => "31",
        };
        if self.colour {
            say(format_args!("  {name:<18}{arrow}  \x1b[{code}m{text}\x1b[0m"));
        } else {
            say(format_args!("  {name:<18}{arrow}  {text}"));
        }
    }
}
