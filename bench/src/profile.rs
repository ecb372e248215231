//! Where our server's time goes under load, by perf.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// Samples a second of each thread; no divisor of what a kernel counts in.
const FREQUENCY: &str = "1999";

/// The parts of the time, by what they are spent on; all together 1.
pub(crate) type Shares = BTreeMap<&'static str, f64>;

/// The parts, in the order in which a stanza meets them, with the symbols that tell them: the first that fits counts.
/// Of the kernel, the outermost call.
const PARTS: [(&str, &[&str]); 16] = [
    ("kernel: reading", &["__x64_sys_recvfrom", "__x64_sys_recvmsg", "__x64_sys_read"]),
    ("kernel: writing", &["__x64_sys_sendto", "__x64_sys_sendmsg", "__x64_sys_write"]),
    ("kernel: waiting for sockets", &["__x64_sys_epoll_"]),
    ("kernel: threads that wake each other", &["__x64_sys_futex", "__x64_sys_sched_yield"]),
    ("scan of XML", &["enjamb_core::xml::", "core::str::converts::from_utf8", "memchr"]),
    ("addresses", &["enjamb_core::jid::"]),
    ("stanza and its stream", &["enjamb_core::stanza", "enjamb_core::stream::"]),
    (
        "look-up",
        &["enjamb_core::router::", "enjamb_core::connection::routes", "enjamb_core::switch::", "hashbrown::"],
    ),
    (
        "delivery, queues and the drive loop",
        &["enjamb_core::connection::", "enjamb_core::queue::", "enjamb_runtime::"],
    ),
    ("other of the core", &["enjamb_core::"]),
    ("copying and comparing bytes (libc)", &["memcpy", "memmove", "memcmp", "bcmp", "memset"]),
    ("memory from the allocator", &["malloc", "calloc", "realloc", "free", "alloc::raw_vec"]),
    (
        "runtime (tokio, mio)",
        &["tokio::", "mio::", "std::sys::", "std::thread", "core::task", "parking_lot", "enjamb_tokio"],
    ),
    ("server", &["enjamb::"]),
    ("clock", &["clock_gettime", "std::time", "[vdso]"]),
    ("system calls' way in and out (libc)", &["recv", "send", "epoll", "syscall"]),
];
/// What none of them fits.
const KERNEL: &str = "kernel: else (interrupts, scheduling, packets on their way)";
const OTHER: &str = "else";

/// The names of all parts, in order.
pub(crate) fn parts() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|(part, _)| *part).chain([KERNEL, OTHER])
}

/// Is perf there, and may it be used?
pub(crate) fn possible() -> bool {
    let file = file();
    let status = Command::new("perf")
        .args(["record", "-q", "-o"])
        .arg(&file)
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // There may be none.
    let _ = fs::remove_file(&file);
    status.is_ok_and(|status| status.success())
}

/// Watches the process `pid` while `load` puts it under load and ends it.
pub(crate) fn watch(pid: u32, load: impl FnOnce() -> io::Result<()>) -> io::Result<Shares> {
    let file = file();
    let mut perf = Command::new("perf")
        .args(["record", "-q", "-g", "-F", FREQUENCY, "-p", &pid.to_string(), "-o"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let loaded = load();
    // It ends with what it watches.
    perf.wait()?;
    loaded?;
    let shares = read(&file);
    fs::remove_file(&file)?;
    shares
}

fn file() -> std::path::PathBuf {
    env::temp_dir().join(format!("enjamb-profile-{}", std::process::id()))
}

fn read(file: &Path) -> io::Result<Shares> {
    let output = Command::new("perf")
        .args(["script", "-F", "ip,sym,dso", "-i"])
        .arg(file)
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for stack in text.split("\n\n").map(str::trim).filter(|stack| !stack.is_empty()) {
        *counts.entry(part_of(stack)).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    if all == 0 {
        return Err(io::Error::other("perf saw nothing of the server"));
    }
    Ok(counts.into_iter().map(|(part, count)| (part, count as f64 / all as f64)).collect())
}

/// What a sample was spent on. Its stack is a line for each frame, the innermost first: address, symbol, and in
/// parentheses where that is from.
fn part_of(stack: &str) -> &'static str {
    let innermost = stack.lines().next().unwrap_or_default();
    // Kernels have the upper half of the addresses; what is behind them in the stack may be guessed.
    let in_kernel = |frame: &str| frame.trim_start().starts_with("ffff");
    if !in_kernel(innermost) {
        return find(innermost, |part| !part.starts_with("kernel")).unwrap_or(OTHER);
    }
    let call = stack.lines().take_while(|frame| in_kernel(frame)).find(|frame| frame.contains("__x64_sys_"));
    call.and_then(|frame| find(frame, |part| part.starts_with("kernel"))).unwrap_or(KERNEL)
}

fn find(frame: &str, of: impl Fn(&str) -> bool) -> Option<&'static str> {
    let fits = |symbols: &[&str]| symbols.iter().any(|symbol| frame.contains(symbol));
    PARTS.iter().find(|(part, symbols)| of(part) && fits(symbols)).map(|(part, _)| *part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_to_its_call_in_the_kernel_or_to_its_innermost_function() {
        let reading = "ffffffff81a copy_user ([kernel.kallsyms])\n    ffffffff81b tcp_recvmsg ([kernel.kallsyms])\n    ffffffff81c __x64_sys_recvfrom ([kernel.kallsyms])\n    7f00 __libc_recv (/lib/libc.so.6)";
        assert_eq!(part_of(reading), "kernel: reading");
        assert_eq!(part_of("ffffffff81a net_rx_action ([kernel.kallsyms])\n 5600 main (enjamb)"), KERNEL);
        for (symbol, part) in [
            ("enjamb_core::xml::scan::Scan::advance", "scan of XML"),
            ("enjamb_core::connection::routes::RouteCache<P>::knows", "look-up"),
            ("enjamb_runtime::driver::Driver<T,C,S>::run", "delivery, queues and the drive loop"),
            ("__memcpy_avx_unaligned_erms", "copying and comparing bytes (libc)"),
            ("tokio::runtime::scheduler::multi_thread::worker::Context::run", "runtime (tokio, mio)"),
            ("[unknown]", OTHER),
        ] {
            assert_eq!(part_of(&format!("    5600aa {symbol} (/target/release/enjamb)")), part, "{symbol}");
        }
    }

    #[test]
    fn each_part_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = parts().collect();
        assert_eq!(names.len(), PARTS.len() + 2);
    }
}
