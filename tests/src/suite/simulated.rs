//! The simulator as one runtime among others, for the scripts that run on all of them.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use enjamb_runtime::{ComponentConnection, ServerConnection};

use super::runtime::{Late, Log, Runtime, keep_notices};
use crate::sim::{Clock, Executor, Random, SimTimer, SimTransport, Wire};

/// Virtual time, and wires with a latency that cut where chance has it.
#[derive(Clone)]
pub struct Simulated(Rc<Inner>);

struct Inner {
    executor: RefCell<Executor>,
    clock: Rc<Clock>,
    random: RefCell<Random>,
    wire: Wire,
    /// Tasks that a script has started, until the executor takes them.
    started: RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>,
}

impl Default for Simulated {
    fn default() -> Self {
        let mut random = Random::new(114);
        let executor = Executor::new(random.fork());
        let clock = Rc::clone(&executor.clock);
        let wire = Wire { latency: Duration::from_millis(1), cut: 40_000, ..Wire::default() };
        let (executor, random) = (RefCell::new(executor), RefCell::new(random));
        Self(Rc::new(Inner { executor, clock, random, wire, started: RefCell::default() }))
    }
}

impl Simulated {
    fn start(&self, task: impl Future<Output = ()> + 'static) {
        self.0.started.borrow_mut().push(Box::pin(task));
    }
}

impl Runtime for Simulated {
    type Stream = SimTransport;
    type Timer = SimTimer;

    fn block_on<R: 'static>(&self, script: impl Future<Output = R> + 'static) -> R {
        let result = Rc::new(RefCell::new(None));
        let place = Rc::clone(&result);
        self.start(async move { *place.borrow_mut() = Some(script.await) });
        loop {
            let mut executor = self.0.executor.borrow_mut();
            for task in self.0.started.take() {
                executor.spawn(task);
            }
            executor.run_until(self.0.clock.now() + Duration::from_millis(1));
            if let Some(result) = result.take() {
                return result;
            }
        }
    }

    async fn pair(&self) -> (SimTransport, SimTransport) {
        SimTransport::pair(&self.0.clock, &self.0.wire, &mut self.0.random.borrow_mut())
    }

    fn timer(&self) -> SimTimer {
        SimTimer::new(&self.0.clock, Duration::ZERO)
    }

    fn spawn_server(&self, connection: ServerConnection<SimTransport, Late<SimTimer>>, log: Log) {
        self.start(keep_notices(connection, log));
    }

    fn spawn_component(&self, connection: ComponentConnection<SimTransport, Late<SimTimer>>) {
        self.start(connection.run());
    }
}
