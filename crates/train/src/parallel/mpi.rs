//! Ranks that are processes, on one machine or many, which `mpirun` or a batch system started.

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::{Communicator as _, SimpleCommunicator};
use mpi::traits::CommunicatorCollectives as _;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use trompe_ops::{Collective, RankLost};

/// This process as one of an MPI job.
///
/// All of MPI's calls are made by one thread of their own, which is what every MPI library allows.
/// A process that is lost ends the others too: that is MPI's way, and checkpoints are whole at any
/// moment.
#[derive(Debug)]
pub struct Mpi {
    rank: usize,
    ranks: usize,
    line: Mutex<Line>,
    thread: Option<JoinHandle<()>>,
}

/// To the thread that speaks MPI, and back.
#[derive(Debug)]
struct Line {
    requests: Option<Sender<Request>>,
    answers: Receiver<Values>,
}

enum Request {
    Sum(Values),
    Abort(i32),
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Mpi {
    /// Joins the job; `None` where MPI does not start, or was started before.
    pub fn join() -> Option<Self> {
        let (requests, received) = channel();
        let (answering, answers) = channel();
        let (joining, joined) = channel();
        let thread = std::thread::spawn(move || {
            let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
                return;
            };
            let world = universe.world();
            let place = (world.rank() as usize, world.size() as usize);
            if joining.send(place).is_ok() {
                serve(&universe, &world, &received, &answering);
            }
        });
        let (rank, ranks) = joined.recv().ok()?;
        Some(Self {
            rank,
            ranks,
            line: Mutex::new(Line {
                requests: Some(requests),
                answers,
            }),
            thread: Some(thread),
        })
    }

    /// Ends every process of the job with an exit code: for errors that only one of them met.
    pub fn abort(&self, code: i32) {
        let line = self.line.lock();
        if let Some(requests) = line.as_ref().ok().and_then(|line| line.requests.as_ref())
            && requests.send(Request::Abort(code)).is_ok()
        {
            // The process ends while it waits.
            std::thread::sleep(std::time::Duration::from_secs(10));
        }
    }

    fn exchange(&self, values: Values) -> Result<Values, RankLost> {
        let line = self.line.lock().map_err(|_| RankLost)?;
        let requests = line.requests.as_ref().ok_or(RankLost)?;
        requests.send(Request::Sum(values)).map_err(|_| RankLost)?;
        line.answers.recv().map_err(|_| RankLost)
    }
}

/// Answers requests until nobody can make one any more; MPI ends with the universe.
fn serve(
    _universe: &Universe,
    world: &SimpleCommunicator,
    requests: &Receiver<Request>,
    answers: &Sender<Values>,
) {
    for request in requests {
        let answer = match request {
            Request::Abort(code) => world.abort(code),
            Request::Sum(Values::F32(own)) => {
                let mut sum = vec![0.0; own.len()];
                world.all_reduce_into(&own[..], &mut sum[..], SystemOperation::sum());
                Values::F32(sum)
            }
            Request::Sum(Values::F64(own)) => {
                let mut sum = vec![0.0; own.len()];
                world.all_reduce_into(&own[..], &mut sum[..], SystemOperation::sum());
                Values::F64(sum)
            }
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // Without requests to come the thread ends, and with it MPI, once all ranks have come so far.
        if let Ok(line) = self.line.get_mut() {
            line.requests = None;
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there has been told already, and this process ends anyway.
            let _ = thread.join();
        }
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), RankLost> {
        match self.exchange(Values::F32(values.to_vec()))? {
            Values::F32(sum) => values.copy_from_slice(&sum),
            Values::F64(_) => return Err(RankLost),
        }
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), RankLost> {
        match self.exchange(Values::F64(values.to_vec()))? {
            Values::F64(sum) => values.copy_from_slice(&sum),
            Values::F32(_) => return Err(RankLost),
        }
        Ok(())
    }
}
