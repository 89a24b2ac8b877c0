//! Ranks that are threads of one process.

use crate::{Observer, Outcome, Resolved, RunDir, TrainError, fit_together};
use burn::tensor::Device;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use trompe_ops::{Collective, RankLost};

/// [`crate::fit()`] by several threads that share every batch, each on the next of `devices` in
/// turn. The result is that of one thread up to rounding, and the same bits again for the same
/// number of workers on the same kind of device. What is summed goes through the machine's memory.
///
/// # Errors
/// As [`crate::fit()`]; the first worker's own error where it has one.
///
/// # Panics
/// Without a device.
pub fn fit_with_workers(
    resolved: Resolved,
    run: &RunDir,
    devices: &[Device],
    observer: &mut dyn Observer,
    stop: &AtomicBool,
    workers: usize,
) -> Result<Outcome, TrainError> {
    std::thread::scope(|scope| {
        let mut team = Worker::team(workers).into_iter();
        let first = team.next();
        let others: Vec<_> = team
            .map(|worker| {
                let resolved = resolved.clone();
                let device = &devices[worker.rank % devices.len()];
                scope.spawn(move || {
                    let leaving = Leaving(Arc::clone(&worker));
                    let mut silent = |_: &crate::Event| Ok(());
                    let outcome = fit_together(
                        resolved,
                        run,
                        device,
                        &mut silent,
                        stop,
                        worker.collective(),
                    );
                    drop(leaving);
                    outcome
                })
            })
            .collect();
        let device = &devices[0];
        let outcome = match first {
            None => crate::fit(resolved.clone(), run, device, observer, stop),
            Some(worker) => {
                let leaving = Leaving(Arc::clone(&worker));
                let collective = worker.collective();
                let outcome =
                    fit_together(resolved.clone(), run, device, observer, stop, collective);
                drop(leaving);
                outcome
            }
        };
        let mut lost = None;
        for other in others {
            match other.join() {
                Ok(Ok(_) | Err(TrainError::RankLost)) => {}
                Ok(Err(error)) => lost = Some(error),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        match (outcome, lost) {
            // Whoever was lost knows why.
            (Err(TrainError::RankLost), Some(reason)) => Err(reason),
            (outcome, _) => outcome,
        }
    })
}

/// A thread that trains together with others of its process.
#[derive(Debug)]
pub struct Worker {
    rank: usize,
    table: Arc<Table>,
}

/// Where the workers of a team meet.
#[derive(Debug)]
struct Table {
    workers: usize,
    meeting: Mutex<Meeting>,
    changed: Condvar,
}

/// One sum on its way: first everyone brings values, then everyone takes the sum.
#[derive(Debug, Default)]
struct Meeting {
    brought: Vec<Option<Vec<f64>>>,
    sum: Option<Arc<Vec<f64>>>,
    taken: usize,
    has_left: bool,
}

/// Tells the others, on whatever way a worker goes.
struct Leaving(Arc<Worker>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.table.lock().has_left = true;
        self.0.table.changed.notify_all();
    }
}

impl Worker {
    /// Workers that know each other; each goes to a thread of its own.
    pub fn team(workers: usize) -> Vec<Arc<Self>> {
        let meeting = Meeting {
            brought: vec![None; workers],
            ..Meeting::default()
        };
        let table = Arc::new(Table {
            workers,
            meeting: Mutex::new(meeting),
            changed: Condvar::new(),
        });
        (0..workers)
            .map(|rank| {
                let table = Arc::clone(&table);
                Arc::new(Self { rank, table })
            })
            .collect()
    }

    fn collective(self: &Arc<Self>) -> Arc<dyn Collective> {
        Arc::clone(self) as Arc<dyn Collective>
    }
}

impl Table {
    // Nothing panics while it holds the lock; the state is whole.
    fn lock(&self) -> MutexGuard<'_, Meeting> {
        self.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `is_so`; in vain if a worker leaves first.
    fn wait<'a>(
        &self,
        mut meeting: MutexGuard<'a, Meeting>,
        is_so: impl Fn(&Meeting) -> bool,
    ) -> Result<MutexGuard<'a, Meeting>, RankLost> {
        while !is_so(&meeting) {
            if meeting.has_left {
                return Err(RankLost);
            }
            meeting = self
                .changed
                .wait(meeting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Ok(meeting)
    }

    fn sum(&self, rank: usize, values: Vec<f64>) -> Result<Arc<Vec<f64>>, RankLost> {
        // The last meeting is over when everyone has taken its sum.
        let mut meeting = self.wait(self.lock(), |meeting| meeting.sum.is_none())?;
        meeting.brought[rank] = Some(values);
        if meeting.brought.iter().all(Option::is_some) {
            // In the order of the ranks, whoever came last: the same bits every time.
            let mut brought = meeting.brought.iter_mut().filter_map(Option::take);
            let mut sum = brought.next().unwrap_or_default();
            for other in brought {
                for (sum, value) in sum.iter_mut().zip(other) {
                    *sum += value;
                }
            }
            meeting.sum = Some(Arc::new(sum));
            meeting.taken = 0;
            self.changed.notify_all();
        }
        let mut meeting = self.wait(meeting, |meeting| meeting.sum.is_some())?;
        let sum = meeting.sum.clone().unwrap_or_default();
        meeting.taken += 1;
        if meeting.taken == self.workers {
            meeting.sum = None;
            self.changed.notify_all();
        }
        Ok(sum)
    }
}

impl Collective for Worker {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.table.workers
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), RankLost> {
        let own = values.iter().map(|&value| f64::from(value)).collect();
        let sum = self.table.sum(self.rank, own)?;
        for (value, sum) in values.iter_mut().zip(sum.iter()) {
            *value = *sum as f32;
        }
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), RankLost> {
        let sum = self.table.sum(self.rank, values.to_vec())?;
        values.copy_from_slice(&sum);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::broadcast;

    #[test]
    fn every_worker_gets_every_sum_in_turn() {
        std::thread::scope(|scope| {
            for worker in Worker::team(3) {
                scope.spawn(move || {
                    for round in 0..200_u16 {
                        let mut values = [f32::from(round), worker.rank() as f32];
                        worker.sum(&mut values).unwrap();
                        assert_eq!(values, [3.0 * f32::from(round), 3.0]);
                    }
                    let text = broadcast(worker.as_ref(), &format!("from {}", worker.rank()));
                    assert_eq!(text.unwrap(), "from 0");
                });
            }
        });
    }

    #[test]
    fn nobody_waits_for_a_worker_that_left() {
        std::thread::scope(|scope| {
            let mut team = Worker::team(2);
            let (other, first) = (team.pop().unwrap(), team.pop().unwrap());
            scope.spawn(move || {
                let _leaving = Leaving(Arc::clone(&other));
                other.sum(&mut [1.0]).unwrap();
            });
            first.sum(&mut [1.0]).unwrap();
            assert_eq!(first.sum(&mut [1.0]), Err(RankLost));
        });
    }
}
