//! Threads that wait for the next piece of a training step.
//!
//! A step of a small network is some hundred parallel passes of a few microseconds each. Waking a sleeping thread takes
//! longer than such a pass, so the members of the team look for work for a moment ([`PATIENCE`]) before they sleep, and
//! a caller that has done all the work by itself meanwhile takes back what a member has not begun.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a member looks for work before it sleeps: longer than the pauses within a step, too short to be noticed by
/// other programs between steps.
const PATIENCE: Duration = Duration::from_micros(100);
/// Looks between two looks at the clock.
const LOOKS: usize = 64;

/// Whoever holds the lock has the whole team.
static TEAM: Mutex<Vec<Member>> = Mutex::new(Vec::new());

/// A thread that is never told to end.
struct Member {
    desk: &'static Desk,
    thread: Thread,
}

/// Where a member finds its work.
#[derive(Default)]
struct Desk {
    /// Null, or a job of a caller that does not return before it has taken it back or seen it done.
    job: AtomicPtr<Job<'static>>,
    is_asleep: AtomicBool,
}

/// Work that several threads share.
struct Job<'a> {
    work: &'a (dyn Fn() + Sync),
    /// Members that may be at it.
    pending: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Runs `work` on this thread and at the same time on up to `helpers` others; false if the team is not free or the
/// system has no threads for it, and then nothing was run.
///
/// `work` shares tasks with itself: it may be run by fewer threads, but when it has returned on one, none is left that
/// another has not taken.
pub(crate) fn run(helpers: usize, work: &(dyn Fn() + Sync)) -> bool {
    let mut team = match TEAM.try_lock() {
        Ok(team) => team,
        // A task panicked under it; the members themselves are as good as before.
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return false,
    };
    while team.len() < helpers {
        match Member::hire() {
            Some(member) => team.push(member),
            None => return false,
        }
    }
    let job = Job {
        work,
        pending: AtomicUsize::new(helpers),
        panic: Mutex::new(None),
    };
    // Only the lifetime differs; the pointer is gone from the desks, and nobody is at the job, before it ends.
    let pointer = (&raw const job).cast::<Job<'static>>().cast_mut();
    let helpers = &team[..helpers];
    for member in helpers {
        member.desk.job.store(pointer, Ordering::SeqCst);
        if member.desk.is_asleep.load(Ordering::SeqCst) {
            member.thread.unpark();
        }
    }
    // Caught, because members may still be at it: this frame must not go before they are done.
    let own = catch_unwind(AssertUnwindSafe(work));
    for member in helpers {
        let desk = &member.desk.job;
        let taken_back =
            desk.compare_exchange(pointer, null_mut(), Ordering::AcqRel, Ordering::Relaxed);
        if taken_back.is_ok() {
            job.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let mut looks = 0;
    while job.pending.load(Ordering::Acquire) > 0 {
        looks += 1;
        if usize::is_multiple_of(looks, LOOKS) {
            // With fewer processors than threads, the member may need this one.
            thread::yield_now();
        }
        std::hint::spin_loop();
    }
    drop(team);
    let others = job
        .panic
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(panic) = own.err().or(others) {
        resume_unwind(panic);
    }
    true
}

impl Member {
    /// None where the system gives no thread.
    fn hire() -> Option<Self> {
        let desk: &'static Desk = Box::leak(Box::default());
        let spawned = thread::Builder::new()
            .name("kernels".to_owned())
            .spawn(|| desk.attend());
        spawned.ok().map(|handle| Self {
            desk,
            thread: handle.thread().clone(),
        })
    }
}

impl Desk {
    fn attend(&self) {
        loop {
            let job = self.next();
            // SAFETY: the pointer came from `run`, whose frame holds the job until `pending` is zero, and this thread's
            // share of `pending` is given back only below, after the last use.
            let job = unsafe { &*job };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job.work)) {
                let mut first = job
                    .panic
                    .lock()
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                first.get_or_insert(panic);
            }
            job.pending.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a job, and takes it.
    fn next(&self) -> *mut Job<'static> {
        let mut begin = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if !self.job.load(Ordering::Relaxed).is_null() {
                    // The caller may be faster and take it back.
                    let job = self.job.swap(null_mut(), Ordering::AcqRel);
                    if !job.is_null() {
                        return job;
                    }
                }
                std::hint::spin_loop();
            }
            if begin.elapsed() < PATIENCE {
                continue;
            }
            self.is_asleep.store(true, Ordering::SeqCst);
            // Either this look sees the job, or the caller sees the sleeper: both orders are total.
            if self.job.load(Ordering::SeqCst).is_null() {
                thread::park();
            }
            self.is_asleep.store(false, Ordering::SeqCst);
            begin = Instant::now();
        }
    }
}
