//! A network in memory, a clock that is set, and an executor: all of a server in one thread, the same for the same
//! input.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use enjamb_core::Instant;
use enjamb_runtime::{Timer, Transport};

/// Lengths of reads and writes: xorshift, so that an input means the same for ever. A seed of 0 cuts nothing.
#[derive(Clone, Copy)]
pub(crate) struct Cuts(pub(crate) u64);

impl Cuts {
    fn next(&mut self) -> usize {
        if self.0 == 0 {
            return usize::MAX;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        match self.0 >> 61 {
            0 => 0,
            1..4 => 1,
            4..7 => 1 + (self.0 >> 32) as usize % 8,
            _ => 1 + (self.0 >> 32) as usize % 256,
        }
    }
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    /// Nothing more will be written.
    shut: bool,
    /// Nobody reads any more.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// One end of a connection; dropping it breaks the connection.
pub(crate) struct Wire {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    cuts: Cuts,
    /// Bytes read from this end so far.
    read: Rc<Cell<usize>>,
    /// It breaks once this many bytes went out.
    breaks_after: usize,
}

/// A connection with this much room in each direction.
pub(crate) fn connection(room: usize, cuts: Cuts) -> (Wire, Wire) {
    let pipe = || Rc::new(RefCell::new(Pipe { room, ..Pipe::default() }));
    let (there, back) = (pipe(), pipe());
    let wire = |incoming: &Rc<RefCell<Pipe>>, outgoing: &Rc<RefCell<Pipe>>, seed: u64| Wire {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        cuts: Cuts(seed),
        read: Rc::default(),
        breaks_after: usize::MAX,
    };
    (wire(&there, &back, cuts.0), wire(&back, &there, cuts.0.rotate_left(17)))
}

impl Wire {
    pub(crate) fn breaks_after(mut self, bytes: usize) -> Self {
        self.breaks_after = bytes;
        self
    }

    /// Bytes read from this end, for a look from outside.
    pub(crate) fn reads(&self) -> Rc<Cell<usize>> {
        Rc::clone(&self.read)
    }

    /// Writes at once, whatever the room.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut pipe = self.outgoing.borrow_mut();
        pipe.bytes.extend(bytes);
        pipe.wake();
    }

    /// Takes all that has come.
    pub(crate) fn drain(&self) -> Vec<u8> {
        let mut pipe = self.incoming.borrow_mut();
        let bytes = pipe.bytes.drain(..).collect();
        pipe.wake();
        bytes
    }

    /// Is all read that was pushed, or will never be?
    pub(crate) fn is_taken(&self) -> bool {
        let pipe = self.outgoing.borrow();
        pipe.bytes.is_empty() || pipe.broken
    }

    /// Nothing more will be pushed.
    pub(crate) fn shut(&self) {
        let mut pipe = self.outgoing.borrow_mut();
        pipe.shut = true;
        pipe.wake();
    }

    /// Has the other side shut its side?
    pub(crate) fn is_shut(&self) -> bool {
        let pipe = self.incoming.borrow();
        pipe.shut || pipe.broken
    }

    fn break_off(&self) {
        for pipe in [&self.incoming, &self.outgoing] {
            let mut pipe = pipe.borrow_mut();
            pipe.shut = true;
            pipe.broken = true;
            pipe.wake();
        }
    }

    /// A length, or none for a turn that comes to nothing.
    fn cut(&mut self, cx: &Context<'_>) -> Option<usize> {
        let length = self.cuts.next();
        if length == 0 {
            cx.waker().wake_by_ref();
            return None;
        }
        Some(length)
    }
}

impl Transport for Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(length) = self.cut(cx) else { return Poll::Pending };
        let mut pipe = self.incoming.borrow_mut();
        let length = length.min(buffer.len()).min(pipe.bytes.len());
        if length > 0 {
            for (place, byte) in buffer.iter_mut().zip(pipe.bytes.drain(..length)) {
                *place = byte;
            }
            pipe.writer.take().into_iter().for_each(Waker::wake);
            self.read.set(self.read.get() + length);
        } else if !pipe.shut {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(length))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(length) = self.cut(cx) else { return Poll::Pending };
        if self.breaks_after == 0 {
            self.break_off();
        }
        let mut pipe = self.outgoing.borrow_mut();
        if pipe.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = pipe.room.saturating_sub(pipe.bytes.len());
        let length = length.min(bytes.len()).min(room).min(self.breaks_after);
        if length == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.bytes.extend(&bytes[..length]);
        pipe.reader.take().into_iter().for_each(Waker::wake);
        self.breaks_after -= length;
        Poll::Ready(Ok(length))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.break_off();
    }
}

/// Time, and the alarms that are set.
#[derive(Default)]
pub(crate) struct Clock {
    now: Cell<Instant>,
    alarms: RefCell<BTreeMap<usize, (Instant, Waker)>>,
    timers: Cell<usize>,
}

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Goes to the next alarm, if there is one by `end`; else to `end`.
    fn advance(&self, end: Instant) -> bool {
        let mut alarms = self.alarms.borrow_mut();
        let next = alarms.values().map(|(at, _)| *at).min().filter(|at| *at <= end);
        let now = next.unwrap_or(end).max(self.now());
        self.now.set(now);
        for (_, waker) in alarms.extract_if(.., |_, (at, _)| *at <= now).map(|(_, alarm)| alarm) {
            waker.wake();
        }
        next.is_some()
    }
}

/// One task's alarm.
pub(crate) struct Alarm(Rc<Clock>, usize);

impl Alarm {
    pub(crate) fn new(clock: &Rc<Clock>) -> Self {
        let number = clock.timers.replace(clock.timers.get() + 1);
        Self(Rc::clone(clock), number)
    }
}

impl Timer for Alarm {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn unix(&self) -> Duration {
        self.now().since_origin()
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let mut alarms = self.0.alarms.borrow_mut();
        if at <= self.0.now() {
            alarms.remove(&self.1);
            return Poll::Ready(());
        }
        alarms.insert(self.1, (at, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.alarms.borrow_mut().remove(&self.1);
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Task = Box<dyn FnMut(&mut Context<'_>) -> Poll<()>>;

/// All tasks, each polled when it was woken.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) clock: Rc<Clock>,
    tasks: Vec<(Arc<Flag>, Option<Task>)>,
}

/// Polls without time passing, over which somebody spins.
const SPIN: usize = 200_000;

impl Tasks {
    pub(crate) fn spawn(&mut self, task: impl FnMut(&mut Context<'_>) -> Poll<()> + 'static) {
        self.tasks.push((Arc::new(Flag(AtomicBool::new(true))), Some(Box::new(task))));
    }

    pub(crate) fn spawn_future(&mut self, future: impl Future<Output = ()> + 'static) {
        let mut future = Box::pin(future);
        self.spawn(move |cx| future.as_mut().poll(cx));
    }

    /// Polls until nobody is woken any more.
    pub(crate) fn run(&mut self) {
        for _ in 0..SPIN {
            let mut any = false;
            for (flag, task) in &mut self.tasks {
                let Some(run) = task else { continue };
                if !flag.0.swap(false, Ordering::Relaxed) {
                    continue;
                }
                any = true;
                let waker = Waker::from(Arc::clone(flag));
                if run(&mut Context::from_waker(&waker)).is_ready() {
                    *task = None;
                }
            }
            if !any {
                return;
            }
        }
        panic!("somebody is woken again and again, and time does not pass");
    }

    /// Lets time pass up to `end`, or until it is enough.
    pub(crate) fn run_until(&mut self, end: Instant, mut is_enough: impl FnMut() -> bool) {
        self.run();
        while !is_enough() && self.clock.now() < end {
            self.clock.advance(end);
            self.run();
        }
    }
}
