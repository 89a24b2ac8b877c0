//! Who trains together.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use trompe::Device;
use trompe_train::{
    Alone, Collective, Observer, Outcome, RankLost, Resolved, RunDir, TrainError, broadcast,
    fit_together, fit_with_workers,
};

use crate::console::Console;
use crate::failure::{Exit, Failure};

/// The ranks of a training, seen from this process.
pub(super) struct Ranks {
    /// Threads of this process.
    workers: usize,
    /// Other processes, and the way to end them.
    #[cfg(feature = "mpi")]
    mpi: Option<Arc<trompe_train::Mpi>>,
}

impl Ranks {
    /// Joins the job that `mpirun` started, if that is wanted.
    pub(super) fn join(mpi: bool, workers: usize) -> Result<Self, Failure> {
        if workers == 0 {
            return Err(Failure::new(
                Exit::Usage,
                "`--workers 0` leaves nobody to train",
                "leave it out, or try `--workers 2`",
            ));
        }
        #[cfg(not(feature = "mpi"))]
        if mpi {
            return Err(Failure::new(
                Exit::Usage,
                "this program was built without MPI",
                "build it with `--features mpi`; see the chapter on many machines in the book",
            ));
        }
        Ok(Self {
            workers,
            #[cfg(feature = "mpi")]
            mpi: match mpi {
                false => None,
                true => Some(Arc::new(trompe_train::Mpi::join().ok_or_else(|| {
                    Failure::new(
                        Exit::Failed,
                        "MPI does not start",
                        "start this command with `mpirun -n 2 trompe train --mpi ...`",
                    )
                })?)),
            },
        })
    }

    fn processes(&self) -> Arc<dyn Collective> {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            return Arc::clone(mpi) as Arc<dyn Collective>;
        }
        Arc::new(Alone)
    }

    /// Threads of this process that train, each with networks of its own.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// Ranks in all.
    pub(super) fn count(&self) -> usize {
        self.workers * self.processes().ranks()
    }

    /// Whether this process reports, evaluates and writes.
    pub(super) fn is_first(&self) -> bool {
        self.processes().rank() == 0
    }

    /// What this process follows, unless it is the first.
    pub(super) fn followed(&self) -> Option<Arc<dyn Collective>> {
        Some(self.processes()).filter(|processes| processes.rank() > 0)
    }

    /// Tells the other processes where the run is.
    pub(super) fn announce(&self, path: &str) -> Result<(), RankLost> {
        broadcast(self.processes().as_ref(), path).map(drop)
    }

    /// Trains as the first rank.
    pub(super) fn fit(
        &self,
        resolved: Resolved,
        run: &RunDir,
        devices: &[Device],
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome, TrainError> {
        if self.workers > 1 {
            return fit_with_workers(resolved, run, devices, observer, stop, self.workers);
        }
        fit_together(resolved, run, &devices[0], observer, stop, self.processes())
    }

    /// Ends together: where one process failed alone, the others would wait for it.
    pub(super) fn leave(
        self,
        result: Result<(), Failure>,
        console: &Console,
    ) -> Result<(), Failure> {
        #[cfg(not(feature = "mpi"))]
        let _ = console;
        #[cfg(feature = "mpi")]
        if let (Some(mpi), Err(failure)) = (&self.mpi, &result)
            && failure.exit() != Exit::Interrupted
            && mpi.ranks() > 1
        {
            console.explain(failure);
            mpi.abort(failure.exit() as i32);
        }
        result
    }
}
