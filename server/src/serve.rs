//! `enjamb serve`: from the configuration to the last connection's end.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::host::HostInfo;
use enjamb_core::switch::{Switch, SwitchConfig};
use enjamb_runtime::SharedSwitch;
use enjamb_tokio::TokioTimer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admission::{Place, domain_secrets};
use crate::cli::ServeOptions;
use crate::config::{self, Config, Severity};
use crate::listen::{self, Acceptor};
use crate::reload::RunningFile;
use crate::signals::{Order, Signals};
use crate::terminal::say;
use crate::{check, log, reload, secret, uplinks};

/// Time for the last bytes of all connections once the server is told to stop: the 5 s in which each is
/// flushed, the second in which it is read on, and a little more.
const DRAIN: Duration = Duration::from_secs(8);

/// Runs the server until it is told to stop.
#[must_use]
pub fn run(options: &ServeOptions) -> ExitCode {
    // Dropped last: whatever ends the server is said before.
    let _log = log::start(&options.log, options.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log::fatal(format_args!("the runtime does not start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(start(options))
}

async fn start(options: &ServeOptions) -> ExitCode {
    // First of all: until they are taken, some of them end the process.
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            log::fatal(format_args!("signals can't be handled: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let Some((mut config, file)) = configure(options) else { return ExitCode::FAILURE };
    raise_file_limit();
    leave_files_for_components(&mut config);
    serve(config, file, signals).await
}

/// Reads the configuration, or makes the embedded one.
fn configure(options: &ServeOptions) -> Option<(Config, Option<RunningFile>)> {
    let Some(path) = &options.config else {
        return match secret::generate() {
            Ok(secret) => Some((Config::embedded_default(secret, options.port), None)),
            Err(error) => {
                log::fatal(format_args!("the operating system gives no random numbers: {error}"));
                None
            }
        };
    };
    let loaded = match config::load_file(path) {
        Ok(loaded) => loaded,
        Err(error) => {
            log::fatal(format_args!("{} can't be read: {error}", path.display()));
            return None;
        }
    };
    let Some(config) = loaded.config else {
        check::show_faults(&loaded);
        let faults = loaded.count(Severity::Error);
        log::fatal(format_args!("{} has {faults} faults; nothing was started", path.display()));
        return None;
    };
    for diagnostic in &loaded.diagnostics {
        warn!("{}", loaded.source.line(diagnostic));
    }
    for note in &loaded.notes {
        info!("{note}");
    }
    Some((config, Some(RunningFile::new(path, loaded.fingerprint))))
}

async fn serve(config: Config, file: Option<RunningFile>, mut signals: Signals) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    let hosts: Vec<_> = config.hosts.iter().map(|host| host.as_str()).collect();
    if hosts.is_empty() {
        info!("Enjamb {version} has no host of its own");
    } else {
        info!("Enjamb {version} serves {}", hosts.join(", "));
    }
    let switch = Arc::new(switch_for(&config));
    let connections = TaskTracker::new();
    let stop = CancellationToken::new();
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let Some(sockets) = open_all(&config.listeners) else {
        if file.is_none() {
            log::fatal("--port chooses another port, 0 a free one");
        }
        return ExitCode::FAILURE;
    };
    config.uplinks.iter().for_each(log::uplink);
    for section in &config.domains {
        log::domain(section, config.uplink_of(section).map(|(uplink, _)| uplink));
    }
    let domain_secrets = Arc::new(domain_secrets(&config.domains));
    let mut first = None;
    let mut admissions = Vec::new();
    let host = config.server_name();
    for (socket, listener) in sockets.into_iter().zip(&config.listeners) {
        let address = socket.local_addr().unwrap_or(listener.address);
        first.get_or_insert(address);
        log::listening(address, listener);
        let place = Place::new(listener, address, host.clone(), &switch, &domain_secrets);
        let (socket, acceptor) = (Arc::new(socket), Acceptor::new(listener, place, &connections, &stop));
        admissions.push(acceptor.admission());
        // More accept tasks than threads would only wake each other.
        for _ in 0..listener.num_acceptors.get().min(threads) {
            connections.spawn(acceptor.clone().run(Arc::clone(&socket)));
        }
    }
    let place =
        uplinks::Place { switch: Arc::clone(&switch), tasks: connections.clone(), stop: stop.clone() };
    let uplinks = match uplinks::start(&config, &place) {
        Ok(uplinks) => uplinks,
        Err(words) => {
            log::fatal(words);
            return ExitCode::FAILURE;
        }
    };
    if let Some(address) = first.filter(|_| file.is_none()) {
        greet(&config, address);
    }
    let tls: Vec<_> =
        config.listeners.iter().filter_map(|one| Some((one.address, one.tls.clone()?))).collect();
    let telling = tokio::spawn(log::keep_telling());
    let timing = Arc::clone(&switch);
    let timing = tokio::spawn(async move { timing.keep_time(TokioTimer::default()).await });
    // Of its secrets there is one copy left: the listener's.
    drop(config);
    let name = loop {
        match signals.next().await {
            Order::Stop(name) => break name,
            Order::Reload => {
                reload::reload(file.as_ref(), &tls, &admissions);
                uplinks.retry();
            }
            Order::Summary => log::summary("SIGUSR1", &*switch),
        }
    };
    // What is held goes back first, so that the answers are written before the connections end.
    timing.abort();
    let _ = timing.await;
    switch.return_held(&TokioTimer::default());
    log::summary(name, &*switch);
    info!("{name}: telling {} connections, then stopping", switch.connections());
    stop.cancel();
    switch.shut_down();
    connections.close();
    tokio::select! {
        () = connections.wait() => info!("stopped"),
        () = tokio::time::sleep(DRAIN) => warn!("stopped with {} connections left", connections.len()),
        name = signals.stop() => warn!("{name} again: stopped at once, with {} connections left", connections.len()),
    }
    // With what came and went since.
    log::summary("end", &*switch);
    telling.abort();
    log::finish();
    ExitCode::SUCCESS
}

/// Opens all sockets before any connection is accepted; says of each that can't be opened why.
fn open_all(listeners: &[config::Listener]) -> Option<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    for listener in listeners {
        match listen::open(listener) {
            Ok(socket) => sockets.push(socket),
            Err(error) => log::fatal(format_args!("{} can't be listened on: {error}", listener.address)),
        }
    }
    (sockets.len() == listeners.len()).then_some(sockets)
}

/// The switch that a configuration describes.
fn switch_for(config: &Config) -> SharedSwitch {
    let mut settings = SwitchConfig::new(config.hosts.iter().cloned());
    settings.info = HostInfo::new("Enjamb", env!("CARGO_PKG_VERSION"));
    settings.list_hidden = config.users_can_see_hidden_services;
    let domains = config.domains.iter().map(|section| (section.pattern.clone(), section.config.clone()));
    settings.domains = domains.collect();
    settings.max_queued = config.max_queued_bytes.unwrap_or(settings.max_queued);
    let switch = SharedSwitch::new(settings);
    switch.set_known(config.listeners.iter().flat_map(|one| one.domains.iter().flatten()).cloned());
    switch
}

/// What somebody who has just started the server for the first time needs.
fn greet(config: &Config, address: SocketAddr) {
    let (Some(host), Some(listener)) = (config.hosts.first(), config.listeners.first()) else { return };
    let (secret, ip, port) = (listener.password.expose(), address.ip(), address.port());
    say(format_args!(
        "
  Enjamb is ready for components of {host}, on {address}.
  The secret of this run:  {secret}

  slixmpp   c = ComponentXMPP('echo.{host}', '{secret}', '{ip}', {port}); c.add_event_handler('disconnected', lambda _: c.loop.call_later(5, c.connect)); c.connect()
  xmpp.js   component({{ service: 'xmpp://{address}', domain: 'echo.{host}', password: '{secret}' }}).start()

  'enjamb demo' shows two components at work; 'enjamb serve --config FILE' takes a file. Ctrl-C stops.
"
    ));
}

/// Each connection takes a file descriptor: as many as the system lets us have.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            warn!("the limit of open files can't be raised: {error}");
        }
    }
}

/// Connections that are not authenticated get half of the file descriptors, so that a crowd of them can't take
/// those of the components.
fn leave_files_for_components(config: &mut Config) {
    use rustix::process::{Resource, getrlimit};
    let Some(files) = getrlimit(Resource::Nofile).current else { return };
    let share = usize::try_from(files).unwrap_or(usize::MAX) / 2 / config.listeners.len().max(1);
    for listener in &mut config.listeners {
        let wanted = listener.max_unauthenticated.unwrap_or(config::UNAUTHENTICATED);
        if wanted <= share {
            continue;
        }
        if listener.max_unauthenticated.is_some() {
            let address = listener.address;
            warn!(listener = %address, "max_unauthenticated is {share} instead of {wanted}: half of the {files} files that may be open, shared by the listeners");
        }
        listener.max_unauthenticated = Some(share.max(1));
    }
}
