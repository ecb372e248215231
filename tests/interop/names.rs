//! A server whose name moves to another address.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use enjamb_core::Secret;
use enjamb_core::switch::{ListenerConfig, Switch};
use enjamb_runtime::SharedSwitch;
use enjamb_tests::env;
use enjamb_tests::sim::{SECRET, switch};

/// The library with which a program sees another `/etc/hosts`.
const HOSTS_WRAPPER: &str = "libnss_wrapper.so";

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The name of the server moves to another address while a component is connected: it is looked up each time.
#[test]
fn a_name_that_moves_is_followed_on_every_runtime() {
    let path = env::work_dir().join(format!("hosts-{}", std::process::id()));
    for name in ["tokio", "smol", "async-std"] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let serve = |at: SocketAddr| {
            let switch = switch(&["host.example"]);
            let socket = runtime.block_on(tokio::net::TcpListener::bind(at)).unwrap();
            let at = socket.local_addr().unwrap();
            let listener = Arc::new(ListenerConfig::new(Secret::new(SECRET)));
            let task = runtime.spawn(enjamb_tokio::serve(socket, Arc::clone(&switch), listener));
            (switch, at, task)
        };
        let moves_to = |address: IpAddr, seconds: u64| {
            fs::write(&path, format!("{address} moving.example\n")).unwrap();
            // The wrapper looks at the file again where its time, in seconds, is another.
            let file = fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        let (old, at, accepting) = serve(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (new, _, _) = serve(SocketAddr::from(([127, 0, 0, 2], at.port())));
        moves_to(at.ip(), 1_000_000);
        let mut program = Command::new(env!("CARGO_BIN_EXE_reconnecting"));
        program.args([name, &format!("moving.example:{}", at.port()), "a.example", SECRET]);
        program.env("LD_PRELOAD", HOSTS_WRAPPER).env("NSS_WRAPPER_HOSTS", &path);
        let _program = Program(program.spawn().unwrap());
        until_bound(&old, name);

        moves_to(IpAddr::from([127, 0, 0, 2]), 2_000_000);
        accepting.abort();
        old.shut_down();
        until_bound(&new, name);
    }
    fs::remove_file(&path).unwrap();
}

fn until_bound(switch: &SharedSwitch, name: &str) {
    let by = Instant::now() + Duration::from_secs(20);
    while switch.bound() == 0 {
        assert!(
            Instant::now() < by,
            "on {name} it does not come. Is there {HOSTS_WRAPPER}? apt-get install libnss-wrapper"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
