//! Our server and the null servers, each by itself on loopback, measured in turn.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{available_parallelism, sleep};
use std::time::Duration;
use std::{env, fs};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::load::{self, Shape};
use crate::process::pin;
use crate::{connections, report};

const SECRET: &str = "loopback";

#[derive(Args)]
pub(crate) struct Options {
    /// Our server, built for release.
    #[arg(long, default_value = "target/release/enjamb")]
    server: PathBuf,
    /// Times that each measurement is made.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Seconds of each measurement under load.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Connections of the storm and of the idle herd.
    #[arg(short = 'N', long, default_value_t = 5000)]
    count: usize,
    /// Where the report goes.
    #[arg(long, default_value = "docs/performance.md")]
    report: PathBuf,
}

/// A server of ours that ends, by its process id, when this is dropped.
struct Running {
    child: Child,
    address: SocketAddr,
    directory: Option<PathBuf>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(directory) = &self.directory {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// The servers, in the order of the columns.
pub(crate) const SERVERS: [&str; 3] = ["enjamb", "route", "relay"];

/// A row: what is measured, and which of the values it gave.
pub(crate) const ROWS: [(&str, &str, &str); 9] = [
    ("stanzas per server CPU-second, n=8 W=64 S=100", "n8", "per_cpu_second"),
    ("same, S=2000", "n8big", "per_cpu_second"),
    ("same, n=1 W=64 S=100", "n1", "per_cpu_second"),
    ("same, n=1 W=1000 S=100", "n1deep", "per_cpu_second"),
    ("same, fan-in 8 to 1, W=64 S=100", "fan", "per_cpu_second"),
    ("one core, W=1: p50, µs", "echo", "p50_us"),
    ("one core, W=1: p99, µs", "echo", "p99_us"),
    ("connects + handshakes per server CPU-second", "storm", "connects_per_cpu_second"),
    ("KiB RSS per idle authenticated connection", "idle", "kib_per_connection"),
];

const SCENARIOS: [&str; 8] = ["n8", "n8big", "n1", "n1deep", "fan", "echo", "storm", "idle"];

/// All values: by scenario and server, one object for each repetition.
pub(crate) type Figures = BTreeMap<(&'static str, &'static str), Vec<Value>>;

/// One stanza outstanding, generator and server on one core.
pub(crate) fn echo(target: SocketAddr, secret: &str, pid: u32, seconds: f64) -> io::Result<Value> {
    let cores = available_parallelism()?.get();
    let me = std::process::id();
    pin(pid, 0..1)?;
    pin(me, 0..1)?;
    let result =
        load::run(target, secret, pid, Shape { pairs: 1, window: 1, body: 100, fan_in: false, seconds });
    pin(pid, 0..cores)?;
    pin(me, 0..cores)?;
    result
}

fn start(server: &str, options: &Options) -> io::Result<Running> {
    if server != "enjamb" {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.arg(format!("null-{server}")).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or_else(|| io::Error::other("no output"))?)
            .read_line(&mut line)?;
        let port: u16 = line.trim().parse().map_err(io::Error::other)?;
        return Ok(Running { child, address: ([127, 0, 0, 1], port).into(), directory: None });
    }
    // Nobody else takes it in the moment between.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let directory = env::temp_dir().join(format!("enjamb-bench-{}-{}", std::process::id(), address.port()));
    fs::create_dir_all(&directory)?;
    let config = directory.join("enjamb.toml");
    let port = address.port();
    fs::write(
        &config,
        format!(
            "[general]\nhosts = ['localhost']\n\n[[listen.service]]\nport = {port}\nip_address = '127.0.0.1'\npassword = '{SECRET}'\n"
        ),
    )?;
    let mut command = Command::new(&options.server);
    let child = command.args(["--log", "error", "--config"]).arg(&config).stdout(Stdio::null()).spawn()?;
    let running = Running { child, address, directory: Some(directory) };
    for _ in 0..100 {
        if TcpStream::connect(address).is_ok() {
            return Ok(running);
        }
        sleep(Duration::from_millis(20));
    }
    Err(io::Error::other("our server does not start"))
}

fn measure(scenario: &str, running: &Running, options: &Options) -> io::Result<Value> {
    let (address, pid, seconds) = (running.address, running.child.id(), options.seconds);
    let shape = |pairs, window, body, fan_in| Shape { pairs, window, body, fan_in, seconds };
    let load = |shape| load::run(address, SECRET, pid, shape);
    match scenario {
        "n8" => load(shape(8, 64, 100, false)),
        "n8big" => load(shape(8, 64, 2000, false)),
        "n1" => load(shape(1, 64, 100, false)),
        "n1deep" => load(shape(1, 1000, 100, false)),
        "fan" => load(shape(8, 64, 100, true)),
        "echo" => echo(address, SECRET, pid, seconds),
        "storm" => connections::storm(address, SECRET, pid, options.count),
        _ => connections::idle(address, SECRET, pid, options.count),
    }
}

/// Measures everything and writes the report.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let total = options.repetitions * SCENARIOS.len() * SERVERS.len();
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}").map_err(io::Error::other)?;
    let bar = ProgressBar::new(total as u64).with_style(style);
    let mut figures = Figures::new();
    let load_before = load_average();
    for _ in 0..options.repetitions {
        for scenario in SCENARIOS {
            for server in SERVERS {
                // The relay knows no fan-in: it reads no address.
                if (scenario, server) != ("fan", "relay") {
                    bar.set_message(format!("{scenario} on {server}"));
                    let running = start(server, options)?;
                    let value = measure(scenario, &running, options)
                        .map_err(|error| io::Error::other(format!("{scenario} on {server}: {error}")))?;
                    figures.entry((scenario, server)).or_default().push(value);
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    let json: BTreeMap<_, _> =
        figures.iter().map(|((scenario, server), values)| (format!("{scenario}/{server}"), values)).collect();
    let load = format!("{load_before} before, {} after", load_average());
    fs::write(
        options.report.with_extension("json"),
        format!("{:#}\n", json!({"load": load, "figures": json})),
    )?;
    let text = report::write(&figures, options.count, options.repetitions, &load);
    fs::write(&options.report, &text)?;
    println!("{text}");
    Ok(())
}

fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().into()
}
